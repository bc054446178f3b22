"""What the benchmarks on a real broker share: a pinned broker, filled topics, a pinned program, and a window of its work.

The broker gets one core and the program under test another one, so that neither lives at the other's expense. Progress is
what the program's consumer group has committed: what a system would not have to repeat after a crash. A window begins and
ends in the moment of a commit, and CPU time is read in the same moments, so that a system which commits every ten seconds
is measured as fairly as one which does so every ten milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.adapters.broker import EmbeddedBroker
from tests.bench._program import (
    BROKER_CORE,
    PROGRAM_CORE,
    BenchFailed,
    Program,
    core_busy_seconds,
    cpu_seconds,
    on_core,
    process_tree,
    resident_bytes,
)
from tests.bench._topics import (
    PARTITIONS,
    administrator,
    committed_offsets,
    committed_records,
    create_topics,
    delete_topics,
    fill,
)

__all__ = [
    "BROKER_CORE", "PARTITIONS", "PROGRAM_CORE", "BenchFailed", "Program", "Window", "administrator", "committed_offsets",
    "committed_records", "core_busy_seconds", "cpu_seconds", "create_topics", "delete_topics", "describe", "figures", "fill",
    "machine", "measure", "on_core", "pinned_broker", "process_tree", "resident_bytes", "say", "wait_for",
]  # fmt: skip

_BROKER_HEAP_MIB = 1_024
_POLL_SECONDS = 0.1
"""How often progress is asked for: the error of a window's length. Shorter: it costs the broker more."""


@contextlib.contextmanager
def pinned_broker(folder: Path | None = None, *, heap_mib: int = _BROKER_HEAP_MIB) -> Iterator[EmbeddedBroker]:
    """A broker of one node on `BROKER_CORE`, and this process with it; its data is gone afterwards unless a folder is given."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # says "error" for each retry of what it then does itself
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="winback-bench-")))
        stack.enter_context(on_core(BROKER_CORE))
        yield stack.enter_context(EmbeddedBroker(folder, heap_mib=heap_mib))


class Window(msgspec.Struct, frozen=True):
    """What a program did between two of its commits."""

    seconds: float
    events: int
    cpu_s: float
    """CPU time of its process tree."""
    commits: int
    """Advances of the committed position that were seen, at most one per poll (0.1 s): at least as many snapshots."""
    resident_mib: float
    """At the end."""
    foreign_cpu_s: float
    """How long others kept its core busy, kernel threads and interrupts included. Much of it: measure again."""

    @property
    def eps(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds per million events."""
        return self.cpu_s / self.events * 1e6


async def measure(
    program: Program,
    position: Callable[[], Awaitable[int]],
    *,
    end: int | None = None,
    warm_up_s: float = 20.0,
    window_s: float = 60.0,
    min_commits: int = 1,
    patience_s: float = 120.0,
) -> Window:
    """Waits for the first commit, lets the program warm up from there, and watches a window of its work.

    Args:
        program: what runs.
        position: how many events are committed, like `committed_offsets`.
        end: how many events there are: a program that gets there has run out of work, and its window is worth nothing.
        warm_up_s: from the first commit on, seconds.
        window_s: length of the window, seconds; it is as much longer as the next commit needs.
        min_commits: the window also lasts until so many commits were seen in it.
        patience_s: longest wait for any commit, seconds.

    Raises:
        BenchFailed: the program ended, made no progress, or ran out of work.
    """

    async def next_commit(after: int) -> int:
        deadline = time.monotonic() + patience_s
        while (now := await position()) <= after:
            program.check()
            if time.monotonic() > deadline:
                raise BenchFailed(f"no progress beyond {after:,} events in {patience_s:.0f} s\n{program.last_words()}")
            await asyncio.sleep(_POLL_SECONDS)
        if end is not None and now >= end:
            raise BenchFailed(f"all {end:,} events are used up before the window is over; more are needed")
        return now

    first = await next_commit(0)
    started = time.monotonic()
    while time.monotonic() < started + warm_up_s:
        first = await next_commit(first)
        await asyncio.sleep(_POLL_SECONDS)
    first = await next_commit(first)
    begun, cpu, busy = time.monotonic(), program.cpu_seconds(), core_busy_seconds(PROGRAM_CORE)
    last, commits = first, 0
    while time.monotonic() < begun + window_s or commits < min_commits:
        await asyncio.sleep(_POLL_SECONDS)
        last = await next_commit(last)
        commits += 1
    seconds = time.monotonic() - begun
    cpu, busy = program.cpu_seconds() - cpu, core_busy_seconds(PROGRAM_CORE) - busy
    return Window(seconds, last - first, cpu, commits, program.resident_bytes() / 2**20, max(0.0, busy - cpu))


async def wait_for(program: Program, position: Callable[[], Awaitable[int]], end: int, timeout_s: float) -> None:
    """Waits until the program has committed everything."""
    deadline = time.monotonic() + timeout_s
    while (now := await position()) < end:
        program.check()
        if time.monotonic() > deadline:
            raise BenchFailed(f"{now:,} of {end:,} events after {timeout_s:.0f} s\n{program.last_words()}")
        await asyncio.sleep(_POLL_SECONDS)


def figures(windows: Sequence[Window]) -> dict[str, Any]:
    """Medians of several windows, rounded, as the benchmarks' JSON has them."""
    return {
        "eps": round(statistics.median(window.eps for window in windows)),
        "cpu_s_per_million": round(statistics.median(window.cpu_s_per_million for window in windows), 2),
        "resident_mib": round(statistics.median(window.resident_mib for window in windows)),
        "windows": [
            {"eps": round(window.eps), "cpu_s_per_million": round(window.cpu_s_per_million, 2)}
            | msgspec.structs.asdict(window)
            for window in windows
        ],
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu_lines = Path("/proc/cpuinfo").read_text().splitlines()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": next(
            (line.partition(": ")[2] for line in cpu_lines if line.startswith("model name")), platform.machine()
        ),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def describe(about: Mapping[str, Any]) -> str:
    """`machine` in a line."""
    return (
        f"{about['cores']} cores of {about['cpu']}, {about['memory_gib']} GiB, {about['system']}, "
        f"Python {about['python']}; load {about['load_1_min']} at the start"
    )


def say(text: str) -> None:
    """A line about progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)
