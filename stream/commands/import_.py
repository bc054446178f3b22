"""``winback import``: history from CSV, JSON Lines and Parquet files, flagged so that it never causes an action."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import click
import msgspec
from rich.console import Console

from stream.adapters.files_import import Plan, Ready, Summary, prepared, run
from stream.adapters.files_mapping import Columns, MappingError, Spot, flags, from_spots, load
from stream.agents.connection import client_options
from stream.commands.produce import file_progress, make_topics
from stream.config import Settings
from stream.environment import read_settings
from stream.worker import set_up_logging

SOME_REJECTED = 3
"""Exit code when everything was read but some rows were refused. 1 is an error on the way (run it again), 2 a wrong
call or mapping, as with other commands."""


@click.command("import", short_help="Import history from CSV, JSON Lines or Parquet; never mails anyone.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...",
                type=click.Path(path_type=Path, exists=True, dir_okay=False))  # fmt: skip
@click.option("--map", "mapping", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="YAML",
              help="Column mapping; see docs/import.md.")  # fmt: skip
@click.option("--column", "columns", multiple=True, metavar="FIELD=COLUMN",
              help="customer, timestamp, id, anonymous, event, or a property (order_id). Repeatable.")  # fmt: skip
@click.option(
    "--constant", "constants", multiple=True, metavar="FIELD=VALUE", help="A property of every row. Repeatable."
)
@click.option("--event", default="", help="What every row is, such as 'Order Completed'.")
@click.option("--order", default="", metavar="COLUMN", help="Rows with the same value here are lines of one order.")
@click.option("--time-format", default="", help="iso (default), unix, unix_ms, or a pattern such as '%d.%m.%Y %H:%M'.")
@click.option("--zone", default="", help="IANA time zone of times that have none, such as Europe/Berlin.")
@click.option("--decimal", default="", help="'.' (default) or ',' before the decimals of numbers.")
@click.option("--delimiter", default="", help="Between columns of a CSV file; default ','.")
@click.option("--encoding", default="", help="Of a CSV file; default utf-8.")
@click.option("--source", default="", help="Name in the rows' ids; default: the file's name without its ending.")
@click.option("--format", "named", type=click.Choice(["csv", "jsonl", "parquet"]), help="When the ending doesn't say.")
@click.option("--dry-run", type=click.IntRange(min=1), metavar="N", help="Print the first N messages; send nothing.")
@click.option("--again", is_flag=True, help="Start from the beginning though a note says how far it has come.")
@click.option("--broker", help="Kafka address, kafka://host:port[,host:port].  [default: setting `broker`]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def import_(
    files: tuple[Path, ...], mapping: Path | None, columns: tuple[str, ...],
    constants: tuple[str, ...], named: str | None, dry_run: int | None, again: bool, broker: str | None, as_json: bool,
    source: str, **texts: str,
) -> None:  # fmt: skip
    """Import history from FILEs: it updates customers and teaches the churn model, and never causes an action.

    JSON Lines of Segment messages need no mapping. Other files do: a YAML file (--map), flags, or both; flags win.
    Importing a file twice changes nothing: every row has an id of its own that is the same each time. An import that
    was interrupted goes on where it stopped when it is called again. Rows that can't be taken are written to
    FILE.rejected.jsonl with their line number and the reason.

    Exit code: 0 all rows imported, 3 some rejected, 1 failed on the way (run it again), 2 wrong call or mapping.

    \b
    Examples:
      winback import --map docs/examples/online_retail.yaml online_retail_II.csv
      winback import orders.csv --event 'Order Completed' --column customer=Customer --column order_id=No \\
          --column revenue=Total --column timestamp=Date --time-format '%d.%m.%Y' --zone Europe/Berlin --decimal ,
      winback import --dry-run 3 --map shop.yaml orders.parquet
    """
    settings = read_settings({"broker": broker}, os.environ)
    set_up_logging(settings.log_level)
    try:
        given = flags(_pairs(columns, "--column"), _pairs(constants, "--constant"), **texts)
        plan = Plan(files, _mapping(mapping, given), named or "", source, again)
        plan.check()
    except MappingError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    if dry_run:
        _show(plan, settings, dry_run)
        return
    bar = file_progress(Console(stderr=True))
    with bar:
        tasks = {path: bar.add_task(f"importing {path.name}", total=None, count="") for path in files}

        def show(path: Path, position: int, size: int) -> None:
            bar.update(tasks[path], completed=position, total=size)

        summary = asyncio.run(_run(plan, settings, show))
    if as_json:
        click.echo(msgspec.json.encode(summary))
    else:
        for name in summary.already_imported:
            click.echo(f"{name}: already imported; --again sends it once more (which changes nothing)")
        for name in summary.resumed:
            click.echo(f"{name}: went on where an earlier run had stopped")
        click.echo(f"{summary.messages:,} messages imported")
        for topic, count in sorted(summary.by_topic.items()):
            click.echo(f"  {count:>12,}  {topic}")
        if summary.rows_rejected:
            click.echo(f"{summary.rows_rejected:,} rows rejected; see {', '.join(summary.rejected_files)}", err=True)
    sys.exit(SOME_REJECTED if summary.rejected_files else 0)


async def _run(plan: Plan, settings: Settings, show: Callable[[Path, int, int], None]) -> Summary:
    await make_topics(settings)
    return await run(plan, settings, client_options(settings), show)


def _mapping(path: Path | None, given: dict[str, Spot]) -> Columns | None:
    if path is not None:
        return load(path, given)
    return from_spots(given) if given else None


def _pairs(texts: tuple[str, ...], flag: str) -> dict[str, str]:
    """``name=value`` flags as a table."""
    pairs = {}
    wrong = []
    for text in texts:
        name, equals, value = text.partition("=")
        if name and equals and value:
            pairs[name] = value
        else:
            wrong.append(f"{flag} {text}: write it as {flag} field=name")
    if wrong:
        raise MappingError(wrong)
    return pairs


def _show(plan: Plan, settings: Settings, count: int) -> None:
    """The first messages as they would be sent."""
    for path in plan.files:
        table = plan.table(path)
        for item in islice(prepared(table, plan, settings), count):
            if isinstance(item, Ready):
                click.echo(item.value)
            else:
                for bad in item:
                    click.echo(f"{path}:{bad.number}: rejected: {bad.reason}", err=True)
        table.close()
