"""The RFM job, exactly once, on one core: Winback's shell against Faust, Quix Streams and Flink.

Every job is written as the documentation of its system would write it; Flink's a second time (`flink_tuned`) with all that its
public API has for speed, which is more than most users do and as fair to Flink as we could be.

The figures are medians over rounds in which everybody takes a turn. A peer that can't be installed, fails or is wrong fails
the comparison: exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json as json_module
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench._comparison import Comparison, peers_named
from tests.bench._rig import describe, machine, pinned_broker
from tests.bench.peers.systems import OURS, PEERS


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--peers", default=",".join(PEERS), help="which, separated by commas (default: all)")
    parser.add_argument("--pairs", type=int, default=3, help="rounds in which everybody runs once (default: 3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a window (default: 60)")
    parser.add_argument("--warm-up", type=float, default=20.0, help="seconds from the first commit on (default: 20)")
    parser.add_argument("--records", type=int, default=0, help="events of the load (default: enough for the windows)")


def main(json: bool, peers: str, pairs: int, seconds: float, warm_up: float, records: int) -> None:
    """Runs the comparison and prints it; exit code 1 if any system fails."""
    systems = {"ours": OURS} | peers_named(peers)
    about = machine()
    with pinned_broker() as broker:
        comparison = Comparison(broker.bootstrap, systems, seconds, warm_up)
        asyncio.run(_run(comparison, pairs, records))
    result = {"machine": about, "pairs": pairs, "seconds": seconds, "warm_up": warm_up, **comparison.result()}
    if json:
        print(json_module.dumps(result))
    else:
        _print(result)
    if comparison.failures:
        sys.exit(1)


async def _run(comparison: Comparison, pairs: int, records: int) -> None:
    await comparison.prepare(records)
    for number in range(pairs):
        await comparison.round(number)


def _print(result: dict[str, Any]) -> None:
    table = Table(
        "", "delivery", "events/s", "CPU s per million", "resident MiB", "ours: times faster", "times less CPU"
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for name, row in {"ours": result["ours"], **result["peers"]}.items():
        if not row:
            continue
        ratio = result["speedup"].get(name, {})
        table.add_row(
            row["title"], row["guarantee"], f"{row['eps']:,}", f"{row['cpu_s_per_million']:.2f}",
            f"{row['resident_mib']:,}", str(ratio.get("eps", "")), str(ratio.get("cpu", "")),
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(
        f"Medians of {result['pairs']} rounds, windows of {result['seconds']:g} s after {result['warm_up']:g} s of warm-up; "
        f"{describe(result['machine'])}."
    )
    for name, reason in result["failures"].items():
        console.print(f"{name} failed: {reason}", markup=False)
