"""``winback report``: what rules change, against those who were left alone."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from stream.config import Settings
from stream.environment import read_settings
from stream.errors import CommandError
from stream.experiments import rows
from stream.experiments.page import outcomes, report_page
from stream.reporting.table import terminal


@click.command(short_help="Show what rules change, against those who were left alone.")
@click.option("--from", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Of what `winback replay` wrote, and not of a running shop.")  # fmt: skip
@click.option("--broker", metavar="kafka://HOST:PORT[,…]", help="Kafka bootstrap address.")
@click.option("--app-id", metavar="NAME", help="The worker's app id.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write a page with charts: one file to mail or to print.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON object.")
def report(folder: Path | None, broker: str | None, app_id: str | None, page: Path | None, as_json: bool) -> None:
    """Show each measured rule by arm: customers, buyers, money, cost, and the effect with an interval that is valid at every look.

    Rules with `variants:`, `holdout_percent:` or `measure:` are measured; outcomes are counted when their window is over.

    \b
    Examples:
      winback report
      winback report --html rules.html
      winback report --from result --json
    """
    settings = read_settings({"broker": broker, "app_id": app_id}, os.environ)
    found = _of_files(folder) if folder is not None else _of_kafka(settings)
    if page is not None:
        page.write_text(report_page(found, settings.currency), encoding="utf-8")
    if as_json:
        click.echo(orjson.dumps(found))
    elif not found["experiments"]:
        click.echo("no outcomes yet: no rule is measured, or no window is over (see docs/experiments.md)")
    else:
        Console().print(terminal(outcomes(found["experiments"], settings.currency)))


def _of_files(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    if not path.is_file():
        raise CommandError([f"{folder}: no summary.json: `winback replay --out {folder}` writes one"])
    summary = orjson.loads(path.read_bytes())
    return {part: summary.get(part, []) for part in rows.report(())}


def _of_kafka(settings: Settings) -> dict[str, Any]:
    from stream.agents.published import latest_epoch
    from stream.processor.epochs import decode_epoch

    value = asyncio.run(latest_epoch(settings))
    return rows.report(() if value is None else decode_epoch(value).tallies)
