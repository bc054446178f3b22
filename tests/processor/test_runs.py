"""Working a batch off by kind: nobody can tell, but for the time it takes."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream import simulate
from stream.events.codec import Decoder
from stream.events.instants import DAY_MS, parse_ms
from stream.events.record import BACKFILL_END_HEADER
from stream.events.rejected import Ignored, Rejected
from stream.processor.partition import PARTITION_KEY
from stream.processor.runs import in_runs
from tests.processor.test_buying import taken
from tests.processor.test_partition import HISTORY, NOW, Wall, _untimed


def _month(seed: int, customers: int = 8) -> list[dict[str, Any]]:
    """A month of a shop: some events out of order, some twice, some that are none."""
    chance = random.Random(seed)
    start = NOW - 30 * DAY_MS
    events = [event for _, event in simulate.Shop(seed, customers, start, join_days=5).events(NOW)]
    events += chance.choices(events, k=len(events) // 20)
    events.sort(key=lambda event: parse_ms(event["timestamp"]) + chance.choice((0, 0, 0, DAY_MS)))
    for _ in range(len(events) // 50):
        events.insert(chance.randrange(len(events)), {"type": "track", "event": "Order Completed", "userId": "x"})
    return events


def _played(events: list[dict[str, Any]], sizes: list[int]) -> tuple[dict[bytes, Any], dict[Any, list[Any]]]:
    """Everybody's record, and what was told about each, in its order."""
    wall = Wall(memory_messages=32)
    records = [wall.record(event) for event in events]
    told: dict[Any, list[Any]] = defaultdict(list)
    while records:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        out = wall.sink(wall.partition.apply(records[:size], NOW))
        del records[:size]
        orders, others = taken(out.messages)
        told["orders"] = sorted([*told["orders"], *orders])
        for message in others:
            told[message.stream, message.key].append(message.value)
    customers = {key: _untimed(value) for key, value in wall.store.items() if key != PARTITION_KEY}
    return customers, dict(told)


@given(st.integers(0, 2**32), st.lists(st.integers(1, 300), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_batches_of_any_size_are_as_single_records(seed: int, sizes: list[int]) -> None:
    """The same records of customers, and the same messages about each in the same order."""
    events = _month(seed)

    assert _played(events, [1]) == _played(events, sizes)


def test_each_customers_order_stays_and_kinds_come_in_a_row() -> None:
    """A permutation: everybody's first events by kind, then everybody's second ones."""
    wall = Wall()
    decoder = Decoder(wall.settings)
    batch = [(record, decoder.decode(record)) for record in map(wall.record, _month(1, 60)[:400])]

    ordered = list(in_runs(batch))

    assert sorted(record.offset for record, _ in batch) == sorted(record.offset for record, _ in ordered)
    for found in (batch, ordered):
        seen: dict[str, int] = {}
        for record, decoded in found:
            if not isinstance(decoded, Rejected | Ignored):
                assert seen.get(decoded.customer, -1) < record.offset
                seen[decoded.customer] = record.offset

    def changes(pairs: list[Any]) -> int:
        return sum(type(one[1]) is not type(other[1]) for one, other in zip(pairs, pairs[1:], strict=False))

    assert changes(ordered) < changes(batch) / 2


def test_an_imports_end_stays_where_it_is() -> None:
    """It is about what came before it, so nothing moves past it."""
    wall = Wall()
    decoder = Decoder(wall.settings)
    records = [wall.record(event, HISTORY) for event in _month(2)[:20]]
    records.insert(10, wall.record({}, ((BACKFILL_END_HEADER, b"1"),)))
    batch = [(record, decoder.decode(record)) for record in records]

    assert batch == list(in_runs(batch))
