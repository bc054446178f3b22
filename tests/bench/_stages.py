"""Where a worker's CPU time goes, by stage: samples of its stacks, taken from outside by py-spy, times its CPU seconds.

The table adds up by construction: every sample of a running thread belongs to exactly one stage (the innermost frame that
a stage claims), and the shares are of the CPU time that the kernel counted for the process.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

RATE_HZ = 250
"""Samples a second. More: the sampler takes the broker's core; fewer: a stage of 1 % is a guess (60 s give 15,000)."""

STAGES: tuple[tuple[str, str], ...] = (
    ("decode and validate", r"stream/events/"),
    (
        "write: changelog, messages, offsets",
        r"aiokafka/producer/|agents/transactions|agents/topics|aiokafka/record/.*_build",
    ),
    ("inbox: check, merge, cut into batches", r"agents/inbox|agents/pace"),
    ("fetch", r"aiokafka/consumer/|aiokafka/record/|agents/transport|agents/source|aiokafka/protocol/"),
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


def stage_of(stack: str) -> str:
    """The stage of one stack as py-spy writes it: frames from the outermost to the innermost, separated by semicolons.

    >>> stage_of("run (stream/worker.py:1);apply (stream/processor/hot.py:3);decode (stream/events/codec.py:9)")
    'decode and validate'
    """
    for frame in reversed(stack.split(";")):
        for name, pattern in _OWN:
            if pattern.search(frame):
                return name
    return _REST


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Share of the samples by stage, in the order of `STAGES`; the sum is 1 (or nothing was sampled)."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if stack:
            found[stage_of(stack)] += int(count)
    total = found.total()
    return {name: found[name] / total for name, _ in STAGES if total and found[name]}


class Sampler:
    """py-spy on a running process for some seconds."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._raw = Path(tempfile.mkstemp(suffix=".stacks")[1])
        self._process = subprocess.Popen(
            [
                *(str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(pid), "--nonblocking"),
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

    def lines(self) -> Iterator[str]:
        """Waits for the end; collapsed stacks with their counts. `RuntimeError` with py-spy's own words if it failed."""
        _, said = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"py-spy: {said.decode().strip()}")
        yield from self._raw.read_text(encoding="utf-8").splitlines()
        self._raw.unlink()
