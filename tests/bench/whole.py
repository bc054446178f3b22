"""The whole job on the real worker, one core, exactly once: events/s, CPU seconds per million, and where they go.

Decode and validate, dedupe, full customer state, segments, churn score, all shipped rules with governance, decision
records, changelog, offsets. The shop has a past (half a year, a trained model); the load is 70 % browse, 25 % purchase and
5 % feedback of 200,000 customers with a Pareto skew. The peers run the much smaller job of `rfm`, for orientation.
"""

from __future__ import annotations

import argparse
import asyncio
import json as json_module
import statistics
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench._comparison import Comparison, peers_named
from tests.bench._rig import (
    BROKER_CORE,
    BenchFailed,
    Window,
    administrator,
    committed_offsets,
    committed_records,
    create_topics,
    delete_topics,
    describe,
    figures,
    fill,
    machine,
    measure,
    on_core,
    pinned_broker,
    say,
)
from tests.bench._shop_worker import give_past, load, shop_settings, until_ready, worker
from tests.bench._stages import Sampler
from tests.bench._warm import warm_shop
from tests.bench.peers.systems import PEERS

GOAL_EPS, FLOOR_EPS = 50_000, 25_000
_FASTEST_EPS = 60_000
"""For how many events a second the load must last. More: filling takes longer; fewer: a fast worker runs dry."""
_SPARE_SECONDS = 25.0
_told = [0.0]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--runs", type=int, default=3, help="windows to take the median of (default 3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a window (default 60)")
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds before it (default 20)")
    parser.add_argument("--customers", type=int, default=200_000, help="customers of the shop (default 200,000)")
    parser.add_argument("--delivery", default="exactly_once", choices=("exactly_once", "at_least_once"))
    parser.add_argument("--peers", default=",".join(PEERS), help="who runs the small job (default: all; '' for nobody)")


def main(*, json: bool, runs: int, seconds: float, warm_up: float, customers: int, delivery: str, peers: str) -> None:
    """Runs it and prints the result; exit code 1 below the floor."""
    systems, about = peers_named(peers), machine()
    with pinned_broker() as broker, tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(broker.bootstrap, systems, seconds, warm_up)
        ours = _WholeJob(broker.bootstrap, Path(folder), seconds, warm_up, customers, delivery)
        asyncio.run(_run(ours, comparison, runs))
    stages = {name: statistics.median(values) for name, values in ours.costs.items()}
    result: dict[str, Any] = {
        "ours": figures(ours.windows),
        "peers": comparison.result()["peers"],
        "failures": comparison.failures,
        "us_per_event": {name: round(value, 2) for name, value in stages.items()},
        "customers": customers,
        "delivery": delivery,
        "machine": about,
    }
    if json:
        print(json_module.dumps(result))
    else:
        _show(result, about)
    if comparison.failures:
        raise SystemExit(1)
    if result["ours"]["eps"] < FLOOR_EPS:
        raise SystemExit(f"{result['ours']['eps']:,} events/s are below the floor of {FLOOR_EPS:,}")


async def _run(ours: _WholeJob, comparison: Comparison, runs: int) -> None:
    await comparison.prepare()
    await ours.prepare()
    for number in range(runs):
        await ours.round(number)
        await comparison.round(number)


class _WholeJob:
    """The worker as it is shipped, measured in rounds like its peers."""

    def __init__(
        self, bootstrap: str, folder: Path, seconds: float, warm_up: float, customers: int, delivery: str
    ) -> None:
        self._bootstrap, self._folder = bootstrap, folder
        self._seconds, self._warm_up = seconds, warm_up
        self._customers, self._delivery = customers, delivery
        self._count = int((seconds + warm_up + _SPARE_SECONDS) * _FASTEST_EPS)
        self.windows: list[Window] = []
        self.costs: defaultdict[str, list[float]] = defaultdict(list)

    async def prepare(self) -> None:
        """Makes the shop's past and writes the load."""
        settings = shop_settings(self._bootstrap, "whole-0")
        say("a shop with a past")
        self._warm = warm_shop(settings, self._customers, int(time.time() * 1000), _tell)
        await create_topics(self._bootstrap, settings.input_topics)
        say(f"filling the inputs with {self._count:,} events")
        await fill(self._bootstrap, load(self._count, customers=self._customers))

    async def round(self, number: int) -> None:
        """One window on a shop that nobody has touched."""
        settings = shop_settings(self._bootstrap, f"whole-{number}", delivery=self._delivery)
        await give_past(self._bootstrap, settings, self._warm)
        async with administrator(self._bootstrap) as admin:
            with worker(settings, self._folder / f"worker-{number}.log") as program:
                position = partial(committed_offsets, admin, settings.app_id, settings.input_topics)
                say(f"the whole job, round {number + 1}: ready after {await until_ready(settings, program):.1f} s")
                sampling = asyncio.create_task(_sample(program.pid, self._warm_up, self._seconds))
                window = await measure(
                    program, position, end=self._count, warm_up_s=self._warm_up, window_s=self._seconds
                )
                for name, share in (await sampling).items():
                    self.costs[name].append(share * window.cpu_s_per_million)
        say(f"  {window.eps:,.0f} events/s, {window.cpu_s_per_million:.1f} CPU s per million")
        self.windows.append(window)
        async for letter in committed_records(self._bootstrap, f"{settings.topic_purchases}.dlq"):
            raise BenchFailed(f"a dead letter: {dict(letter.headers)}")
        await delete_topics(self._bootstrap, f"whole-{number}")


async def _sample(pid: int, warm_up: float, seconds: float) -> dict[str, float]:
    """Shares of the stages in the middle of the window."""
    await asyncio.sleep(warm_up + seconds * 0.1)
    with on_core(BROKER_CORE):
        sampler = Sampler(pid, seconds * 0.8)
    return await asyncio.to_thread(sampler.shares)


def _tell(what: str, done: int, total: int) -> None:
    if time.monotonic() - _told[0] > 10:
        _told[0] = time.monotonic()
        say(f"  {what}: {done:,} of {total:,}")


def _show(result: dict[str, Any], about: dict[str, Any]) -> None:
    ours = result["ours"]
    table = Table("stage", "µs per event", "share", title="Where a core's time goes")
    for column in table.columns[1:]:
        column.justify = "right"
    total = sum(result["us_per_event"].values())
    for name, value in result["us_per_event"].items():
        table.add_row(name, f"{value:.2f}", f"{value / total:.0%}")
    table.add_section()
    table.add_row("together", f"{total:.2f}", "100%")
    console = Console()
    console.print(describe(about))
    console.print(table)
    console.print(
        f"{ours['eps']:,} events/s on one core ({result['delivery']}), {ours['cpu_s_per_million']:.1f} CPU seconds per "
        f"million, {ours['resident_mib']:,} MiB resident with {result['customers']:,} customers"
    )
    for row in result["peers"].values():
        console.print(
            f"for orientation, the small job: {row['title']} {row['eps']:,} events/s, {row['cpu_s_per_million']:.1f} CPU "
            f"seconds per million"
        )
    for name, reason in result["failures"].items():
        console.print(f"{name} failed: {reason}", markup=False)
