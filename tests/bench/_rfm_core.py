"""The small job that stream processors are compared on: count, sum and last 20 amounts of every customer.

In: JSON purchases, keyed by customer, on the purchases topic. State: one record per customer, in a compacted changelog.
Out: an action with the customer's sums at every purchase whose cents are a multiple of 32, which is 3 % of the events. No
order of arrival is assumed beyond that of a partition, and an offset that is applied already changes nothing.

It implements the same ports as the product's processor and runs on the same shell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from struct import Struct
from typing import Any

import msgspec

from stream.actions.message import Message, Stream
from stream.agents.ports import Core
from stream.config import Settings
from stream.events.hashing import owner_partition
from stream.events.record import Record
from stream.outcome import Outcome

CENTS_PER_ACTION = 32
"""A purchase of a multiple of this causes an action: a stand-in for a rule that fires at 3 % of the events."""

REMEMBERED = 20
"""Amounts that are remembered of a customer."""

_ACTION = b'{"action_id":"%b:%d","userId":"%b","purchases":%d,"total_cents":%d,"recent_cents":%d}'


class Properties(msgspec.Struct, gc=False):
    """What was bought."""

    revenue: float


class Purchase(msgspec.Struct, gc=False):
    """One event in Segment's vocabulary (`tests.bench.peers.job.purchases`), as far as the job reads it."""

    customer_id: str = msgspec.field(name="userId")
    properties: Properties


_pack = Struct(f"<qqq{4 * REMEMBERED - 4}si").pack
"""What is remembered of one customer, as bytes: number and sum of the purchases, offset of the last applied record (at or
before it nothing counts again), and the last `REMEMBERED` amounts, oldest first, 0 where there was none. An amount of
more than 21 million (2³¹ cents) doesn't fit, and its record becomes a dead letter."""

_unpack = Struct(f"<qqq4x{4 * REMEMBERED - 4}s").unpack
"""The same without the oldest amount, which the next one replaces."""

_unpack_amounts = Struct(f"<24x{REMEMBERED}i").unpack

_NOTHING = _pack(0, 0, -1, b"", 0)
"""Of a customer who has not bought anything."""

_decode_purchase = msgspec.json.Decoder(Purchase).decode


class RfmPartition:
    """`stream.agents.ports.Processor` of the job. It has no timers and no epochs."""

    def __init__(self, settings: Settings, store: Mapping[bytes, bytes]) -> None:
        self._topic = settings.topic_purchases
        self._store = store

    def recover(self, now_ms: int) -> None:
        """There are no indexes to build."""

    def apply(self, records: Sequence[Record], now_ms: int) -> Outcome:
        """Folds each record into its customer.

        A customer is bytes from end to end: unpacking and packing three numbers and a string costs less than the objects
        of a decoded customer, who is touched 1.3 times in a batch.
        """
        out = Outcome()
        stored, changed, messages = self._store.get, out.changed, out.messages
        lately = changed.get
        duplicates = 0
        for record in records:
            purchase = _decode_purchase(record.value or b"")
            key = purchase.customer_id.encode()
            buyer = lately(key)
            if buyer is None:
                buyer = stored(key, _NOTHING)
            purchases, total_cents, last_offset, recent = _unpack(buyer)
            offset = record.offset
            if offset <= last_offset:
                duplicates += 1
                continue
            purchases += 1
            cents = round(purchase.properties.revenue * 100)
            total_cents += cents
            changed[key] = buyer = _pack(purchases, total_cents, offset, recent, cents)
            if not cents % CENTS_PER_ACTION:
                body = (key, purchases, key, purchases, total_cents, sum(_unpack_amounts(buyer)))
                messages.append(Message(Stream.ACTIONS, key, _ACTION % body))
                out.telemetry.event_to_decision_ms.append(now_ms - record.timestamp_ms)
        out.telemetry.events[self._topic, "purchase"] += len(records) - duplicates
        out.telemetry.ignored[self._topic, "duplicate"] += duplicates
        return out

    def tick(self, now_ms: int) -> Outcome:
        """Nothing is ever due."""
        return Outcome()

    def next_due_ms(self) -> int | None:
        """Nothing is ever due."""
        return None

    def follow(self, epoch: bytes) -> None:
        """There are none."""

    def awaits_epoch(self, now_ms: int) -> bool:
        """There are none."""
        return False

    def commit(self) -> None:
        """Nothing is kept between batches but the store."""

    def rollback(self) -> None:
        """Nothing is kept between batches but the store."""

    def find(self, asked: Mapping[str, str], after: str, now_ms: int) -> Iterator[dict[str, Any] | None]:
        """Has no classes."""
        return iter(())

    def product(self, product_id: str) -> dict[str, Any]:
        """Nothing."""
        return {"product_id": product_id, "known": False}

    def drivers(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def customer(self, customer_id: str, now_ms: int) -> dict[str, Any] | None:
        """One customer."""
        value = self._store.get(customer_id.encode())
        if value is None:
            return None
        purchases, total_cents, offset, _ = _unpack(value)
        recent_cents = sum(_unpack_amounts(value))
        sums = {"purchases": purchases, "total_cents": total_cents, "recent_cents": recent_cents, "offset": offset}
        return {"customer_id": customer_id, **sums}

    def population(self) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[tuple[str, str], int]]:
        """No tiers."""
        return {}, {}, {}

    def source_offsets(self) -> dict[str, int]:
        """Last applied offset of the one topic that has events."""
        return {self._topic: max((_unpack(value)[2] for value in self._store.values()), default=-1)}


class NoOwner:
    """`stream.agents.ports.Owner` of a job without epochs."""

    def resume(self, epoch: bytes) -> None:
        """Nothing to go on from."""

    def apply(self, records: Sequence[Record]) -> Outcome:
        """Nobody contributes."""
        return Outcome()

    def safe_offset(self) -> int | None:
        """Nothing to commit."""
        return None


def rfm_core(settings: Settings) -> Core:
    """The core of the job."""
    return Core(
        partition=lambda number, partitions, store: RfmPartition(settings, store),
        owner=lambda partitions: NoOwner(),
        event_time_ms=lambda record: None,
        partition_of=lambda customer, partitions: owner_partition(customer.encode(), partitions),
        epoch_figures=lambda epoch: (0, None),
    )
