"""The stage of a customer's life with the shop (MISSION C6): what the shop wants of them next.

Stages go by what was bought and how long ago, minding the customer's own rhythm, and not by the calendar: a customer may go
from win-back to growing with one order. The first that fits, in this order:

| stage | who |
|---|---|
| acquire | never bought (or everything was cancelled): a first order is wanted |
| win_back | no purchase for `LAPSED_DAYS` days and for `LAPSED_CYCLES` own cycles |
| activate | bought on one day only: a second order is wanted |
| grow | comes again, `RETAIN_ORDERS` orders in 365 days are not reached: more is wanted |
| retain | as many orders in 365 days, and not lapsed: this is to stay so |
"""

from __future__ import annotations

from typing import Final

from stream.segments.tiers import MEDIUM_FREQUENCY

ACQUIRE: Final = "acquire"
ACTIVATE: Final = "activate"
GROW: Final = "grow"
RETAIN: Final = "retain"
WIN_BACK: Final = "win_back"

STAGES: Final = (ACQUIRE, ACTIVATE, GROW, RETAIN, WIN_BACK)
"""All stages, in the order in which most are lived through."""

LAPSED_DAYS: Final = 60
LAPSED_CYCLES: Final = 1.5
"""From when a silence counts as a lapse; as the shipped recalls have it. Shorter: customers who are on time are won back;
longer: those who have gone are cared for as if they were there."""
RETAIN_ORDERS: Final = MEDIUM_FREQUENCY
"""A regular: what the middle tier asks for."""


def stage_of(recency_days: int | None, cycle_days: float, gaps: int, frequency_365d: int) -> str:
    """The stage. ``gaps`` are the gaps between days of purchase, ``recency_days`` is ``None`` without a purchase.

    >>> stage_of(None, 0.0, 0, 0), stage_of(10, 0.0, 0, 1), stage_of(10, 20.0, 1, 2), stage_of(10, 20.0, 9, 9)
    ('acquire', 'activate', 'grow', 'retain')
    >>> stage_of(60, 0.0, 0, 1), stage_of(100, 90.0, 3, 4), stage_of(135, 90.0, 3, 4)
    ('win_back', 'grow', 'win_back')
    """
    if recency_days is None:
        return ACQUIRE
    if recency_days >= LAPSED_DAYS and recency_days >= LAPSED_CYCLES * cycle_days:
        return WIN_BACK
    if not gaps:
        return ACTIVATE
    return RETAIN if frequency_365d >= RETAIN_ORDERS else GROW
