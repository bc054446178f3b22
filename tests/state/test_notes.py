"""What is remembered of an order besides its worth."""

from __future__ import annotations

from typing import Any

import pytest

from stream.config import make_settings
from stream.events import kinds
from stream.events.instants import DAY_MS, parse_ms
from stream.state.customer import Customer, decode, encode
from stream.state.notes import CHANNELS, Note, category_code, channel_code, note_of, notes_in
from stream.state.profile import Profile

START = parse_ms("2026-03-02T10:00:00Z")


def _bought(number: int, at: int, kind: type[kinds.Purchase] = kinds.Purchase, **fields: Any) -> kinds.Purchase:
    return kind(
        message_id=f"m{number}", customer="c", time_ms=at, order_id=f"o{number}", **({"amount_minor": 900} | fields)
    )


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({}, Note(False, 0, "", 0)),
        ({"discount_minor": 100, "channel": "IOS"}, Note(True, 10, "app", 0)),
        ({"discount_minor": 1, "channel": "fax"}, Note(True, 1, "other", 0)),
        ({"amount_minor": 0, "discount_minor": 10**15}, Note(True, 99, "", 0)),
        ({"coupon": "MAY", "category": "Tea"}, Note(True, 0, "", category_code("Tea"))),
        ({"discount_minor": -100}, Note(False, 0, "", 0)),
    ],
)
def test_a_note_says_what_the_order_said(fields: dict[str, Any], note: Note) -> None:
    """Any discount or coupon counts, however small; no field spills into another."""
    assert [note] == list(notes_in(note_of(_bought(1, START, **fields))))


def test_channels_keep_their_numbers() -> None:
    """They are stored."""
    assert [channel_code(name) for name in CHANNELS] == list(range(16))


def test_the_discount_share_is_of_the_orders_that_count_in_a_year() -> None:
    """A cancelled order, an older one and a replaced send say nothing; half of the others were on discount."""
    shop = make_settings(memory_orders=16)
    customer = Customer()
    for event in (
        _bought(1, START - 390 * DAY_MS, coupon="OLD"),
        _bought(2, START),
        _bought(3, START + 1, discount_minor=50),
        _bought(4, START + 2, discount_minor=50),
        kinds.Cancellation(message_id="x", customer="c", time_ms=START + 3, order_id="o4"),
        _bought(5, START + 4),
        _bought(6, START + 5, discount_minor=50),
        kinds.OrderUpdated(
            message_id="y", customer="c", time_ms=START + 6, order_id="o5", amount_minor=5, coupon="LATER"
        ),
        kinds.OrderUpdated(message_id="z", customer="c", time_ms=START + 7, order_id="o6", amount_minor=5),
    ):
        customer.apply(event, shop)

    assert Profile("c", decode(encode(customer)), START + DAY_MS).discount_share_365d == 0.5
    assert Profile("c", Customer(), START).discount_share_365d == 0.0


def test_notes_leave_with_their_orders() -> None:
    """A bot's orders leave four bytes each, of the newest."""
    shop = make_settings(memory_orders=16)
    customer = Customer()
    for number in range(40):
        customer.apply(_bought(number, START + number, coupon="C" if number >= 32 else ""), shop)

    assert len(customer.orders.notes) == 16 * 4
    assert Profile("c", customer, START + DAY_MS).discount_share_365d == 0.5
