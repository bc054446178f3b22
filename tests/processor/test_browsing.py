"""The short way of browsing and feedback against the long one: the same bytes, the same messages, the same due instants."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.actions.message import Stream
from stream.config import Settings
from stream.events.codec import Decoder
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.events.record import BACKFILL_HEADER, Record
from stream.processor import Partition
from stream.processor.partition import PARTITION_KEY
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet
from stream.state.customer import decode, encode, head
from stream.testing import message as written

NOW = parse_ms("2026-03-01T00:00:00Z")
SETTINGS = Settings(memory_messages=16, memory_orders=16)
RULES = load_rules()
KINDS = (
    "Product Viewed",
    "Product Added",
    "Products Searched",
    "Session Started",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "NPS Submitted",
    "Product Reviewed",
    "CSAT Submitted",
    "Complaint Opened",
    "Complaint Resolved",
    "Order Completed",
    "identify",
)


def properties_of(name: str, product: str, quantity: int, number: int) -> dict[str, Any]:
    """Properties of an event; the number stands for whatever else may differ between two of a name."""
    line = {"product_id": product, "price": 3, "quantity": quantity}
    match name:
        case "Product Viewed" | "Product Added" | "Product Removed":
            return line
        case "Cart Viewed" | "Checkout Started":
            return {"products": [line, {"product_id": "cup", "quantity": number % 2}][: number % 3]}
        case "NPS Submitted":
            return {"score": number % 11}
        case "CSAT Submitted":
            return {"score": 1 + number % 5}
        case "Product Reviewed":
            return {"product_id": product, "rating": str(number % 6)} if number % 6 else {"product_id": product}
        case "Complaint Opened" | "Complaint Resolved":
            return {"complaint_id": f"c{number % 3}"}
        case "Order Completed":
            return {
                "revenue": 12 + number,
                "discount": number % 9,
                "products": [{"product_id": "tea", "price": 3}],
                "order_id": f"o{number}",
            }
        case "identify":
            return traits_of(number)
        case _:
            return {}


def traits_of(number: int) -> dict[str, Any]:
    """Traits that make calendars go off within the weeks that are played."""
    return {
        "birthday": ("1990-03-02", "--02-29", "1990-03-29", "soon", "1990-05-17")[number % 5],
        "timezone": ("Asia/Shanghai", "America/New_York", "Middle/Earth")[number % 3],
        "language": ("zh-CN", "de")[number % 2],
        "membership_expires": f"2026-0{4 + number % 3}-05",
    }


class Played:
    """A shop of one partition on the wall clock, with the short way or without."""

    def __init__(self, rules: RuleSet, *, short: bool) -> None:
        self.store: dict[bytes, bytes] = {}
        self.partition = Partition(SETTINGS, rules, partition=0, partitions=1, store=self.store)
        if not short:
            self.partition._browsing.ways = {}
        self.partition.recover(NOW)
        self.told: list[Any] = []
        self.offset = 0

    def _sink(self, out: Any, *, keep: bool) -> None:
        if keep:
            self.store.update(out.changed)
            self.partition.commit()
            self.told += [(m.stream, m.value) for m in out.messages if m.stream is not Stream.CONTRIBUTIONS]
        else:
            self.partition.rollback()

    def step(self, events: list[tuple[Any, dict[str, Any]]], now_ms: int, *, fails: bool) -> None:
        """Timers up to an instant, then a batch; one that fails is rolled back and done again."""
        while (due_ms := self.partition.next_due_ms()) is not None and due_ms <= now_ms:
            self._sink(self.partition.tick(max(due_ms, NOW)), keep=True)
        records = [
            Record(SETTINGS.topic_browses, 0, self.offset + n, now_ms, None, orjson.dumps(event), headers)
            for n, (headers, event) in enumerate(events)
        ]
        self.offset += (len(events) + 1) // 2  # the other half of the offsets comes again
        if fails:
            self._sink(self.partition.apply(records, now_ms), keep=False)
        self._sink(self.partition.apply(records, now_ms), keep=True)

    def seen(self) -> Any:
        """All that a worker could know of it."""
        return self.store, self.told, self.partition.next_due_ms(), self.partition.population()


_STEP = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS[:7] * 2 + KINDS),
            st.sampled_from("ab"),
            st.sampled_from((0, 1, 1, 60_000, 3 * 3_600_000, -3_600_000)),
            st.sampled_from(("tea", "tea", "tea", "pot")),
            st.integers(0, 40),
            st.sampled_from((0, 1, 2)),
            st.sampled_from((False,) * 15 + (True,)),
        ),
        max_size=12,
    ),
    st.sampled_from((0, 1_000, 3_600_000, 5 * 3_600_000, DAY_MS, 3 * DAY_MS, 29 * DAY_MS, 80 * DAY_MS)),
    st.booleans(),
)


def _play(rules: RuleSet, steps: list[Any], *, short: bool) -> Played:
    shop = Played(rules, short=short)
    now_ms, number = NOW, 0
    for rows, wait_ms, fails in steps:
        now_ms += wait_ms
        events, at_ms = [], now_ms
        for name, customer, after_ms, product, repeats, quantity, is_history in rows:
            at_ms += after_ms
            number += 1
            message = f"m{repeats}" if repeats < 3 else f"n{number}"
            properties = properties_of(name, product, quantity, repeats)
            if name != "identify":
                properties["channel"] = ("", "web", "sms")[repeats % 3]
            headers = ((BACKFILL_HEADER, b"1"),) if is_history else ()
            events.append((headers, written(name, customer, at_ms, message_id=message, **properties)))
        shop.step(events, now_ms, fails=fails)
    return shop


@given(st.lists(_STEP, min_size=2, max_size=12))
@settings(max_examples=250, deadline=None)
def test_the_short_way_ends_where_the_long_one_does(steps: list[Any]) -> None:
    """Late and repeated messages, full and aged logs, open carts, purchases that are forgotten, steps that were rolled back."""
    assert _play(RULES, steps, short=False).seen() == _play(RULES, steps, short=True).seen()


@given(st.lists(_STEP, min_size=2, max_size=12))
@settings(max_examples=100, deadline=None)
def test_it_is_known_what_waits_besides_the_cart(steps: list[Any]) -> None:
    """Of everybody whose due instants are known: a timer that has gone off with an open cart leaves no gap, and the next
    addition to the cart need not look for it."""
    shop = _play(RULES, [*steps, ([], 3 * 3_600_000, False)], short=True)
    waiting = [decode(value) for key, value in shop.store.items() if key != PARTITION_KEY]

    assert all(customer.rest_due_ms >= 0 for customer in waiting if customer.timed_by)


@pytest.mark.parametrize(
    ("name", "number", "goes"),
    [
        ("NPS Submitted", 7, True),
        ("NPS Submitted", 6, False),
        ("Product Reviewed", 3, True),
        ("Product Reviewed", 2, False),
        ("CSAT Submitted", 2, True),
        ("CSAT Submitted", 1, False),
        ("Complaint Opened", 0, False),
        ("Complaint Resolved", 0, False),
        ("Product Removed", 0, True),
        ("Cart Viewed", 2, True),
        ("Checkout Started", 0, True),
    ],
)
def test_only_what_a_rule_answers_goes_the_long_way(name: str, number: int, goes: bool) -> None:
    """Contented answers and changed carts take the short way; an answer that somebody is to be called about doesn't."""
    shop = _play(RULES, [([("Product Added", "a", 0, "tea", 3, 2, False)], 0, False)], short=True)
    event = written(name, "a", to_text(NOW + 1), message_id="m", **properties_of(name, "tea", 1, number))
    decoded: Any = Decoder(SETTINGS).decode(Record("browses", 0, 1, NOW + 1, None, orjson.dumps(event)))
    browsing = shop.partition._browsing
    short = browsing.ways.get(type(decoded))

    assert goes is (short is not None and browsing.extended(shop.store[b"a"], decoded, short, 0, 1) is not None)


