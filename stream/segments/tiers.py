"""Tiers by fixed thresholds (MISSION C1), and why a customer is in theirs."""

from __future__ import annotations

from typing import NamedTuple

PROSPECT = "prospect"
"""Known, but never bought (or everything was cancelled). Not "lost": there was nothing to lose."""
LOST = "lost"
LOW = "low"
MEDIUM = "medium"
HIGH = "high"

TIERS = (PROSPECT, LOST, LOW, MEDIUM, HIGH)
"""All tiers, lowest first."""

LOST_DAYS = 90
HIGH_RECENCY_DAYS, HIGH_FREQUENCY, HIGH_MONETARY = 7, 12, 500
MEDIUM_RECENCY_DAYS, MEDIUM_FREQUENCY = 30, 6

TURNING_DAYS = (HIGH_RECENCY_DAYS + 1, MEDIUM_RECENCY_DAYS + 1, LOST_DAYS)
"""Days after a purchase on which silence alone can change the tier."""


def tier_of(recency_days: int | None, frequency_365d: int, monetary_365d: float) -> str:
    """The tier: lost from 90 days on, else high, medium or low. ``monetary_365d`` is in whole currency units.

    >>> tier_of(3, 12, 500), tier_of(8, 12, 500), tier_of(31, 12, 500), tier_of(90, 12, 500), tier_of(None, 0, 0)
    ('high', 'medium', 'low', 'lost', 'prospect')
    """
    if recency_days is None:
        return PROSPECT
    if recency_days >= LOST_DAYS:
        return LOST
    if recency_days <= HIGH_RECENCY_DAYS and frequency_365d >= HIGH_FREQUENCY and monetary_365d >= HIGH_MONETARY:
        return HIGH
    if recency_days <= MEDIUM_RECENCY_DAYS and frequency_365d >= MEDIUM_FREQUENCY:
        return MEDIUM
    return LOW


class Missing(NamedTuple):
    """What a customer lacks for the tier above; empty and 0 where there is none."""

    tier: str = ""
    orders: int = 0
    monetary_minor: int = 0


def missing(tier: str, frequency_365d: int, monetary_365d_minor: int, high_monetary_minor: int) -> Missing:
    """What is missing for the tier above. An order at least: every tier also asks for a recent one.

    >>> missing("low", 4, 9_000, 50_000), missing("medium", 11, 20_000, 50_000)
    (Missing(tier='medium', orders=2, monetary_minor=0), Missing(tier='high', orders=1, monetary_minor=30000))
    """
    match tier:
        case "prospect" | "lost":
            return Missing(LOW, 1)
        case "low":
            return Missing(MEDIUM, max(1, MEDIUM_FREQUENCY - frequency_365d))
        case "medium":
            orders = max(1, HIGH_FREQUENCY - frequency_365d)
            return Missing(HIGH, orders, max(0, high_monetary_minor - monetary_365d_minor))
        case _:
            return Missing()


def why(recency_days: int | None, frequency_365d: int, monetary_365d: float) -> str:
    """The figures that decide the tier, as a person would say them.

    >>> why(95, 2, 80.5)
    'last purchase 95 days ago, 2 orders and 80.50 spent in 365 days'
    """
    if recency_days is None:
        return "no purchase that counts"
    orders = "1 order" if frequency_365d == 1 else f"{frequency_365d} orders"
    return f"last purchase {recency_days} days ago, {orders} and {monetary_365d:.2f} spent in 365 days"
