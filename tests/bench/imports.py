"""`winback import` of a generated day onto an embedded broker on the same machine: seconds, and every line accounted for.

The clock runs from the command's start to its end, when the broker has acknowledged every record. A few lines are broken: they
must come back as rejected, all others must be on the topics, by the topics' own end offsets.
"""

from __future__ import annotations

import argparse
import asyncio
import json as json_module
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stream.adapters.broker import EmbeddedBroker
from stream.adapters.files_send import BulkSender
from stream.agents.connection import client_options
from stream.config import Settings, make_settings
from tests.bench._events import CUSTOMERS, events

_BROKEN_EVERY = 100_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--partitions", type=int, default=8)


def main(json: bool, events: int, customers: int, partitions: int) -> None:
    """Prints the figures, or the same as JSON."""
    with tempfile.TemporaryDirectory(prefix="winback-bench-") as name:
        folder = Path(name)
        file = folder / "day.jsonl"
        broken = _write(file, events, customers)
        with EmbeddedBroker(folder / "broker") as broker:
            settings = make_settings(
                broker=f"kafka://{broker.bootstrap}", partitions=partitions, data_dir=str(folder / "data")
            )
            figures = _import(file, settings)
            written = asyncio.run(_written(settings))
        size = file.stat().st_size
    told = figures.pop("summary")
    markers = len(told["by_topic"]) * partitions
    whole = (told["messages"], told["rows_rejected"], written) == (events, broken, events + markers)
    if json:
        print(
            json_module.dumps(
                {"events": events, "all_accounted_for": whole, **figures, "eps": events / figures["seconds"]}
            )
        )
    else:
        print(
            f"{events:,} events of {customers:,} customers, {size / 1e6:,.0f} MB, onto {partitions} partitions a topic"
        )
        print(
            f"{figures['seconds']:.1f} s: {events / figures['seconds']:,.0f} events/s; {figures['cpu_s']:.1f} CPU s "
            f"({figures['cpu_s'] / events * 1e6:.1f} us an event), at most {figures['peak_mb']:.0f} MB a process"
        )
        print(
            f"sent {told['messages']:,}, rejected {told['rows_rejected']:,} of {broken:,} broken, on the topics {written - markers:,}"
        )
    if not whole:
        sys.exit("not every line is accounted for")


def _write(path: Path, count: int, customers: int) -> int:
    """The day's file; the number of broken lines among them."""
    broken = 0
    with path.open("wb", buffering=1 << 20) as file:
        for number, (_, _, value) in enumerate(events(count, customers=customers)):
            file.write(b"%b\n" % value)
            if not number % _BROKEN_EVERY:
                file.write(b"%b\n" % value[: len(value) // 2])
                broken += 1
    return broken


def _import(file: Path, settings: Settings) -> dict[str, Any]:
    named = {
        "WINBACK_BROKER": settings.broker,
        "WINBACK_PARTITIONS": str(settings.partitions),
        "WINBACK_DATA_DIR": settings.data_dir,
    }
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "stream", "import", "--json", str(file)],
        stdout=subprocess.PIPE, env={**os.environ, **named},
    )  # fmt: skip
    assert child.stdout is not None
    told = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if not told:
        raise SystemExit(f"import ended with {child.returncode}")
    return {
        "seconds": seconds,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
        "summary": json_module.loads(told),
    }


async def _written(settings: Settings) -> int:
    async with BulkSender(client_options(settings)) as sender:
        await sender.open_topics(settings.input_topics)
        return await sender.written(settings.input_topics)
