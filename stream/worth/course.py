"""What a customer's loyalty in three months is told from: where it stands, the last six months of the record, and what is to come.

Shares, logarithms and small counts only, so that nobody's numbers run away.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import cos, log1p, pi, sin
from typing import Final, NamedTuple

from stream.state.profile import Profile

AHEAD_DAYS: Final = 90
"""Three months."""
_YEAR_DAYS: Final = 365.25
_ANCIENT_DAYS: Final = 4_096


class Context(NamedTuple):
    """What the shop has before it, in the next `AHEAD_DAYS` against the last ones."""

    festivals: float = 0.0
    """How many more festivals."""
    promotions: float = 0.0
    """How many more days of promotions, as a share of the days."""


class Feature(NamedTuple):
    """One column of what a forecast is made of."""

    name: str
    meaning: str


FEATURES: Final = (
    Feature("loyalty", "loyalty now, as a share of 100"),
    Feature("frequency", "rank of the orders of 365 days"),
    Feature("value", "rank of the money of 365 days"),
    Feature("staying", "probability of another purchase within the churn horizon"),
    Feature("nps", "the last NPS answer, from 7"),
    Feature("rating_trend", "how ratings have moved"),
    Feature("complaints", "complaints that are open"),
    Feature("silence", "days since the last purchase"),
    Feature("overdue", "silence against the own usual gap"),
    Feature("repeats", "orders after the first one"),
    Feature("orders_90d", "orders of the last three months"),
    Feature("orders_before", "orders of the three months before those"),
    Feature("views", "products viewed in 30 days"),
    Feature("visits", "active days of 30"),
    Feature("discount", "share of orders on discount"),
    Feature("spring", "season: the three months around May against those around November"),
    Feature("summer", "season: those around August against those around February"),
    Feature("festivals", "festivals of the coming three months against the last ones"),
    Feature("promotions", "days of promotion of the coming three months against the last ones"),
)
NAMES: Final = tuple(feature.name for feature in FEATURES)
_VALUES: Final = struct.Struct(f"<{len(FEATURES)}e")


def features(profile: Profile, context: Context) -> tuple[float, ...]:
    """The figures of `FEATURES` of a customer who has bought and whose loyalty is known."""
    found, day = profile.assessment, profile.day
    known = found.indicators
    silence, cycle = log1p(min(_ANCIENT_DAYS, profile.recency_days)), profile.cycle_days
    angle = 2 * pi * (day + AHEAD_DAYS / 2) / _YEAR_DAYS
    return (
        found.loyalty / 100,
        known.get("frequency", 50.0) / 100,
        known.get("value", 50.0) / 100,
        known.get("churn", 50.0) / 100,
        (profile.last_nps - 7) / 3 if profile.last_nps >= 0 else 0.0,
        profile.rating_trend,
        log1p(profile.open_complaints),
        silence,
        silence - log1p(cycle) if cycle > 0 else 0.0,
        log1p(max(0, profile.lifetime_frequency - 1)),
        log1p(profile.frequency_90d),
        log1p(profile.customer.orders.window(day - AHEAD_DAYS, AHEAD_DAYS).frequency),
        log1p(profile.views_30d),
        log1p(profile.active_days_30d),
        profile.discount_share_365d,
        sin(angle - 2 * pi * 43 / _YEAR_DAYS),
        -cos(angle - 2 * pi * 43 / _YEAR_DAYS),
        context.festivals,
        context.promotions,
    )


def pack(values: Sequence[float]) -> bytes:
    """As half-precision floats, two bytes each."""
    return _VALUES.pack(*values)


def unpack(data: bytes) -> tuple[float, ...]:
    """What `pack` was given, as far as half precision holds it.

    >>> unpack(pack([0.5] * len(NAMES))) == (0.5,) * len(NAMES)
    True
    """
    return _VALUES.unpack(data)
