"""Loyalty from 0 to 100, out of what customers say and what they do, and what kind of loyalty it is (MISSION C4).

Attitude and behaviour are two things (Dick and Basu 1994, "Customer Loyalty: Toward an Integrated Conceptual Framework"): who buys again
and says so is actively loyal, who only buys again is passively so, and who buys again on discount is loyal to the discount.

| indicator | 0 to 100 | kind |
|---|---|---|
| nps | the last answer × 10 | direct |
| csat | the last answer, 1 to 5, stretched | direct |
| frequency | mid-rank of the orders of 365 days among the living buyers | indirect |
| value | mid-rank of the money of 365 days: what the customer is worth a year | indirect |
| churn | 100 × (1 − P(no purchase within the horizon)), while the model is to be trusted | indirect |

What isn't known of a customer has no weight, and the others share it: nobody is taken for a detractor who was never asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from stream.segments.lifecycle import WIN_BACK

ACTIVE: Final = "active_loyal"
PASSIVE: Final = "passive_loyal"
BARGAIN: Final = "bargain_chaser"
DROP_OUT: Final = "drop_out"
FORMING: Final = "forming"
"""Neither: hasn't come again yet, so there is no loyalty of any kind to tell."""

LOYALTY_KINDS: Final = ("", ACTIVE, PASSIVE, BARGAIN, DROP_OUT, FORMING)
"""By number; the first: never bought. Stored: never renumber."""

INDICATORS: Final = ("nps", "csat", "frequency", "value", "churn")

LOYAL_FROM: Final = 60.0
LOST_BELOW: Final = 30.0
"""Middling customers have about 50: figures are ranks. Nearer to it: the kinds flap; further: nobody is of them."""
BARGAIN_SHARE: Final = 0.6
BARGAIN_ORDERS: Final = 3
"""From how many orders on a share on discount is a habit."""
GOOD_RATING: Final = 4.0
PROMOTER_NPS: Final = 9.0
ENGAGED_DAYS: Final = 90


class Shown(NamedTuple):
    """What tells the kinds of loyalty apart besides the figure."""

    stage: str
    """Of life, `stream.segments.lifecycle`."""
    frequency: int
    """Orders in 365 days."""
    orders_noted: int
    discount_share: float
    nps: float
    """−1: never asked."""
    csat: float
    rating: float
    """0: none."""
    engaged_days: int
    """Since a message was answered; very many: never."""


def indicators(
    nps: float, csat: float, frequency: float | None, value: float | None, churn: float | None
) -> dict[str, float]:
    """The indicators that are known, 0 to 100. ``nps`` is −1 and ``csat`` 0 when there is none; the ranks are shares.

    >>> indicators(9, 0, 0.5, 0.75, None)
    {'nps': 90.0, 'frequency': 50.0, 'value': 75.0}
    """
    found: dict[str, float | None] = {
        "nps": 10.0 * nps if nps >= 0 else None,
        "csat": 25.0 * (csat - 1) if csat > 0 else None,
        "frequency": None if frequency is None else 100.0 * frequency,
        "value": None if value is None else 100.0 * value,
        "churn": None if churn is None else 100.0 * (1.0 - churn),
    }
    return {name: score for name, score in found.items() if score is not None}


def loyalty_of(known: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    """The weighted mean of what is known; ``None`` of nothing.

    >>> loyalty_of({"nps": 90.0, "value": 50.0}, {"nps": 0.3, "value": 0.1, "csat": 0.6})
    80.0
    """
    weighed = {name: weights.get(name, 0.0) for name in known}
    whole = sum(weighed.values())
    if not whole:
        return None
    return round(sum(weighed[name] * score for name, score in known.items()) / whole, 1)


def kind_of(loyalty: float, shown: Shown) -> str:
    """What kind of loyalty it is; the first that fits.

    >>> shown = Shown("retain", 7, 7, 0.1, -1, 0, 0, 999)
    >>> kind_of(72.0, shown), kind_of(72.0, shown._replace(nps=10)), kind_of(72.0, shown._replace(discount_share=0.8))
    ('passive_loyal', 'active_loyal', 'bargain_chaser')
    >>> kind_of(72.0, shown._replace(stage="win_back")), kind_of(50.0, shown._replace(frequency=1))
    ('drop_out', 'forming')
    """
    if shown.stage == WIN_BACK or loyalty < LOST_BELOW:
        return DROP_OUT
    if shown.orders_noted >= BARGAIN_ORDERS and shown.discount_share >= BARGAIN_SHARE:
        return BARGAIN
    says_so = shown.nps >= PROMOTER_NPS or shown.csat >= GOOD_RATING or shown.rating >= GOOD_RATING
    if loyalty >= LOYAL_FROM and (says_so or shown.engaged_days < ENGAGED_DAYS):
        return ACTIVE
    return PASSIVE if shown.frequency > 1 else FORMING
