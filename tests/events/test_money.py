"""Money of any currency in the shop's minor units."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import ConfigurationError
from stream.events.instants import day_of, parse_ms
from stream.events.money import Rates

MARCH = day_of(parse_ms("2026-03-02"))


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [
        ("USD", 10.5, 1050),
        ("USD", 0.1 + 0.2, 30),
        ("USD", 1.15, 115),
        ("USD", 8.35, 835),
        ("JPY", 1200.0, 1200),
        ("JPY", 0.5, 0),
        ("JPY", 1.5, 2),
        ("KWD", 1.234, 1234),
        ("BHD", 0.001, 1),
        ("CLF", 1.2345, 12345),
        ("EUR", 9_999_999_999.99, 999_999_999_999),
    ],
)
def test_exponents_of_iso_4217(currency: str, amount: float, minor: int) -> None:
    """Yen have no decimals, dinars three, the unit of account of Chile four, most two."""
    assert minor == Rates(currency).to_minor(amount, currency, MARCH)
    assert minor == Rates(currency).to_minor(amount, "", MARCH)


@given(st.decimals(min_value=0, max_value=10**10, places=2))
def test_cents_survive_the_float(amount: Decimal) -> None:
    """Every amount of whole cents up to the largest order is exact, though senders write floats."""
    expected = int((amount * 100).to_integral_value(ROUND_HALF_EVEN))

    assert expected == Rates("USD").to_minor(float(amount), "USD", MARCH)


def test_a_rate_goes_from_whole_units_to_minor_units() -> None:
    """A yen amount has no cents to divide by; a rate is per whole unit."""
    rates = Rates("USD", [("2026-01-01", "JPY", 0.0065), ("2026-01-01", "kwd", 3.25)])

    assert 780 == rates.to_minor(1200.0, "JPY", MARCH)
    assert 325 == rates.to_minor(1.0, "KWD", MARCH)


def test_the_rate_of_the_day_counts() -> None:
    """The latest rate at or before the event's day, also when the file is not sorted; none before the first."""
    rates = Rates("USD", [("2026-03-02", "EUR", 1.2), ("2026-01-01", "EUR", 1.1)])
    days = [
        parse_ms(day) // 86_400_000 for day in ("2025-12-31", "2026-01-01", "2026-03-01", "2026-03-02", "2030-01-01")
    ]

    assert [None, 110, 110, 120, 120] == [rates.to_minor(1.0, "EUR", day) for day in days]
    assert rates.to_minor(1.0, "CHF", MARCH) is None


def test_every_bad_rate_is_named() -> None:
    """All bad rows are told at once, with their numbers."""
    rows = [
        ("2026-01-01", "EUR", 1.0),
        ("soon", "EUR", 1.0),
        ("2026-01-01", "EUR", 0.0),
        ("2026-01-01", "EUR", float("nan")),
    ]

    with pytest.raises(ConfigurationError, match="3 problems") as caught:
        Rates("USD", rows)
    assert ["rates row 2", "rates row 3", "rates row 4"] == [text.split(":")[0] for text in caught.value.problems]
