"""``winback backtest``: two sets of rules over the same history, and what differs."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec
import orjson
from rich.console import Console

from stream.adapters.rates import load_rates
from stream.backtest import Backtest
from stream.backtest.job import read_both
from stream.backtest.report import lead, report_of, verdict
from stream.backtest.result import Result
from stream.backtest.run import WINDOW_DAYS
from stream.backtest.tables import budget_table, held_table, people_table, rules_table
from stream.commands.instants import instants_of
from stream.commands.progress import told_by_bar
from stream.datasets import cdnow_events
from stream.environment import read_settings
from stream.replay import sensible_processes
from stream.reporting.table import terminal


@click.command(short_help="Compare two sets of rules over the same history.")
@click.argument("events", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--rules", "new", required=True, metavar="NEW", help="Folder of the rules to judge.")
@click.option(
    "--against", "old", default="", metavar="OLD", help="Folder to compare with; default: the shipped library."
)
@click.option(
    "--out", "out_dir", default="backtest", show_default=True, type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.",
)  # fmt: skip
@click.option("--until", default=None, metavar="TIME", help="Stop at this instant; later events are refused.")
@click.option(
    "--window-days", type=click.IntRange(1, 365), default=WINDOW_DAYS, show_default=True,
    help="Who buys within so many days after a decision bought anyway.",
)  # fmt: skip
@click.option(
    "--dataset", type=click.Choice(["cdnow"]), help="Instead of EVENTS: the orders of a CD shop, 1997 to mid-1998."
)
@click.option(
    "--customers", type=click.IntRange(1), default=None, metavar="N", help="With --dataset: its first N customers only."
)
@click.option("--currency", default=None, help="The shop's currency, ISO 4217.")
@click.option(
    "--processes", type=click.IntRange(min=1), default=None, metavar="N",
    help="Share the work among so many processes; changes nothing else.  [default: one per core, 1 for small inputs]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON object and nothing else.")
def backtest(
    events: tuple[Path, ...],
    new: str,
    old: str,
    out_dir: Path,
    until: str | None,
    window_days: int,
    dataset: str | None,
    customers: int | None,
    currency: str | None,
    processes: int | None,
    as_json: bool,
) -> None:
    """Run EVENTS (as `winback replay` takes them) through two sets of rules, with the code that runs live.

    Tells which decisions appear, vanish or move, whom they would have reached, what was held back, and who bought anyway:
    what the rules could have changed at most. The same events and rules give the same bytes.

    \b
    Written to --out:
      report.html         the comparison with charts, for people
      differences.jsonl   every decision that appears, vanishes or moves, by time, customer, rule
      backtest.json       all figures

    \b
    Examples:
      winback backtest --rules new/ events.jsonl
      winback backtest --rules new/ --dataset cdnow
      winback backtest --rules new/ --against live/ 2025/*.jsonl.gz --until 2026-01-01 --window-days 14
    """
    if bool(events) == bool(dataset):
        raise click.UsageError("give files of EVENTS, or --dataset, and not both")
    if customers and not dataset:
        raise click.UsageError("--customers is for --dataset")
    settings = read_settings({"currency": currency}, os.environ)
    instants = instants_of({"--until": (until,) if until else ()})
    until_ms = instants["--until"][0] if until else None
    rules = read_both(old, new)
    console = Console(stderr=True, quiet=as_json)
    began = time.monotonic()
    with ExitStack() as stack:
        if dataset:
            events = (_cdnow(Path(stack.enter_context(TemporaryDirectory())), customers),)
        run = stack.enter_context(
            Backtest(
                settings, rules, (old, new), until_ms=until_ms, window_days=window_days, rates=load_rates(settings),
                processes=processes or sensible_processes(events), work=out_dir,
            )
        )  # fmt: skip
        with told_by_bar(console) as progress:
            result = run.run(events, progress)
        run.write(out_dir, report_of(result))
    if as_json:
        click.echo(orjson.dumps(msgspec.to_builtins(result)))
        return
    _show(result, Console())
    console.print(f"{time.monotonic() - began:.1f} s; report: {out_dir / 'report.html'}", highlight=False)


def _cdnow(folder: Path, customers: int | None) -> Path:
    """The data set as a file of events; its customers are numbered from 1."""
    path = folder / "cdnow.jsonl"
    with path.open("wb") as file:
        for event in cdnow_events():
            if customers is None or int(event["userId"]) <= customers:
                file.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
    return path


def _show(result: Result, console: Console) -> None:
    console.print(lead(result), highlight=False)
    if result.since is None:
        return
    console.print(verdict(result), highlight=False)
    tables = [
        rules_table(result, brief=True),
        *[people_table(result, group, brief=True) for group in ("tier", "channel")],
    ]
    total = result.total
    if total.old_held or total.new_held:
        tables.append(held_table(result))
    if total.old.cost_minor or total.new.cost_minor:
        tables.append(budget_table(result))
    for table in tables:
        console.print(terminal(table))
