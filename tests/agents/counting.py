"""A small real core for tests of the shell: counts events per key, so that a lost or doubled one shows as a wrong number.

It obeys the same contract as the product's processor: pure, told the time, everything it remembers is in the records
it returns, duplicates are known by the offset stamped in each record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from stream.actions.message import Message, Stream
from stream.agents.ports import Core
from stream.config import DAY_MS, Settings
from stream.events.hashing import owner_partition
from stream.events.record import Record
from stream.outcome import Outcome

OWN_KEY = b"\x00partition"
POISON = b"poison"
HUGE = b"huge"
MARK = b"mark"


class Count(msgspec.Struct, array_like=True):
    """What is remembered of one key."""

    number: int = 0
    stamps: dict[str, int] = {}
    due_ms: int = 0
    epochs: list[int] = []


class Own(msgspec.Struct, array_like=True):
    """What the partition remembers of itself."""

    closed_day: int = -1


class CountingPartition:
    """Counts events per key, publishes one action per event, and one when a key's timer is due.

    Values: ``due:MS`` sets the key's timer, `POISON` raises, `HUGE` causes an action that no topic takes, ``at:MS`` says
    when the event happened; anything else just counts.
    """

    def __init__(self, settings: Settings, partition: int, partitions: int, store: Mapping[bytes, bytes]) -> None:
        self._settings, self._partition, self._partitions, self._store = settings, partition, partitions, store
        self._event_clock = settings.clock == "event"
        self._open: dict[bytes, Count] = {}
        self._due: dict[bytes, int] = {}
        self._own = Own()
        self._own_before = Own()
        self._epoch_day = -1
        self.now_ms = 0

    def recover(self, now_ms: int) -> None:
        for key, value in self._store.items():
            if key == OWN_KEY:
                self._own_before = self._own = msgspec.msgpack.decode(value, type=Own)
            elif due := _count(value).due_ms:
                self._due[key] = due

    def apply(self, records: Sequence[Record], now_ms: int) -> Outcome:
        out = Outcome()
        for record in records:
            self._one(record, now_ms, out)
        self.now_ms = now_ms
        return self._ended(out)

    def _one(self, record: Record, now_ms: int, out: Outcome) -> None:
        value, key = record.value or b"", record.key or b""
        if POISON in value:
            raise ValueError("poisoned")
        owner = owner_partition(key, self._partitions)
        if owner != self._partition:
            out.messages.append(Message(Stream.REPARTITION, key, value, partition=owner))
            return
        count = self._get(key)
        if record.offset <= count.stamps.get(record.topic, -1):
            return
        count.stamps[record.topic] = record.offset
        count.number += 1
        count.epochs.append(self._epoch_day)
        if value.startswith(b"due:"):
            count.due_ms = self._due[key] = int(value[4:])
        text = b"x" * 5_000_000 if HUGE in value else b"%s:%d" % (key, count.number)
        out.messages.append(Message(Stream.ACTIONS, key, text))
        out.telemetry.events[record.topic, "counted"] += 1
        out.telemetry.event_to_decision_ms.append(now_ms - record.timestamp_ms)

    def tick(self, now_ms: int) -> Outcome:
        out = Outcome()
        for key in sorted(key for key, due in self._due.items() if due <= now_ms):
            count = self._get(key)
            out.telemetry.timer_delay_ms.append(now_ms - count.due_ms)
            out.messages.append(Message(Stream.ALERTS, key, b"%d" % count.due_ms))
            count.due_ms = 0
            del self._due[key]
        day = now_ms // DAY_MS - 1
        if self._event_clock and day > self._own.closed_day:
            self._own = Own(day)
            out.changed[OWN_KEY] = msgspec.msgpack.encode(self._own)
            body = msgspec.json.encode([self._partition, day])
            out.messages.append(Message(Stream.CONTRIBUTIONS, b"%d" % self._partition, body, partition=0))
        self.now_ms = max(now_ms, self.now_ms)
        return self._ended(out)

    def next_due_ms(self) -> int | None:
        dues = [*self._due.values()]
        if self._event_clock and self._own.closed_day >= 0:
            dues.append((self._own.closed_day + 2) * DAY_MS)
        return min(dues, default=None)

    def follow(self, epoch: bytes) -> None:
        self._epoch_day = int(epoch)

    def awaits_epoch(self, now_ms: int) -> bool:
        return self._epoch_day < now_ms // DAY_MS

    def commit(self) -> None:
        self._open.clear()
        self._own_before = self._own

    def rollback(self) -> None:
        for key in self._open:
            self._due.pop(key, None)
            if key in self._store and (due := _count(self._store[key]).due_ms):
                self._due[key] = due
        self._open.clear()
        self._own = self._own_before

    def customer(self, customer_id: str, now_ms: int) -> dict[str, Any] | None:
        key = customer_id.encode()
        return {"customer_id": customer_id, "count": _count(self._store[key]).number} if key in self._store else None

    def find(self, asked: Mapping[str, str], after: str, now_ms: int) -> Iterator[dict[str, Any] | None]:
        """Everybody, whatever is asked."""
        return iter([{"customer_id": key.decode()} for key in sorted(self._store)])

    def product(self, product_id: str) -> dict[str, Any]:
        return {"product_id": product_id, "known": False}

    def drivers(self) -> dict[str, Any]:
        return {}

    def population(self) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[tuple[str, str], int]]:
        return {}, {}, {}

    def source_offsets(self) -> dict[str, int]:
        stamps: dict[str, int] = {}
        for key, value in self._store.items():
            if key != OWN_KEY:
                for topic, offset in _count(value).stamps.items():
                    stamps[topic] = max(stamps.get(topic, -1), offset)
        return stamps

    def counts(self) -> dict[bytes, Count]:
        """The committed state."""
        return {key: _count(value) for key, value in self._store.items() if key != OWN_KEY}

    def _get(self, key: bytes) -> Count:
        if key not in self._open:
            self._open[key] = _count(self._store[key]) if key in self._store else Count(0, {}, 0, [])
        return self._open[key]

    def _ended(self, out: Outcome) -> Outcome:
        for key, count in self._open.items():
            out.changed[key] = msgspec.msgpack.encode(count)
        return out


class CountingOwner:
    """Publishes day D + 1 as soon as every partition has closed day D."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._closed: dict[int, int] = {}
        self._published = -1
        self._safe: int | None = None

    def resume(self, epoch: bytes) -> None:
        self._published = int(epoch)

    def apply(self, records: Sequence[Record]) -> Outcome:
        out = Outcome()
        for record in records:
            partition, day = msgspec.json.decode(record.value or b"")
            self._closed[partition] = max(day, self._closed.get(partition, -1))
        if len(self._closed) == self._partitions and (day := min(self._closed.values()) + 1) > self._published:
            self._published = day
            out.messages.append(Message(Stream.EPOCHS, b"epoch", b"%d" % day, partition=0))
        return out

    def safe_offset(self) -> int | None:
        # Every restart reads all contributions again: few in a test, and it proves that reading again does no harm.
        return self._safe


def counting_core(settings: Settings) -> Core:
    """The core of the tests."""
    return Core(
        partition=lambda number, total, store: CountingPartition(settings, number, total, store),
        owner=CountingOwner,
        event_time_ms=lambda record: int(v[3:]) if (v := record.value or b"").startswith(b"at:") else None,
        partition_of=lambda customer, total: owner_partition(customer.encode(), total),
        epoch_figures=lambda epoch: (int(epoch), None),
    )


def _count(value: bytes) -> Count:
    return msgspec.msgpack.decode(value, type=Count)
