"""The customer's record against a plain full scan: any order of arrival, any repetition, bounded memory."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings
from stream.errors import NewerVersionError, StateError
from stream.events import kinds
from stream.events.hashing import hash64
from stream.events.instants import parse_ms
from stream.events.kinds import Line
from stream.state import customer as records
from stream.state.customer import Customer
from stream.state.messages import Seen
from stream.state.orders import Applied
from stream.state.profile import Profile
from tests.state.oracle import DAY, Ev, figures, unique

START = parse_ms("2026-01-01T00:00:00Z")
SETTINGS = Settings()
PRODUCTS = ("tea", "cup", "pot")


def _event(e: Ev) -> kinds.Event:
    number = int(e.id.lstrip("mx") or 0)  # what is told besides differs from send to send
    common: dict[str, Any] = {
        "message_id": e.id, "customer": "c", "time_ms": e.at, "channel": ("", "web", "App")[number % 3]
    }  # fmt: skip
    match e.kind:
        case "purchase":
            return kinds.Purchase(
                **common,
                order_id=e.order,
                amount_minor=e.amount or 0,
                discount_minor=number % 4 * 250,
                coupon="C" if number % 5 == 4 else "",
                category=("", "Tea", "Cups")[number // 3 % 3],
            )
        case "refund":
            return kinds.Refund(**common, order_id=e.order, amount_minor=e.amount)
        case "cancel":
            return kinds.Cancellation(**common, order_id=e.order)
        case "view":
            return kinds.ProductViewed(**common, product_id=e.product)
        case "add":
            return kinds.CartAdded(**common, line=Line(e.product, e.quantity, e.price))
        case _:
            return kinds.CartRemoved(**common, line=Line(e.product, e.quantity, 0))


@st.composite
def histories(draw: st.DrawFn, days: int = 29) -> list[Ev]:
    """Up to 40 events inside the scope of memory, orders with updates, refunds and cancellations among them."""
    count = draw(st.integers(1, 40))
    events = []
    for number in range(count):
        kind = draw(st.sampled_from(("purchase", "purchase", "refund", "cancel", "view", "add", "add", "remove")))
        at = START + draw(st.integers(0, days * DAY - 1)) // 1000 * 1000
        order = f"o{draw(st.integers(0, 9))}" if kind in ("purchase", "refund", "cancel") else ""
        amount = None
        if kind == "purchase":
            amount = draw(st.sampled_from((0, 1, 999, 5_000, 10**12)))
        elif kind == "refund":
            amount = draw(st.sampled_from((None, 1, 500, 9_999)))
        product = draw(st.sampled_from(PRODUCTS)) if kind in ("view", "add", "remove") else ""
        quantity = draw(st.integers(1, 3))
        price = draw(st.sampled_from((0, 100, 250)))
        events.append(Ev(f"m{number}", kind, at, order, amount, product, quantity, price))
    return events


def _fold(events: list[Ev]) -> Customer:
    customer = Customer()
    for e in events:
        customer.apply(_event(e), SETTINGS)
    return customer


def _figures(customer: Customer, now: int) -> dict[str, Any]:
    profile = Profile("c", customer, now)
    names = zip(("7", "30", "90", "365"), customer.orders.windows(profile.day), strict=True)
    return {
        "windows": {n: {"frequency": w.frequency, "monetary_minor": w.monetary_minor} for n, w in names},
        "lifetime": {
            "frequency": profile.lifetime_frequency,
            "monetary_minor": profile.lifetime_monetary_minor,
        },
        "recency_days": profile.recency_days if profile.bought else None,
        "tenure_days": profile.tenure_days,
        "cycle_days": profile.cycle_days or None,
        "expected": profile.expected_next_purchase_ms,
        "views_30d": profile.views_30d,
        "cart": {"items": profile.cart_items, "value_minor": profile.cart_value_minor},
        "last_activity": profile.last_activity_ms or None,
    }


@given(histories(), st.randoms(use_true_random=False), st.integers(0, 400))
def test_any_arrival_gives_the_full_scan(events: list[Ev], rng: random.Random, later_days: int) -> None:
    """Shuffled and repeated events lead to the figures of a full scan, at any later instant."""
    arriving = events + rng.choices(events, k=len(events))
    rng.shuffle(arriving)
    now = START + (29 + later_days) * DAY

    customer = _fold(arriving)

    assert figures(events, now, hash64) == _figures(customer, now)


@given(histories(), st.randoms(use_true_random=False))
def test_any_arrival_gives_the_same_bytes(events: list[Ev], rng: random.Random) -> None:
    """The encoded record is the same, byte for byte, for every order of arrival."""
    shuffled = list(events)
    rng.shuffle(shuffled)

    in_order = _fold(unique(events, hash64))
    assert records.encode(in_order) == records.encode(_fold(shuffled + shuffled))


@given(histories())
def test_every_prefix_gives_the_full_scan(events: list[Ev]) -> None:
    """After each event in order the figures are those of a scan over the events so far, also through the codec."""
    customer = Customer()
    ordered = unique(events, hash64)
    for number, e in enumerate(ordered, start=1):
        customer.apply(_event(e), SETTINGS)
        customer = records.decode(records.encode(customer))

        assert figures(ordered[:number], e.at, hash64) == _figures(customer, e.at)


def test_a_million_events_stay_small_and_exact() -> None:
    """A bot's 1,000,000 orders leave a record of bounded size, with exact windows and totals."""
    customer = Customer()
    largest = 0
    for number in range(1_000_000):
        at = START + number * 60_000
        event = kinds.Purchase(
            message_id=f"m{number}", customer="bot", time_ms=at, order_id=f"o{number}", amount_minor=100
        )
        assert customer.apply(event, SETTINGS) is Applied.CHANGED
        if number % 50_000 == 0:
            largest = max(largest, len(records.encode(customer)))
    now = START + 999_999 * 60_000

    got = _figures(customer, now)

    last_week = 6 * 1440 + (now % DAY) // 60_000 + 1
    assert {"frequency": last_week, "monetary_minor": 100 * last_week} == got["windows"]["7"]
    assert {"frequency": 1_000_000, "monetary_minor": 100_000_000} == got["lifetime"]
    assert largest < 64 * 1024


