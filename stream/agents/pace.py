"""What a partition does next: the strategy that the wall clock and the event clock differ in."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from stream.agents.inbox import Batch, Inbox
from stream.agents.ports import Clock, Processor
from stream.config import DAY_MS


class Apply(msgspec.Struct, frozen=True):
    """Apply these records."""

    batch: Batch
    now_ms: int


class Tick(msgspec.Struct, frozen=True):
    """Let time pass up to here."""

    now_ms: int


class Wait(enum.Enum):
    """Do nothing until something happens."""

    RECORDS = enum.auto()
    EPOCH = enum.auto()
    CAUGHT_UP = enum.auto()


Move = Apply | Tick | Wait


class Pace(Protocol):
    """Decides the next move."""

    def next(self, processor: Processor, inbox: Inbox, most: int) -> Move:
        """The next move, with a batch of at most so many records. Asking again without a move changes nothing."""

    def moved(self, move: Move) -> None:
        """The move is done and committed."""

    def now_ms(self) -> int:
        """The time that drives the timers."""


class WallPace:
    """Live: records as they come, timers by the wall clock.

    What is due is fired in the same step as the records that wait, since it would delay them by a transaction of its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ticked = False
        self.timers_off = False
        """Set by the runner while the processor fails at its timers: the records go on."""
        self.apart = False
        """Set by the runner while it looks for a record that can't be processed or written, so that none gets the blame for a
        timer: the two take turns then, and neither starves the other."""

    def next(self, processor: Processor, inbox: Inbox, most: int) -> Move:
        """What has arrived, else a tick if one is due."""
        now = self._clock.now_ms()
        is_due = self._is_due(processor, now)
        if len(inbox) and not (is_due and self.apart and not self._ticked):
            return Apply(inbox.peek(most), now)
        return Tick(now) if is_due else Wait.RECORDS

    def joins_tick(self, processor: Processor, now_ms: int) -> bool:
        """Whether a tick belongs into the step that has applied records at ``now_ms``."""
        return not self.apart and self._is_due(processor, now_ms)

    def _is_due(self, processor: Processor, now_ms: int) -> bool:
        due = processor.next_due_ms()
        return due is not None and due <= now_ms and not self.timers_off

    def moved(self, move: Move) -> None:
        """Remembers whose turn it was."""
        self._ticked = isinstance(move, Tick)

    def now_ms(self) -> int:
        """Now."""
        return self._clock.now_ms()


class EventPace:
    """Data sets and tests: the topics are merged by event time up to their ends, and the merged head is the clock.

    At each UTC midnight the partition first lets its timers catch up to it, which also emits its contribution to the
    next epoch, and then waits until that epoch is published: so every decision is made with the thresholds and the model
    of its own day, as in replay. After the inputs' end, time goes on to ``until_ms`` in the same way. What happened later than
    that stays on the topics: its days could never begin, as partitions without such events close no day beyond it.
    """

    def __init__(self, until_ms: int | None) -> None:
        self._until_ms = until_ms
        self._head_ms: int | None = None
        self._closed_ms = -1
        self.ends: dict[str, int] = {}
        """By topic, up to where it is merged; the runner looks them up again when all are reached."""
        self.at_ends = False
        """Whether the runner has confirmed that there is nothing more."""

    def next(self, processor: Processor, inbox: Inbox, most: int) -> Move:
        """A batch within one day, a tick to its start, or a wait for its epoch."""
        if inbox.behind(self.ends):
            return Wait.RECORDS
        at = inbox.next_ms()
        if at is None and not self.at_ends:
            return Wait.RECORDS
        until_ms = self._until_ms
        if at is None or (until_ms is not None and at > until_ms):
            return self._towards(until_ms, processor) or Wait.CAUGHT_UP
        self.at_ends = False
        if at >= 0 and (move := self._to_day(at, processor)) is not None:
            return move
        # -1 (no time, taken at once) and late records belong to the head's day.
        head = max(at, -1 if self._head_ms is None else self._head_ms)
        before_ms = 0 if head < 0 else (head // DAY_MS + 1) * DAY_MS
        batch = inbox.peek(most, before_ms if until_ms is None else min(before_ms, until_ms + 1))
        return Apply(batch, max(head, 0, -1 if batch.last_ms is None else batch.last_ms))

    def _towards(self, target_ms: int | None, processor: Processor) -> Move | None:
        """The next move on the way to an instant; ``None`` when time is there."""
        if target_ms is None:
            return None
        if (move := self._to_day(target_ms, processor)) is not None:
            return move
        due = processor.next_due_ms()
        if self._head_ms is None or self._head_ms < target_ms or (due is not None and due <= target_ms):
            return Tick(target_ms)
        return None

    def _to_day(self, at_ms: int, processor: Processor) -> Move | None:
        """The next move on the way to the start of an instant's day, midnight by midnight; ``None`` when there."""
        target = at_ms - at_ms % DAY_MS
        if self._head_ms is None:
            # After a restart the processor knows best where it stopped: its next timer is at the latest that midnight.
            due = processor.next_due_ms()
            midnight = target if due is None else min(target, due - due % DAY_MS)
        elif self._head_ms >= target:
            return None
        else:
            midnight = (self._head_ms // DAY_MS + 1) * DAY_MS
        due = processor.next_due_ms()
        awaits = processor.awaits_epoch(midnight)
        # A new partition has no timers yet, not even its first midnight: the tick begins its calendar.
        begins = (awaits or self._head_ms is None) and self._closed_ms != midnight
        if begins or (due is not None and due <= midnight):
            return Tick(midnight)
        if awaits:
            return Wait.EPOCH
        self._head_ms = midnight
        return self._to_day(at_ms, processor) if midnight < target else None

    def moved(self, move: Move) -> None:
        """Moves the clock; it never goes back."""
        if isinstance(move, Tick) and move.now_ms % DAY_MS == 0 and (self._head_ms or -1) < move.now_ms:
            # The midnight itself is reached only when its epoch is there.
            self._closed_ms = move.now_ms
        elif isinstance(move, Tick) or (isinstance(move, Apply) and move.batch.last_ms is not None):
            self._head_ms = max(move.now_ms, self._head_ms or 0)

    def now_ms(self) -> int:
        """The merged head."""
        return self._head_ms or 0
