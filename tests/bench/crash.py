"""The crash suite: whole-job workers on real brokers under load, one fault a round, and then the account.

Every customer's state must equal a plain re-count of the input, every action must be there exactly once for a consumer that
reads committed, timers neither lost nor doubled, and no dead letter may be there that wasn't planted. Ends with code 1 and a
precise account if anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stream.adapters.broker import EmbeddedBroker
from tests.bench._crash.faults import FAULTS
from tests.bench._crash.suite import Plan, Report, Round, Suite


def arguments(parser: argparse.ArgumentParser) -> None:
    """The suite's own flags."""
    parser.add_argument("--rounds", type=int, default=10, help="how many faults [default: 10]")
    parser.add_argument("--seed", type=int, default=1, help="of load and faults; repeats a run [default: 1]")
    parser.add_argument("--delivery", choices=("exactly_once", "at_least_once"), default="exactly_once")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3, help="Kafka nodes [default: 3]")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second while a fault is at work")
    parser.add_argument("--faults", default="", help=f"comma-separated, of: {', '.join(FAULTS)} [default: all]")
    parser.add_argument(
        "--plant",
        choices=("early-commit",),
        default="",
        help="a bug that the suite must find: offsets committed too early",
    )


def main(
    *,
    rounds: int,
    seed: int,
    delivery: str,
    brokers: int,
    rate: float,
    faults: str,
    plant: str,
    json: bool,
) -> None:
    """Runs the suite and prints what became of it."""
    chosen = tuple(name for name in faults.split(",") if name)
    if unknown := set(chosen) - FAULTS.keys():
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    plan = Plan(rounds=rounds, seed=seed, delivery=delivery, nodes=brokers, rate=rate, faults=chosen, plant=plant)
    console = Console(stderr=json)
    report = run(plan, console)
    if json:
        sys.stdout.buffer.write(orjson.dumps(summary(report), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    else:
        show(report, console)
    if report.failed:
        complain(report, console)
        sys.exit(1)


def run(plan: Plan, console: Console) -> Report:
    """Starts brokers, runs the rounds, and keeps the logs of a run that failed."""
    folder = Path(tempfile.mkdtemp(prefix="winback-crash-"))
    # The suite's own clients say "error" for each retry while brokers come and go.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"starting {plan.nodes} brokers", total=plan.rounds)

        def on_begin(number: int, fault: str) -> None:
            bar.update(task, description=f"round {number}: {fault}")

        def on_round(done: Round) -> None:
            bar.advance(task)
            verdict = "[red]differs[/red]" if done.differences else "right"
            recovery = f"{done.recovery_s:5.2f} s"
            console.print(
                f"{done.number:4d}  {done.fault:18} {done.events:6,} events  recovered in {recovery}  {verdict}"
            )

        with EmbeddedBroker(folder / "broker", nodes=plan.nodes) as cluster:
            suite = Suite(plan, cluster, folder, lambda text: console.print(f"      [dim]{text}[/dim]"))
            report = asyncio.run(suite.run(on_round, on_begin))
    return report


def summary(report: Report) -> dict[str, Any]:
    """The run as figures."""
    times = defaultdict(list)
    for done in report.rounds:
        if done.recovery_s:
            times[done.fault].append(done.recovery_s)
    recoveries = [seconds for some in times.values() for seconds in some]
    return {
        "rounds": len(report.rounds),
        "events": sum(done.events for done in report.rounds),
        "lost": sum(done.lost for done in report.rounds),
        "duplicated": sum(done.duplicated for done in report.rounds),
        "mismatched": sum(done.mismatched for done in report.rounds),
        "recovery_s_p50": percentile(recoveries, 50),
        "recovery_s_p99": percentile(recoveries, 99),
        "recovery_s_max": percentile(recoveries, 100),
        "customers": report.customers,
        "decisions": report.decisions,
        "dead_letters": report.letters,
        "repeated_under_the_same_id": report.repeated,
        "decisions_as_in_replay": report.replayed,
        "seed": report.plan.seed,
        "delivery": report.plan.delivery,
        "brokers": report.plan.nodes,
        "seconds": round(report.seconds, 1),
        "by_fault": {
            name: {
                "rounds": len(some),
                "recovery_s_p50": percentile(some, 50),
                "recovery_s_p99": percentile(some, 99),
                "recovery_s_max": percentile(some, 100),
            }
            for name, some in sorted(times.items())
        },
        "differences": [text for done in report.rounds for text in done.differences],
    }


def percentile(seconds: Sequence[float], share: int) -> float | None:
    """The smallest value that so many per cent don't exceed; ``None`` of nothing.

    >>> percentile([3.0, 1.0, 2.0, 10.0], 50), percentile([3.0, 1.0], 99), percentile([], 50)
    (2.0, 3.0, None)
    """
    ordered = sorted(seconds)
    return round(ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)], 3) if ordered else None


def show(report: Report, console: Console) -> None:
    """The run as a table."""
    figures = summary(report)
    table = Table(
        "fault", "rounds", "p50 s", "p99 s", "max s", title="from the fault to a new commit on every partition"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    everything = {"rounds": figures["rounds"], **{name: figures[name] for name in _RECOVERY}}
    for name, row in {**figures["by_fault"], "all": everything}.items():
        table.add_row(
            name, str(row["rounds"]), *(f"{row[key]:.2f}" if row[key] is not None else "-" for key in _RECOVERY)
        )
    console.print(table)
    console.print(
        f"{figures['rounds']} rounds, {figures['events']:,} events of {figures['customers']:,} customers, "
        f"{figures['decisions']:,} decisions ({figures['decisions_as_in_replay']:,} of them checked against replay), "
        f"{figures['dead_letters']:,} planted dead letters, {figures['delivery']}, {figures['brokers']} brokers, "
        f"seed {figures['seed']}, {figures['seconds']:,.0f} s"
    )
    if report.plan.delivery == "at_least_once":
        console.print(f"published again under the same id: {figures['repeated_under_the_same_id']:,}")
    console.print(
        f"lost {figures['lost']}, duplicated {figures['duplicated']}, mismatched {figures['mismatched']}", style="bold"
    )


_RECOVERY = ("recovery_s_p50", "recovery_s_p99", "recovery_s_max")


def complain(report: Report, console: Console) -> None:
    """What differs, where, and how to see it again."""
    plan = report.plan
    for done in report.rounds:
        if done.differences:
            console.print(f"round {done.number}, {done.fault}:", style="red")
            for text in done.differences:
                console.print(f"  {text}", markup=False, highlight=False)
            more = done.lost + done.duplicated + done.mismatched - len(done.differences)
            if more:
                console.print(f"  and {more:,} more")
    command = f"uv run python -m tests.bench crash --rounds {len(report.rounds)} --seed {plan.seed}"
    command += f" --delivery {plan.delivery} --brokers {plan.nodes}"
    command += f" --faults {','.join(plan.faults)}" if plan.faults else ""
    command += f" --plant {plan.plant}" if plan.plant else ""
    console.print(f"again: {command}", markup=False)
    console.print(f"logs of workers and brokers: {report.logs}", markup=False)
