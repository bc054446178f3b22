"""`winback replay` on a generated day: events a second with one process and with two, and that both write the same bytes.

The clock runs from the command's start to its end: start of the processes, reading, playing, merging and writing.
"""

from __future__ import annotations

import argparse
import hashlib
import json as json_module
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench._events import CUSTOMERS, write


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--days", type=float, default=1.0, help="what the events are spread over")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])


def main(json: bool, events: int, customers: int, days: float, processes: list[int]) -> None:
    """Prints the table, or the same as JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "events.jsonl"
        write(file, events, customers=customers, days=days)
        table = {str(number): _run(file, folder / str(number), events, number) for number in processes}
        same = len({_content(folder / str(number)) for number in processes}) == 1
    if json:
        print(json_module.dumps({"events": events, "customers": customers, "same_bytes": same, "processes": table}))
    else:
        print(f"{events:,} events of {customers:,} customers over {days:g} days")
        print(f"{'processes':>9}{'events/s':>12}{'seconds':>10}{'CPU s':>10}{'CPU us/event':>14}{'peak MB each':>14}")
        for number, row in table.items():
            print(
                f"{number:>9}{row['eps']:>12,.0f}{row['seconds']:>10.1f}{row['cpu_s']:>10.1f}"
                f"{row['cpu_s'] / events * 1e6:>14.1f}{row['peak_mb']:>14,.0f}"
            )
        print("the same bytes" if same else "OTHER BYTES")
    if not same:
        sys.exit(1)


def _run(file: Path, out: Path, events: int, processes: int) -> dict[str, Any]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "stream", "replay", str(file), "--out", str(out), "--processes", str(processes)]
    child = subprocess.Popen([*command, "--json"], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if child.returncode:
        raise SystemExit(f"replay ended with {child.returncode}")
    cpu_s = used.ru_utime + used.ru_stime
    return {
        "eps": events / seconds,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "cpu_s_per_million": cpu_s / events * 1e6,
        "peak_mb": used.ru_maxrss / 1024,
    }


def _content(out: Path) -> str:
    """A hash of everything that must not depend on the run."""
    digest = hashlib.blake2b()
    for path in sorted(out.iterdir()):
        if path.name != "run.json":
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
    return digest.hexdigest()
