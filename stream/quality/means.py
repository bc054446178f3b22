"""Means of a tier, to stand in where a customer's own figure is missing, and marked as such wherever they do (MISSION A5).

They come from the visits that every buyer gets once a period: the sums of a day are whole numbers, so they are the same in any
order, and older days count less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from stream.state.profile import Profile

FIGURES = ("nps", "csat", "rating", "cycle_days")
"""What is imputed."""
LEAST = 20
"""Customers behind a mean. Fewer: one customer's mood is a tier's."""
_HALF_LIFE_DAYS = 60
_UNIT = 1_000
"""Sums are in thousandths."""

Sums = dict[str, dict[str, tuple[int, int]]]
"""Tier → figure → (customers, sum in thousandths)."""


class Mean(msgspec.Struct, array_like=True):
    """Customers behind a mean, and their sum; both count less the older they are."""

    customers: float
    total: float


Means = dict[str, dict[str, Mean]]
"""Tier → figure → mean."""


def own(profile: Profile) -> dict[str, float]:
    """A customer's own figures, those that there are."""
    found = {
        "nps": float(profile.last_nps) if profile.last_nps >= 0 else None,
        "csat": float(profile.last_csat) or None,
        "rating": profile.last_rating or None,
        "cycle_days": profile.cycle_days or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def add(sums: Sums, tier: str, figures: Mapping[str, float]) -> None:
    """Counts a customer's own figures."""
    known = sums.setdefault(tier, {})
    for name, value in figures.items():
        customers, total = known.get(name, (0, 0))
        known[name] = customers + 1, total + round(value * _UNIT)


def merged_sums(parts: Iterable[Sums]) -> Sums:
    """The sums of a day, of all partitions and steps."""
    sums: Sums = {}
    for part in parts:
        for tier, figures in part.items():
            known = sums.setdefault(tier, {})
            for name, (customers, total) in figures.items():
                before = known.get(name, (0, 0))
                known[name] = before[0] + customers, before[1] + total
    return sums


def faded(means: Means, days: int) -> Means:
    """Means some days later."""
    weight = 0.5 ** (days / _HALF_LIFE_DAYS)
    return {
        tier: {name: Mean(m.customers * weight, m.total * weight) for name, m in figures.items()}
        for tier, figures in means.items()
    }


def take(means: Means, sums: Sums) -> None:
    """Adds a day's sums."""
    for tier in sorted(sums):
        known = means.setdefault(tier, {})
        for name in sorted(sums[tier]):
            customers, total = sums[tier][name]
            mean = known.setdefault(name, Mean(0.0, 0.0))
            mean.customers += customers
            mean.total += total / _UNIT


def imputed(means: Means, profile: Profile) -> dict[str, float]:
    """The means of the customer's tier for the figures that they lack, by name; never one of their own."""
    known, has = means.get(profile.tier, {}), own(profile)
    return {
        name: round(known[name].total / known[name].customers, 3)
        for name in FIGURES
        if name not in has and name in known and known[name].customers >= LEAST
    }