def test_what_may_have_been_forgotten_is_refused() -> None:
    """An event older than the memory is never folded in: it can't be told from a repeat."""
    customer = Customer()
    for number in range(SETTINGS.memory_messages + 10):
        customer.apply(
            kinds.ProductViewed(message_id=f"v{number}", customer="c", time_ms=START + number, product_id="p"), SETTINGS
        )
    repeated = kinds.ProductViewed(message_id="v0", customer="c", time_ms=START, product_id="p")

    assert customer.apply(repeated, SETTINGS) is Seen.BEYOND_MEMORY


def test_the_same_id_with_another_body_is_told() -> None:
    """A message id that comes back with another content is neither folded in nor taken for a repeat."""
    customer = Customer()
    first = kinds.Purchase(message_id="m", customer="c", time_ms=START, order_id="o", amount_minor=100)
    other = kinds.Purchase(message_id="m", customer="c", time_ms=START, order_id="o", amount_minor=900)

    assert customer.apply(first, SETTINGS) is Applied.CHANGED
    assert customer.apply(first, SETTINGS) is Seen.DUPLICATE
    assert customer.apply(other, SETTINGS) is Seen.OTHER_BODY
    assert customer.orders.lifetime().monetary_minor == 100


def test_records_of_another_version_are_not_guessed_at() -> None:
    """A record from a newer Winback and damaged bytes each raise their own error."""
    newer = Customer()
    newer.version = records.VERSION + 1

    with pytest.raises(NewerVersionError, match="knows up to"):
        records.decode(records.encode(newer))
    with pytest.raises(StateError, match="can't be read"):
        records.decode(b"\xc1junk")
