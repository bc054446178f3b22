"""The customer as rules see it: what "never" and "unknown" look like, decay without events, the rhythm."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings
from stream.events import kinds
from stream.events.instants import parse_ms
from stream.state.customer import Customer
from stream.state.cycle import cycle_of, expected_next_day
from stream.state.profile import NEVER_DAYS, Profile

DAY = 86_400_000
START = parse_ms("2026-03-02T10:00:00Z")


def buyer(*days: int, amount: int = 1000) -> Customer:
    """Someone who bought on these days after the start."""
    customer = Customer()
    for day in days:
        customer.apply(
            kinds.Purchase(
                message_id=f"m{day}", customer="c", time_ms=START + day * DAY, order_id=f"o{day}", amount_minor=amount
            ),
            Settings(),
        )
    return customer


def test_nobody_has_figures_of_never() -> None:
    """A customer without purchases and activity is "never" in days, 0 in counts, unknown in the rest."""
    profile = Profile("c", Customer(), START)

    assert not profile.bought
    assert (NEVER_DAYS, NEVER_DAYS, NEVER_DAYS) == (
        profile.recency_days,
        profile.days_since_activity,
        profile.days_until_expected_purchase,
    )
    assert 24.0 * NEVER_DAYS == profile.hours_since_activity
    assert (0, 0, 0.0, 0) == (profile.tenure_days, profile.lifetime_frequency, profile.cycle_days, profile.views_30d)
    assert (-1, 0.0, "", 0) == (profile.last_nps, profile.last_rating, profile.language, profile.r)
    assert (None, None, None) == (
        profile.first_purchase_ms,
        profile.last_purchase_ms,
        profile.expected_next_purchase_ms,
    )


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (0, (1, 1, 1, 1)),
        (6, (1, 1, 1, 1)),
        (7, (0, 1, 1, 1)),
        (29, (0, 1, 1, 1)),
        (30, (0, 0, 1, 1)),
        (89, (0, 0, 1, 1)),
        (90, (0, 0, 0, 1)),
        (364, (0, 0, 0, 1)),
        (365, (0, 0, 0, 0)),
    ],
)
def test_windows_decay_as_time_passes(later: int, expected: tuple[int, int, int, int]) -> None:
    """With no event at all, an order leaves each window on its day; lifetime, recency and tenure go on."""
    profile = Profile("c", buyer(0), START + later * DAY)

    assert expected == (profile.frequency_7d, profile.frequency_30d, profile.frequency_90d, profile.frequency_365d)
    assert tuple(1000 * n for n in expected) == (
        profile.monetary_7d_minor,
        profile.monetary_30d_minor,
        profile.monetary_90d_minor,
        profile.monetary_365d_minor,
    )
    assert (1, later, later) == (profile.lifetime_frequency, profile.recency_days, profile.tenure_days)


def test_the_next_purchase_follows_the_own_rhythm() -> None:
    """Median of the own gaps, counted from the last purchase; overdue is negative."""
    profile = Profile("c", buyer(0, 30, 61, 90), START + 100 * DAY)

    assert (30.0, 1.0, 3) == (profile.cycle_days, profile.cycle_spread_days, profile.gaps)
    assert 20 == profile.days_until_expected_purchase
    assert (START // DAY + 120) * DAY == profile.expected_next_purchase_ms
    assert -10 == Profile("c", buyer(0, 30, 61, 90), START + 130 * DAY).days_until_expected_purchase
    assert NEVER_DAYS == Profile("c", buyer(0, 30), START + 100 * DAY).days_until_expected_purchase


@given(st.lists(st.integers(0, 900), unique=True, max_size=40))
def test_the_rhythm_is_the_median_of_the_gaps(days: list[int]) -> None:
    """Against the definition, for any days."""
    days.sort()
    gaps = [later - earlier for earlier, later in zip(days, days[1:], strict=False)]
    cycle = cycle_of(days)

    assert len(gaps) == cycle.gaps
    assert (median(gaps) if gaps else 0.0) == cycle.median_days
    assert (median([abs(gap - median(gaps)) for gap in gaps]) if gaps else 0.0) == cycle.spread_days
    expected = days[-1] + max(1, round(median(gaps))) if len(gaps) >= 2 else None
    assert expected == expected_next_day(days)


def test_an_instant_before_the_purchase_sees_no_negative_days() -> None:
    """Read as of an earlier instant, days since are 0 rather than negative."""
    profile = Profile("c", buyer(10), START)

    assert (0, 0, 0) == (profile.recency_days, profile.tenure_days, profile.days_since_activity)
    assert 0 == profile.frequency_365d
