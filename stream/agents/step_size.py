"""How much a partition takes into one step: little when somebody waits for an answer, much when all are far behind.

A transaction costs 3 ms of work whatever is in it, and a customer who is touched ten times in a step is encoded and written
once. So large steps are cheap, and small ones are quick.
"""

from __future__ import annotations

import time

QUICK_SECONDS = 0.1
"""Longest work on one step while a partition of the worker keeps up. Longer: after a pause the events that arrive now wait
for so long behind a large batch, and the other partitions of the worker with them; shorter: a transaction becomes a
noticeable part of the cost of slow rules."""

BULK_SECONDS = 0.5
"""Longest work on one step while all are far behind. Longer: the worker's HTTP answers and a pause before a rebalance wait
for it (the group waits 30 s, a probe 1 s; heartbeats have their own thread), for a part in a hundred at best; shorter: more
transactions, and customers are encoded more often."""

FAR_SECONDS = 5.0
"""Work that waits for a partition that is far behind. Whoever arrives there now waits for so long anyway, ten large steps, and
the end of the backlog is worked off in small ones. More: a backlog is worked off in small steps for longer; less: an
ordinary pause would be followed by large steps."""

_FEWEST = 50
"""Records that say how long one takes, and least in a batch however slow they are, when so many are there: with fewer, what
an unlucky one takes would decide about the next batch."""

_FIRST_SECONDS_EACH = 50e-6
"""Work per record before any was measured."""


class Haste:
    """Whether a partition of this worker keeps up with its inputs, in which case no other may make it wait for long."""

    def __init__(self) -> None:
        self._until = 0.0

    def keeps_up(self) -> None:
        """A partition that isn't far behind has records."""
        self._until = time.monotonic() + FAR_SECONDS

    @property
    def needed(self) -> bool:
        """Whether one has had any lately."""
        return time.monotonic() < self._until


class StepSize:
    """How many records one partition takes into its next step."""

    def __init__(self, haste: Haste) -> None:
        self._haste = haste
        self._seconds_each = _FIRST_SECONDS_EACH

    def most(self, waiting: int) -> int:
        """Records in the next step, when so many wait for the partition, here or with the broker."""
        if waiting and waiting * self._seconds_each < FAR_SECONDS:
            self._haste.keeps_up()
        seconds = QUICK_SECONDS if self._haste.needed else BULK_SECONDS
        return max(_FEWEST, int(seconds / self._seconds_each))

    def took(self, records: int, seconds: float) -> None:
        """A step is done."""
        if records >= _FEWEST:
            self._seconds_each += (seconds / records - self._seconds_each) / 4
