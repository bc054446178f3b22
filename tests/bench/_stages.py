"""Where a worker's CPU time goes, by stage: samples of its stacks, taken from outside by py-spy, times its CPU seconds.

The table adds up by construction: every sample of a thread belongs to exactly one stage (the innermost frame that a stage
claims), and a thread's samples share the CPU time that the kernel counted for that thread. The sampler itself can't tell a
thread that works from one that waits for Python's lock: counted alike, the consumer's thread seems to take a fifth of the core
with nothing in hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

RATE_HZ = 250
"""Samples a second. More: the sampler takes the broker's core; fewer: a stage of 1 % is a guess (60 s give 15,000)."""

STAGES: tuple[tuple[str, str], ...] = (
    ("decode and validate", r"stream/events/"),
    (
        "write: changelog, messages, offsets",
        r"aiokafka/producer/|agents/(transactions|plain_writer|writing|topics)|aiokafka/record/.*_build",
    ),
    ("inbox: check, merge, cut into batches", r"agents/(inbox|pace|step_size)"),
    ("fetch", r"aiokafka/consumer/|aiokafka/record/|aiokafka/protocol/|agents/(transport|fetched|source)"),
    ("due index and timers", r"processor/due_index|rules/schedule|segments/reviews|churn/calendar"),
    ("state: load, fold, encode", r"stream/state/"),
    ("segments", r"stream/segments/"),
    ("churn score and snapshots", r"stream/churn/|processor/scoring"),
    ("rules and governance", r"stream/rules/"),
    ("decision records", r"stream/actions/"),
    ("processor: the join itself", r"stream/processor/"),
    ("metrics", r"adapters/metric|prometheus_client/"),
    ("runner", r"stream/agents/|stream/outcome"),
    ("Faust, asyncio, the rest", r""),
)
"""Stage and the files whose frames it claims; the first that matches a frame wins, from the innermost frame outwards."""

_OWN = [(name, re.compile(pattern)) for name, pattern in STAGES if pattern]
_REST = STAGES[-1][0]
_OF_THE_CONSUMER, _FETCH = "mode/threads", "fetch"
"""What all stacks of the consumer's thread have in common: what no stage claims there is fetching, too."""
_OF_THE_CLIENT, _WRITE = "aiokafka/", "write: changelog, messages, offsets"
"""The client's connections, in the other thread: those of the producers."""
_WAITS = re.compile(r"select \(selectors\.py:\d+\)$|wait \(threading\.py:\d+\)$")
"""Innermost frame of a thread that waits, for the network or for Python's lock."""
_THREAD = re.compile(r"thread \((\d+)\)[^;]*;")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def stage_of(stack: str) -> str:
    """The stage of one stack as py-spy writes it: frames from the outermost to the innermost, separated by semicolons.

    >>> stage_of("run (stream/worker.py:1);apply (stream/processor/hot.py:3);decode (stream/events/codec.py:9)")
    'decode and validate'
    """
    for frame in reversed(stack.split(";")):
        for name, pattern in _OWN:
            if pattern.search(frame):
                return name
    if _OF_THE_CONSUMER in stack:
        return _FETCH
    return _WRITE if _OF_THE_CLIENT in stack else _REST


def shares(lines: Iterable[str], seconds: Mapping[int, float]) -> dict[str, float]:
    """Share of the CPU time by stage, in the order of `STAGES`; the sum is 1 (or nothing was used).

    ``seconds`` is what each thread used while the samples were taken, by its id; one without samples is the rest.

    >>> lines = ["thread (1): Main;fold (stream/state/a.py:1) 3", "thread (2): Other;select (selectors.py:468) 3"]
    >>> shares(lines, {1: 9.0, 2: 1.0})
    {'state: load, fold, encode': 0.9, 'Faust, asyncio, the rest': 0.1}
    """
    found: dict[int, Counter[str]] = {thread: Counter() for thread in seconds}
    for line in lines:
        stack, _, count = line.rpartition(" ")
        thread = _THREAD.match(stack)
        if not count.isdigit():
            continue  # the process isn't stopped for a sample: now and then one is read while it changes, and is no text
        if thread and int(thread[1]) in found and not _WAITS.search(stack):
            found[int(thread[1])][stage_of(stack)] += int(count)
    spent = dict.fromkeys((name for name, _ in STAGES), 0.0)
    for number, stages in found.items():
        for name, samples in (stages or Counter({_REST: 1})).items():
            spent[name] += seconds[number] * samples / (stages.total() or 1)
    total = sum(spent.values())
    return {name: spent[name] / total for name, _ in STAGES if total and spent[name]}


def thread_seconds(pid: int) -> dict[int, float]:
    """CPU time of each thread of a process so far, by the thread's id."""
    found = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            found[int(folder.name)] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
    return found


class Sampler:
    """py-spy on a running process for some seconds."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._watched = pid
        self._before = thread_seconds(pid)
        self._raw = Path(tempfile.mkstemp(suffix=".stacks")[1])
        self._process = subprocess.Popen(
            [
                *(
                    str(Path(sys.executable).parent / "py-spy"),
                    "record",
                    "--pid",
                    str(pid),
                    "--nonblocking",
                    "--threads",
                ),
                *("--duration", str(int(seconds)), "--rate", str(RATE_HZ), "--format", "raw"),
                *("--output", str(self._raw)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """Of the sampler, to be pinned away from what it watches."""
        return self._process.pid

    def shares(self) -> dict[str, float]:
        """Waits for the end; share of the CPU time by stage. `RuntimeError` with py-spy's own words if it failed."""
        _, said = self._process.communicate()
        after = thread_seconds(self._watched)
        if self._process.returncode:
            raise RuntimeError(f"py-spy: {said.decode().strip()}")
        lines = self._raw.read_text(encoding="utf-8").splitlines()
        self._raw.unlink()
        return shares(lines, {thread: seconds - self._before.get(thread, 0.0) for thread, seconds in after.items()})
