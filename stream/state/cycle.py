"""A customer's own purchase rhythm, read off the distinct UTC days on which they bought (MISSION B2)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

import msgspec

LEAST_GAPS = 2
"""Gaps between purchase days before a rhythm is called one. One gap is an accident; three would silence half of real
repeat buyers."""


class Cycle(msgspec.Struct, frozen=True, gc=False):
    """Median gap and its spread (median absolute deviation), in days; 0.0 when unknown. ``gaps`` counts the gaps."""

    median_days: float
    spread_days: float
    gaps: int


UNKNOWN = Cycle(0.0, 0.0, 0)


def cycle_of(days: Sequence[int]) -> Cycle:
    """The rhythm of ascending, distinct purchase days. Medians: one long holiday must not move a reminder.

    >>> cycle_of([0, 30, 61, 90, 200])
    Cycle(median_days=30.5, spread_days=1.0, gaps=4)
    >>> cycle_of([5])
    Cycle(median_days=0.0, spread_days=0.0, gaps=0)
    """
    if len(days) < 2:
        return UNKNOWN
    gaps = sorted(map(sub, days[1:], days))
    usual = float(middle(gaps))
    return Cycle(usual, float(middle(sorted([abs(gap - usual) for gap in gaps]))), len(gaps))


def middle(ascending: Sequence[float]) -> float:
    """The median of numbers that are sorted already.

    >>> middle([1, 2, 10]), middle([1, 2, 3, 10])
    (2, 2.5)
    """
    half = len(ascending) // 2
    return ascending[half] if len(ascending) % 2 else (ascending[half - 1] + ascending[half]) / 2


def expected_next_day(days: Sequence[int]) -> int | None:
    """UTC day of the next purchase by the customer's own rhythm; ``None`` before `LEAST_GAPS` gaps.

    >>> expected_next_day([0, 30, 60]), expected_next_day([0, 30])
    (90, None)
    """
    cycle = cycle_of(days)
    if cycle.gaps < LEAST_GAPS:
        return None
    return days[-1] + max(1, round(cycle.median_days))
