"""``winback customers``: those of a tier, a segment, with a tag, or suspects, as running workers know them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.commands.customer import TIER_STYLE, WorkerAway, ask
from stream.environment import read_settings
from stream.errors import CommandError
from stream.events.money import amount_text
from stream.segments.wanted import wanted

PAGE = 1_000
"""Customers that are asked for at once: the most that a worker tells."""


@click.command(short_help="List the customers of a tier, a segment, or with a tag.")
@click.argument("classes", metavar="CLASS=WORD...", nargs=-1)
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N",
              help="At most so many; 0: all there are.")  # fmt: skip
@click.option("--url", "urls", multiple=True, metavar="URL",
              help="Where a worker answers; may be repeated.  [default: http://127.0.0.1: and setting `web_port`]")  # fmt: skip
@click.option("--token", help="The worker's token.  [default: setting `web_token`]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def customers(classes: Sequence[str], limit: int, urls: tuple[str, ...], token: str | None, as_json: bool) -> None:
    """List the customers that are of all the CLASSes named: tier, segment, fixed, share, value, loyalty,
    lifecycle, cluster, core, tag, suspect (orders, pace, clockwork, returns or any).

    They are of what was last told on the tiers topic. Each worker has the customers of its partitions: give all their addresses.

    \b
    Examples:
      winback customers tier=high
      winback customers segment="At Risk" loyalty=active_loyal --limit 0 --json > at-risk.jsonl
      winback customers suspect=any
      winback customers tag=night_owl --url http://10.0.0.5:6066 --url http://10.0.0.6:6066
    """
    asked = _asked(classes)
    settings = read_settings({"web_token": token}, os.environ)
    where = urls or (f"http://127.0.0.1:{settings.web_port}",)
    found = islice(all_of(asked, where, settings.web_token, limit), limit or None)
    if as_json:
        for line in found:
            click.echo(orjson.dumps(line))
        return
    lines = list(found)
    Console().print(_table(lines) if lines else "Nobody is.")
    if limit and len(lines) == limit:
        click.echo(f"The first {limit}; there may be more: --limit", err=True)


def all_of(asked: Mapping[str, str], urls: Sequence[str], token: str = "", most: int = 0) -> Iterator[dict[str, Any]]:
    """The customers of all workers, one worker after the other, page by page; more than ``most`` are not needed (0: all are).

    Raises:
        WorkerAway: a worker doesn't answer, or not with customers.
    """
    for url in urls:
        after: str | None = ""
        while after is not None:
            query = urlencode({**asked, "limit": min(PAGE, most or PAGE), **({"after": after} if after else {})})
            status, answer = ask(f"{url.rstrip('/')}/customers?{query}", token)
            if status != 200:
                why = "; ".join(answer.get("reasons", [])) or answer.get("error") or f"it answers {status}"
                raise WorkerAway(f"{url} can't be asked for customers: {why}")
            yield from answer["customers"]
            after = answer["after"]


def _asked(classes: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in classes]
    problems = [f"{name!r} is not CLASS=WORD, as in tier=high" for name, sign, _ in pairs if not sign]
    asked = {name: word for name, sign, word in pairs if sign}
    try:
        wanted(asked)
    except ValueError as error:
        problems += str(error).split("; ")
    if problems:
        raise CommandError(problems)
    return asked


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    currency = lines[0]["currency"]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("customer", overflow="fold", min_width=8)
    table.add_column("tier", no_wrap=True)
    table.add_column("segment", min_width=10)
    table.add_column("orders", justify="right")
    table.add_column(f"worth {currency}", justify="right", no_wrap=True)
    table.add_column("last order", no_wrap=True)
    table.add_column("churn", justify="right", no_wrap=True)
    table.add_column("tags", min_width=12)
    for line in lines:
        risk = line["churn_probability"]
        table.add_row(
            Text(line["customer_id"]),
            Text(line["tier"], TIER_STYLE.get(line["tier"], "")),
            line["segment"] or "",
            f"{line['frequency_365d']:,}",
            amount_text(line["monetary_365d_minor"], currency),
            (line["last_purchase_at"] or "")[:10],
            "" if risk is None or line["churn_abstained"] else f"{risk:.0%}",
            Text(" ".join(line["personas"])) + Text(f" suspect:{line['suspect']}" if line["suspect"] else "", "red"),
        )
    return table
