"""The short way of purchases against the long one: the same bytes, the same messages and figures, the same due instants."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.actions.message import Message, Stream
from stream.config import Settings
from stream.events.codec import Decoder
from stream.events.instants import DAY_MS, day_of, parse_ms, to_text
from stream.events.record import BACKFILL_HEADER, Record
from stream.outcome import Outcome
from stream.processor import Partition
from stream.processor.epochs import Bought, Epoch, Figures, Said, decode_contribution
from stream.rules.loader import load_rules
from stream.segments.population import Thresholds
from stream.state import opened
from stream.state.customer import decode, encode
from stream.state.memory import Memory
from tests.conftest import silence_model
from tests.processor.test_browsing import traits_of

NOW = parse_ms("2026-03-01T00:00:00Z")
SETTINGS = Settings(memory_messages=16, memory_orders=16, memory_days=370)
RULES = load_rules()
BOUGHT = "Order Completed"
KINDS = (
    "Order Refunded",
    "Order Cancelled",
    "Order Updated",
    "Product Viewed",
    "Product Added",
    "NPS Submitted",
    "Subscription Renewed",
    "Complaint Opened",
    "Complaint Resolved",
    "identify",
    "identify",
)
PROPERTIES: dict[str, dict[str, Any]] = {
    "Product Viewed": {"product_id": "tea", "price": 3},
    "Product Added": {"product_id": "tea", "price": 3, "quantity": 2},
    "NPS Submitted": {"score": 3},
}
TODAY = Thresholds(
    day=day_of(NOW),
    buyers=9,
    recency_bounds=(day_of(NOW) - 60, day_of(NOW) - 30, day_of(NOW), day_of(NOW) + 30),
    frequency_bounds=(1, 2, 4, 8),
    monetary_bounds=(100, 300, 350, 400),
    median_cycle_days=20.0,
)


def taken(messages: list[Message]) -> tuple[list[bytes], list[Message]]:
    """Orders and texts that are learnt from, and the other messages: which of them travel together hangs on the steps."""
    orders: list[bytes] = []
    others = []
    for message in messages:
        found = decode_contribution(message.value or b"") if message.stream is Stream.CONTRIBUTIONS else None
        if isinstance(found, Bought):
            orders += map(msgspec.msgpack.encode, found.baskets)
        elif isinstance(found, Said):
            orders += map(msgspec.msgpack.encode, found.texts)
        elif not isinstance(found, Figures):
            others.append(message)
    return orders, others


class Played:
    """A shop of one partition on the wall clock, with the short way or without."""

    def __init__(self, *, short: bool, epoch: Epoch | None) -> None:
        self.store: dict[bytes, bytes] = {}
        self.partition = Partition(SETTINGS, RULES, partition=0, partitions=1, store=self.store)
        if not short:
            self.partition._buying.is_open = False
        self.partition.recover(NOW)
        if epoch is not None:
            self.partition.adopt(epoch)
        self.told: list[Any] = []
        self.offset = 0

    def _sink(self, out: Any, *, keep: bool) -> None:
        if not keep:
            self.partition.rollback()
            return
        self.store.update(out.changed)
        self.partition.commit()
        self.told += [(m.stream, m.key, m.value, m.headers) for m in out.messages if m.stream != Stream.CONTRIBUTIONS]
        self.told.append(msgspec.to_builtins(out.telemetry, str_keys=False))
        self.told.append(taken(out.messages)[0])

    def step(self, events: list[tuple[Any, dict[str, Any]]], now_ms: int, *, fails: bool) -> None:
        """Timers up to an instant, then a batch; one that fails is rolled back and done again."""
        while (due_ms := self.partition.next_due_ms()) is not None and due_ms <= now_ms:
            self._sink(self.partition.tick(max(due_ms, NOW)), keep=True)
        records = [
            Record(SETTINGS.topic_purchases, 0, self.offset + n, now_ms, None, orjson.dumps(event), headers)
            for n, (headers, event) in enumerate(events)
        ]
        self.offset += (len(events) + 1) // 2  # the other half of the offsets comes again
        if fails:
            self._sink(self.partition.apply(records, now_ms), keep=False)
        self._sink(self.partition.apply(records, now_ms), keep=True)

    def seen(self) -> Any:
        """All that a worker could know of it."""
        return self.store, self.told, self.partition.next_due_ms(), self.partition.population()


def _bought(message: str, order: str, at_ms: int, cents: int, products: int = 1) -> dict[str, Any]:
    lines = [{"product_id": f"tea-{n}", "price": 3, "category": f"shelf {n}"} for n in range(products, 0, -1)]
    return {
        "type": "track", "event": BOUGHT, "messageId": message, "userId": "a", "timestamp": to_text(at_ms),
        "properties": {
            "order_id": order, "revenue": cents / 100, "currency": "USD", "products": lines,
        },
    }  # fmt: skip


_ROW = st.tuples(
    st.sampled_from((BOUGHT,) * 9 + KINDS),
    st.sampled_from("ab"),
    st.sampled_from((0, 1, 60_000, 3 * 3_600_000, -3_600_000, -2 * DAY_MS)),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from((0, 1, 99, 1_200, 70_000)),
    st.sampled_from((False,) * 15 + (True,)),
)
_STEP = st.tuples(
    st.lists(_ROW, max_size=10),
    st.sampled_from((0, 1_000, 3_600_000, DAY_MS, 3 * DAY_MS, 29 * DAY_MS, 80 * DAY_MS, 380 * DAY_MS)),
    st.booleans(),
)


def _play(steps: list[Any], *, short: bool, epoch: Epoch | None) -> Played:
    shop = Played(short=short, epoch=epoch)
    now_ms, number = NOW, 0
    for rows, wait_ms, fails in steps:
        now_ms += wait_ms
        events, at_ms = [], now_ms
        for name, customer, after_ms, message_repeats, order_repeats, cents, is_history in rows:
            at_ms += after_ms
            number += 1
            message = f"m{message_repeats}" if message_repeats < 3 else f"n{number}"
            order = f"o{order_repeats}" if order_repeats < 12 else f"p{number}"
            event = _bought(message, order, at_ms, cents, products=order_repeats % 4)
            event["event"], event["userId"] = name, customer
            event["properties"] |= {"discount": order_repeats % 5, "complaint_id": f"c{order_repeats % 2}"}
            event["properties"] |= {"coupon": "C" * (order_repeats % 2), "channel": ("web", "POS")[number % 2]}
            event["properties"] |= PROPERTIES.get(name, {})
            if name == "identify":
                event |= {"type": "identify", "traits": traits_of(order_repeats)}
            events.append((((BACKFILL_HEADER, b"1"),) if is_history else (), event))
        shop.step(events, now_ms, fails=fails)
    return shop


@pytest.mark.parametrize("has_model", [False, True])
def test_the_short_way_ends_where_the_long_one_does(has_model: bool) -> None:
    """Late, repeated, refunded and cancelled orders, full and aged books and logs, carts, imports, steps rolled back."""
    epoch = Epoch(day=day_of(NOW), thresholds=TODAY, model=silence_model()) if has_model else None

    @given(st.lists(_STEP, min_size=2, max_size=14))
    @settings(max_examples=150, deadline=None)
    def holds(steps: list[Any]) -> None:
        assert _play(steps, short=False, epoch=epoch).seen() == _play(steps, short=True, epoch=epoch).seen()

    holds()


def _second_purchase(shop: Played, properties: dict[str, Any] | None = None) -> tuple[bytes, int] | None:
    """What the short way makes of a purchase, a day after the first."""
    shop.step([((), _bought("m1", "o1", NOW, 500))], NOW, fails=False)
    event = _bought("m2", "o2", NOW + DAY_MS, 700) | (properties or {})
    record = Record(SETTINGS.topic_purchases, 0, 9, NOW + DAY_MS, None, orjson.dumps(event))
    purchase: Any = Decoder(SETTINGS).decode(record)
    return shop.partition._buying.extended(shop.store[b"a"], purchase, 0, 9, NOW + DAY_MS, Outcome())


def test_an_ordinary_purchase_goes_the_short_way() -> None:
    """Nobody would notice otherwise but the clock."""
    done = _second_purchase(Played(short=True, epoch=Epoch(day=day_of(NOW), thresholds=TODAY, model=silence_model())))

    assert done is not None
    assert decode(done[0]).orders.lifetime().frequency == 2


@pytest.mark.parametrize(
    "other",
    [
        {"messageId": "m1"},
        {"timestamp": to_text(NOW)},
        {"properties": {"order_id": "o1", "revenue": 7, "currency": "USD"}},
        {"properties": {"order_id": "o2", "revenue": 0, "currency": "USD"}},
    ],
    ids=["a repeat", "late", "a known order", "free of charge"],
)
def test_what_is_out_of_the_ordinary_goes_the_long_way(other: dict[str, Any]) -> None:
    """It may be refused, or may have moved more than an ordinary purchase does."""
    shop = Played(short=True, epoch=None)
    assert _second_purchase(shop, other) is None
    assert shop.partition.population()[0] == {"low": 1}


def test_a_customer_whose_timers_are_unknown_goes_the_long_way() -> None:
    """An import that may go on, something dated ahead of the clock, other rules: then all due instants are found anew."""
    shop = Played(short=True, epoch=None)
    value, _ = _second_purchase(shop) or (b"", 0)
    customer = decode(value)
    customer.timed_by = 0
    third: Any = Decoder(SETTINGS).decode(
        Record(
            SETTINGS.topic_purchases, 0, 10, NOW + DAY_MS, None, orjson.dumps(_bought("m3", "o3", NOW + 2 * DAY_MS, 9))
        )
    )
    buying = shop.partition._buying

    assert buying.extended(value, third, 0, 10, NOW + DAY_MS, Outcome()) is not None
    assert buying.extended(encode(customer), third, 0, 10, NOW + DAY_MS, Outcome()) is None


def test_a_record_is_opened_and_closed_again_unchanged() -> None:
    """What a purchase doesn't touch is copied as it is."""
    day = [BOUGHT, "Product Added", "NPS Submitted", "Order Refunded"]
    rows = [(name, "a", 60_000, 9, 9 if n % 4 == 3 else 20, 700, False) for n, name in enumerate(day)]
    shop = _play([(rows, wait_ms, False) for wait_ms in (0, DAY_MS, 80 * DAY_MS)] * 4, short=True, epoch=None)

    assert decode(shop.store[b"a"]).memory.fired
    assert opened.encode(opened.decode(shop.store[b"a"])) == shop.store[b"a"]


def test_an_open_record_has_the_fields_of_the_memory() -> None:
    """In their order: they are found by position."""
    names = [name.removeprefix("_") for name in Memory.__struct_fields__]

    assert names == list(opened.OpenMemory.__struct_fields__)
