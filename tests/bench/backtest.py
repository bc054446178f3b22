"""`winback backtest` on a generated year: seconds and CPU time for two sets of rules, memory, and the same bytes when run again.

The old rules are those that come with Winback; the new ones leave one of them out and ask another earlier. The events are those
of `whole`, over a year. The clock runs from the command's start to its end; CPU time is that of all processes.
"""

from __future__ import annotations

import argparse
import hashlib
import json as json_module
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from stream.rules import loader
from tests.bench._events import CUSTOMERS, write
from tests.bench.replay import ran

GOAL_US = 120.0
"""CPU time of an event that two cores have, if ten million are to take ten minutes."""
_FILES = ("backtest.json", "differences.jsonl", "report.html")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--customers",
        type=int,
        default=None,
        help=f"default: one for 50 events, as 10 million events of {CUSTOMERS:,} have",
    )
    parser.add_argument("--days", type=float, default=365.0, help="what the events are spread over")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--once", action="store_true", help="don't run it again to compare the bytes")
    parser.add_argument("--folder", type=Path, default=None, help="where events and work go (1 KB an event)")


def main(
    json: bool, events: int, customers: int | None, days: float, processes: int, once: bool, folder: Path | None
) -> None:
    """Prints the figures, or the same as JSON."""
    customers = customers or max(1, events // 50)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        file = place / "events.jsonl"
        write(file, events, customers=customers, days=days)
        rules = _changed(place / "new")
        runs, contents = [], []
        for number in range(1 if once else 2):
            out = place / str(number)
            runs.append(ran(_command(file, rules, out, processes), events))
            contents.append(_content(out))
        result = orjson.loads((place / "0" / "backtest.json").read_bytes())
        differences = sum(1 for _ in (place / "0" / "differences.jsonl").open("rb"))
    same = len(set(contents)) == 1
    told: dict[str, Any] = {
        "events": result["events"],
        "customers": result["customers"],
        "days": days,
        "processes": processes,
        "messages": [result["total"][side]["messages"] for side in ("old", "new")],
        "differences": differences,
        "same_bytes": None if once else same,
        "runs": runs,
    }
    if json:
        print(json_module.dumps(told))
    else:
        print(
            f"{told['events']:,} events of {told['customers']:,} customers over {days:g} days, {processes} processes: "
            f"{told['messages'][0]:,} messages under the old rules, {told['messages'][1]:,} under the new, {differences:,} differences"
        )
        for run in runs:
            us = run["cpu_s"] / events * 1e6
            print(
                f"{run['seconds']:,.1f} s, {run['cpu_s']:,.1f} s of CPU: {us:.0f} us an event for both versions "
                f"(10 million in 10 minutes on two cores: {GOAL_US:.0f}), {run['peak_mb']:,.0f} MB the largest process"
            )
        if not once:
            print("the same bytes" if same else "OTHER BYTES")
    if not same:
        sys.exit(1)


def _changed(folder: Path) -> Path:
    """The shipped rules without one, and with one that asks earlier."""
    folder.mkdir()
    for path in sorted((Path(loader.__file__).parent / "library").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        if path.stem == "lapsed-60":
            assert "after: 60d" in text
            text = text.replace("after: 60d", "after: 45d")
        if path.stem != "welcome":
            (folder / path.name).write_text(text, encoding="utf-8")
    return folder


def _command(file: Path, rules: Path, out: Path, processes: int) -> list[str]:
    command = [sys.executable, "-m", "stream", "backtest", str(file), "--rules", str(rules), "--out", str(out)]
    return [*command, "--processes", str(processes), "--json"]


def _content(out: Path) -> str:
    return hashlib.blake2b(b"".join((out / name).read_bytes() for name in _FILES)).hexdigest()
