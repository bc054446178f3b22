"""What feedback says: satisfaction and the trend of ratings."""

from __future__ import annotations

from typing import Any

import pytest

from stream.config import Settings
from stream.events import kinds
from stream.state.customer import Customer
from stream.state.profile import Profile

START = 1_767_225_600_000


@pytest.mark.parametrize(
    ("ratings", "trend"),
    [((), 0.0), ((1, 5, 5), 0.0), ((5, 5, 1, 2), -3.5), ((1, 1, 5, 3, 3), 2.0), ((1,) * 20 + (5,) * 8, 4.0)],
)
def test_the_trend_is_newer_against_older_ratings(ratings: tuple[float, ...], trend: float) -> None:
    """Of the remembered ones, in order of time whatever the order of arrival."""
    events: list[Any] = [
        kinds.Reviewed(message_id=f"m{n}", customer="c", time_ms=START + n, rating=float(stars))
        for n, stars in enumerate(ratings)
    ]
    for order in (events, events[::-1]):
        customer = Customer()
        for event in order:
            customer.apply(event, Settings())
        assert Profile("c", customer, START + 99).rating_trend == trend


def test_the_last_satisfaction_answer() -> None:
    """0 before there is one."""
    customer = Customer()
    assert Profile("c", customer, START).last_csat == 0
    customer.apply(kinds.CsatGiven(message_id="m", customer="c", time_ms=START, score=4), Settings())

    assert Profile("c", customer, START).last_csat == 4
