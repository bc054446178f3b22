"""Where, when and for what a customer comes."""

from __future__ import annotations

from typing import Any

import pytest

from stream.config import Settings
from stream.events import kinds
from stream.events.instants import DAY_MS, parse_ms
from stream.events.kinds import Event
from stream.state.customer import Customer, decode, encode
from stream.state.notes import category_code
from stream.state.profile import Profile
from stream.testing import Shop

START = parse_ms("2026-03-02T10:00:00Z")
HOUR = 3_600_000


def _seen(*events: Event, at: int = START + DAY_MS) -> Profile:
    customer = Customer()
    for event in events:
        customer.apply(event, Settings())
    return Profile("c", decode(encode(customer)), at)


def _event(kind: Any, number: int, at: int, **fields: Any) -> Event:
    event: Event = kind(message_id=f"m{number}", customer="c", time_ms=at, **fields)
    return event


def _order(number: int, at: int, amount: int = 900, **fields: Any) -> Event:
    return _event(kinds.Purchase, number, at, order_id=f"o{number}", amount_minor=amount, **fields)


def test_buying_browsing_and_answering_have_channels_of_their_own() -> None:
    """An order is no browsing, what the shop does is no visit, and what nobody told counts nowhere."""
    found = _seen(
        _order(1, START, channel="POS"),
        _order(2, START + 1, channel="store"),
        _order(3, START + 2, channel="web"),
        _event(kinds.ProductViewed, 4, START + 3, product_id="p", channel="iOS"),
        _event(kinds.Activity, 5, START + 4, name="Signed In", channel="app"),
        _event(kinds.ProductViewed, 6, START + 5, product_id="p", channel="web"),
        _event(kinds.ProductViewed, 7, START + 6, product_id="p"),
        _event(kinds.Refund, 8, START + 7, order_id="o3", amount_minor=1, channel="call"),
        _event(kinds.Outcome, 9, START + 8, action_id="a", status="clicked", channel="sms"),
        _event(kinds.Outcome, 10, START + 9, action_id="b", status="delivered", channel="email"),
    )

    assert ("pos", "app", "sms") == (found.buys_on, found.browses_on, found.answers_on)
    nobody = _seen()
    assert ("", "", "", -1, "", (0, 0)) == (
        nobody.buys_on, nobody.browses_on, nobody.answers_on, nobody.preferred_hour, nobody.favourite_category,
        nobody.price_band,
    )  # fmt: skip


def test_channels_follow_what_is_remembered() -> None:
    """A cancelled order says nothing any more; after 30 days browsing doesn't, after a year no order."""
    events = [
        _order(1, START, channel="web"),
        _order(2, START + 1, channel="app"),
        _order(3, START + 2, channel="app"),
        _event(kinds.Cancellation, 4, START + 3, order_id="o2"),
        _event(kinds.Cancellation, 5, START + 3, order_id="o3"),
        _event(kinds.ProductViewed, 6, START + 4, product_id="p", channel="app"),
    ]

    assert [
        (found.buys_on, found.browses_on)
        for found in (_seen(*events, at=START + days * DAY_MS) for days in (1, 29, 31, 366))
    ] == [("web", "app"), ("web", "app"), ("web", ""), ("", "")]


@pytest.mark.parametrize(("zone", "hour"), [("", 10), ("Asia/Shanghai", 18), ("America/New_York", 5), ("Mars", 10)])
def test_the_hour_is_of_the_customers_clock(zone: str, hour: int) -> None:
    """By the shop's when there is none, or none that is known; one busy hour is one visit."""
    person = _event(kinds.Identified, 0, START - 9, timezone=zone)
    orders = [_order(n, START + n * DAY_MS) for n in (1, 2)]
    views = [_event(kinds.ProductViewed, 10 + n, START + 9 * HOUR + n, product_id="p") for n in range(9)]

    assert _seen(person, *orders, at=START + 3 * DAY_MS).preferred_hour == -1
    assert _seen(person, *orders, *views, at=START + 3 * DAY_MS).preferred_hour == hour


def test_hours_that_lie_together_are_one_habit() -> None:
    """Nine, ten and eleven o'clock beat two visits at night."""
    hours = (-1, 0, 1, 13, 13)

    assert (
        _seen(
            *(_order(n, START + n * DAY_MS + h * HOUR) for n, h in enumerate(hours)), at=START + 9 * DAY_MS
        ).preferred_hour
        == 10
    )


def test_the_price_band_is_the_middle_half() -> None:
    """Of what is left of the orders; of few it is all of them."""
    worths = (100, 200, 300, 400, 500, 600, 700, 80_000)

    assert _seen(*(_order(n, START + n, worth) for n, worth in enumerate(worths))).price_band == (200, 700)
    assert _seen(_order(1, START, 500)).price_band == (500, 500)


def test_categories_are_ranked_by_orders() -> None:
    """By name, once somebody knows it."""
    names = ("Tea", "Cups", "tea", "Cups", "TEA", "", "Pots", "Jam")
    found = _seen(*(_order(n, START + n, category=name) for n, name in enumerate(names)))
    assert found.favourite_category == ""
    known = {category_code(name): name for name in ("Tea", "Cups", "Pots", "Jam")}
    found.category_name = lambda code: known.get(code, "")

    assert found.favourite_categories[:2] == ["Tea", "Cups"]
    assert len(found.favourite_categories) == 3


def test_a_category_has_its_name_from_the_next_day_on() -> None:
    """Through orders, the epoch and the view, which has all the rest as well."""
    shop = Shop()
    for number in range(3):
        shop.send("Order Completed", "ann", f"2026-03-0{number + 1}T10:00:00Z", order_id=f"o{number}", revenue=20.0 + number,
                  channel="web", coupon="MAY", products=[{"product_id": "pot", "category": "Pots"}])  # fmt: skip
    shop.send("Product Viewed", "ann", "2026-03-05T10:00:00Z", product_id="cup", channel="app")
    seen = shop.customer("ann")

    assert {
        "buys_on": "web", "browses_on": "app", "answers_on": None, "preferred_hour": 10, "categories": ["Pots"],
        "price_band": {"low_minor": 2000, "high_minor": 2200}, "discount_share_365d": 1.0,
    }.items() <= seen.items()  # fmt: skip
