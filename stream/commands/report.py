"""``winback report``: what rules change, against those who were left alone."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.environment import read_settings
from stream.errors import ConfigurationError

_STYLE = {"works": "green", "harms": "red", "no_effect": "yellow", "too_early": "dim"}


@click.command(short_help="Show what rules change, against those who were left alone.")
@click.option("--from", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Of what `winback replay` wrote, and not of a running shop.")  # fmt: skip
@click.option("--broker", metavar="kafka://HOST:PORT[,…]", help="Kafka bootstrap address.")
@click.option("--app-id", metavar="NAME", help="The worker's app id.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON object.")
def report(folder: Path | None, broker: str | None, app_id: str | None, as_json: bool) -> None:
    """Show each measured rule by arm: customers, buyers, money, cost, and the effect with an interval that is valid at every look.

    Rules with `variants:`, `holdout_percent:` or `measure:` are measured; outcomes are counted when their window is over.

    \b
    Examples:
      winback report
      winback report --from result --json
    """
    found = _of_files(folder) if folder is not None else _of_kafka(broker, app_id)
    if as_json:
        click.echo(orjson.dumps(found))
    elif not found["experiments"]:
        click.echo("no outcomes yet: no rule is measured, or no window is over (see docs/experiments.md)")
    else:
        Console().print(table(found["experiments"]))


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows for people."""
    shown = Table(title="What the rules change", title_justify="left")
    for name in ("rule", "arm"):
        shown.add_column(name, overflow="fold")
    for name in ("customers", "bought", "money", "actions", "cost"):
        shown.add_column(name, justify="right")
    shown.add_column("because of the rule")
    before = None
    for row in rows:
        rule = f"{row['rule']} v{row['version']}"
        share = "–" if row["conversion"] is None else f"{row['conversion']:.1%}"
        verdict = row.get("verdict", "")
        shown.add_row(
            rule if rule != before else "",
            row["arm"],
            f"{row['exposed']:,}",
            share,
            f"{row['revenue_minor'] / 100:,.2f}",
            f"{row['actions']:,}",
            f"{row['cost_minor'] / 100:,.2f}",
            Text(f"{verdict.replace('_', ' ')}: {row['text']}" if verdict else "", style=_STYLE.get(verdict, "")),
            end_section=False,
        )
        before = rule
    return shown


def _of_files(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.is_file():
        raise ConfigurationError([f"{folder}: no summary.json: `winback replay --out {folder}` writes one"])
    return {"experiments": orjson.loads(path.read_bytes()).get("experiments", [])}


def _of_kafka(broker: str | None, app_id: str | None) -> dict[str, Any]:
    from stream.agents.published import latest_epoch
    from stream.experiments.rows import rows
    from stream.processor.epochs import decode_epoch

    value = asyncio.run(latest_epoch(read_settings({"broker": broker, "app_id": app_id}, os.environ)))
    return {"experiments": [] if value is None else rows(decode_epoch(value).tallies)}
