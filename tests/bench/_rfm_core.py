"""The small job that stream processors are compared on: count, sum and last 20 amounts of every customer.

In: JSON purchases, keyed by customer, on the purchases topic. State: one record per customer, in a compacted changelog.
Out: an action with the customer's sums at every purchase whose cents are a multiple of 32, which is 3 % of the events. No
order of arrival is assumed beyond that of a partition, and an offset that is applied already changes nothing.

It implements the same ports as the product's processor and runs on the same shell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class Buyer(msgspec.Struct, array_like=True):
    """What is remembered of one customer."""

    purchases: int
    total_cents: int
    last_cents: list[int]
    """Amounts of the last `REMEMBERED` purchases, oldest first."""
    offset: int
    """Of the last applied record: at or before it nothing counts again."""


_decode_purchase = msgspec.json.Decoder(Purchase).decode
_decode_buyer = msgspec.msgpack.Decoder(Buyer).decode
_encode_buyer = msgspec.msgpack.Encoder().encode


class RfmPartition:
    """`stream.agents.ports.Processor` of the job. It has no timers and no epochs."""

    def __init__(self, settings: Settings, store: Mapping[bytes, bytes]) -> None:
        self._topic = settings.topic_purchases
        self._store = store

    def recover(self, now_ms: int) -> None:
        """There are no indexes to build."""

    def apply(self, records: Sequence[Record], now_ms: int) -> Outcome:
        """Updates each customer once for each of its records, and encodes it once for the batch."""
        out = Outcome()
        store, messages, waits_ms = self._store, out.messages, out.telemetry.event_to_decision_ms
        touched: dict[bytes, Buyer] = {}
        duplicates = 0
        for record in records:
            purchase = _decode_purchase(record.value or b"")
            key = purchase.customer_id.encode()
            buyer = touched.get(key)
            if buyer is None:
                value = store.get(key)
                touched[key] = buyer = _decode_buyer(value) if value is not None else Buyer(0, 0, [], -1)
            if record.offset <= buyer.offset:
                duplicates += 1
                continue
            buyer.offset = record.offset
            buyer.purchases += 1
            cents = round(purchase.properties.revenue * 100)
            buyer.total_cents += cents
            last = buyer.last_cents
            last.append(cents)
            if len(last) > REMEMBERED:
                del last[0]
            if not cents % CENTS_PER_ACTION:
                body = (key, buyer.purchases, key, buyer.purchases, buyer.total_cents, sum(last))
                messages.append(Message(Stream.ACTIONS, key, _ACTION % body))
                waits_ms.append(now_ms - record.timestamp_ms)
        out.changed = {key: _encode_buyer(buyer) for key, buyer in touched.items()}
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

    def customer(self, customer_id: str, now_ms: int) -> dict[str, Any] | None:
        """One customer."""
        value = self._store.get(customer_id.encode())
        return None if value is None else {"customer_id": customer_id, **msgspec.structs.asdict(_decode_buyer(value))}

    def population(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """No tiers."""
        return {}, {}

    def source_offsets(self) -> dict[str, int]:
        """Last applied offset of the one topic that has events."""
        return {self._topic: max((_decode_buyer(value).offset for value in self._store.values()), default=-1)}


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
