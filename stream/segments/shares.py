"""Loyalty tiers by share of the population (MISSION C2), what keeps them from flapping, and what silence does to them (C5).

The living buyers, those of the last 365 days, are ranked by RFM and NPS together; the best 15 % are high, the next 30 % medium, the
next 40 % low, and 15 % are at risk. Who stands close to a border stays on the side they were on. Besides, a tier is only kept by
doing something: each three months without any behaviour take one tier from what the rank asks for.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from stream.segments.tiers import HIGH, LOW, MEDIUM, PROSPECT

CHURN_RISK: Final = "churn_risk"
LAPSED: Final = "lapsed"
"""No purchase in 365 days: not of the living, so in nobody's share."""

SHARE_TIERS: Final = ("", PROSPECT, LAPSED, CHURN_RISK, LOW, MEDIUM, HIGH)
"""By number, lowest first; the first: not ranked yet. Stored: never renumber."""
CUTS: Final = (0.15, 0.55, 0.85)
"""Where one tier ends and the next begins, as shares of the living buyers from the lowest: 15, 40, 30, 15 %."""
SILENT_DAYS: Final = 90
"""Three months without behaviour take a tier."""

_NOT_YET, _PROSPECT, _LAPSED, _LOWEST = 0, 1, 2, 3


def position_of(start: float, width: float, customer_hash: int) -> float:
    """Where a customer stands within the stretch of ranks of all who tie with them: by hash, so for as long as they tie.

    >>> position_of(0.5, 0.2, 3 << 62)
    0.65
    """
    # Not the low bits: those spread customers over calendars.
    return start + width * ((customer_hash >> 32) / 2**32)


def tier_at(position: float, before: int, margin: float) -> int:
    """The number of the tier at a share of the population from below; ``before`` is kept within ``margin`` of its borders.

    >>> [SHARE_TIERS[tier_at(at, 0, 0.02)] for at in (0.0, 0.15, 0.56, 0.84, 0.85)]
    ['churn_risk', 'low', 'medium', 'medium', 'high']
    >>> [SHARE_TIERS[tier_at(at, SHARE_TIERS.index("high"), 0.02)] for at in (0.84, 0.82, 0.1)]
    ['high', 'medium', 'churn_risk']
    """
    now = bisect_right(CUTS, position) + _LOWEST
    if before < _LOWEST or now == before:
        return now
    if now < before:
        return before if position >= CUTS[before - _LOWEST - 1] - margin else now
    return before if position < CUTS[before - _LOWEST] + margin else now


def lowered(tier: int, silent_days: int) -> int:
    """The number of the tier in force, when nothing was heard of the customer for so many days.

    >>> [SHARE_TIERS[lowered(SHARE_TIERS.index("high"), days)] for days in (89, 90, 180, 999)]
    ['high', 'medium', 'low', 'churn_risk']
    """
    return tier if tier < _LOWEST else max(_LOWEST, tier - silent_days // SILENT_DAYS)


def unranked(bought: bool) -> int:
    """The number of the tier of whoever isn't among the living buyers."""
    return _LAPSED if bought else _PROSPECT