def test_the_sixth_look_at_a_product_is_asked_about() -> None:
    """The look that a rule may answer to goes the long way, and those before it don't."""
    step = [("Product Viewed", "a", 1, "tea", 3, 1, False)], 1_000, False
    shops = [_play(RULES, [step] * 6, short=short) for short in (False, True)]

    assert shops[0].seen() == shops[1].seen()
    assert [b"viewed-not-bought" in value for stream, value in shops[1].told] == [True]


@pytest.mark.parametrize("ahead_ms", [0, 1])
def test_a_reminder_that_was_decided_for_later_is_not_due_again(ahead_ms: int) -> None:
    """A rule that used to wait longer may have decided an occurrence that was due after the one of the new cart."""
    seen = []
    at_ms = NOW + DAY_MS
    due_ms = at_ms + 2 * 3_600_000
    added = {
        "type": "track",
        "event": "Product Added",
        "messageId": "m",
        "userId": "a",
        "timestamp": to_text(at_ms),
        "properties": {"product_id": "pot", "price": 3},
    }
    for short in (False, True):
        shop = _play(
            RULES, [([("Product Viewed", "a", 0, "tea", 3, 1, False)], 0, False), ([], DAY_MS, False)], short=short
        )
        customer = decode(shop.store[b"a"])
        customer.memory.fired["cart-abandoned"] = ("cart-1767225600000", due_ms - ahead_ms)
        customer.memory.decided_ms["cart-abandoned"] = NOW
        shop.store[b"a"] = encode(customer)
        shop.step([((), added)], at_ms, fails=False)
        seen.append(shop.seen())
        assert (head(shop.store[b"a"]).next_due_ms == due_ms) is bool(ahead_ms)

    assert seen[0] == seen[1]


@pytest.mark.parametrize("quantity", [0, 1])
def test_a_cart_with_nothing_in_it_waits_for_nothing(quantity: int) -> None:
    """Nothing of a product put into an empty cart leaves it empty."""
    rows = ["Product Viewed", "Product Added"]
    steps = [([(name, "a", 0, "tea", 3 + n, quantity, False)], n * DAY_MS, False) for n, name in enumerate(rows)]
    shops = [_play(RULES, steps, short=short) for short in (False, True)]

    assert shops[0].seen() == shops[1].seen()
    assert (head(shops[1].store[b"a"]).next_due_ms == NOW + DAY_MS + 2 * 3_600_000) is bool(quantity)


@pytest.mark.parametrize("searches", [14, 15, 16])
def test_nothing_waits_for_a_cart_that_leaves_the_memory(searches: int) -> None:
    """The message that filled the cart leaves on the short way's watch; an earlier one that did may leave before."""
    steps = [([("Products Searched", "a", 0, "tea", 3, 0, False)], 0, False)]
    steps += [([("Cart Viewed", "a", 0, "tea", 6, 0, False)], DAY_MS, False)]
    steps += [([("Product Added", "a", 0, "tea", 4, 1, False)], 1_000, False)]
    steps += [([("Products Searched", "a", 0, "tea", 5 + n, 1, False)], 1_000, False) for n in range(searches)]
    shops = [_play(RULES, steps, short=short) for short in (False, True)]

    assert shops[0].seen() == shops[1].seen()
    assert (head(shops[1].store[b"a"]).next_due_ms == NOW + DAY_MS + 1_000 + 2 * 3_600_000) is (searches < 16)
