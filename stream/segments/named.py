"""The RFM segments that marketers know by name (MISSION C7).

The map is the usual one over recency and the mean of frequency and monetary scores, with every cell filled.
"""

from __future__ import annotations

from types import MappingProxyType

PROSPECTS = "Prospects"
CHAMPIONS = "Champions"
LOYAL = "Loyal"
POTENTIAL = "Potential Loyalists"
NEW = "New Customers"
PROMISING = "Promising"
ATTENTION = "Needs Attention"
SLEEP = "About To Sleep"
RISK = "At Risk"
CANT_LOSE = "Can't Lose Them"
HIBERNATING = "Hibernating"
LOST = "Lost"

SEGMENTS = (
    CHAMPIONS,
    LOYAL,
    POTENTIAL,
    NEW,
    PROMISING,
    ATTENTION,
    SLEEP,
    RISK,
    CANT_LOSE,
    HIBERNATING,
    LOST,
    PROSPECTS,
)
"""All segments, best first."""

WORDS = MappingProxyType(
    {name: "prospect" if name == PROSPECTS else name.lower().replace(" ", "_").replace("'", "") for name in SEGMENTS}
)
"""Segment → the word for it as a tier, where segments are the primary scheme."""

_GRID = {
    5: (NEW, POTENTIAL, POTENTIAL, CHAMPIONS, CHAMPIONS),
    4: (PROMISING, POTENTIAL, LOYAL, LOYAL, CHAMPIONS),
    3: (SLEEP, ATTENTION, ATTENTION, LOYAL, LOYAL),
    2: (HIBERNATING, HIBERNATING, RISK, RISK, RISK),
    1: (LOST, HIBERNATING, RISK, CANT_LOSE, CANT_LOSE),
}
"""Recency score → segment by the mean of F and M, 1 to 5."""


def segment_of(r: int, f: int, m: int) -> str:
    """The segment of RFM scores; empty before there are any.

    >>> segment_of(5, 5, 5), segment_of(1, 5, 4), segment_of(5, 1, 1), segment_of(0, 0, 0)
    ('Champions', "Can't Lose Them", 'New Customers', '')
    """
    return _GRID[r][(f + m + 1) // 2 - 1] if r else ""
