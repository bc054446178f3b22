"""Groups by the value index (MISSION C3): who is worth most, who could be worth more, who once was.

| group | who |
|---|---|
| high_value | the top 20 % of the index, more than `high_value_spend` in 365 days, and more than 40 % of those orders a repurchase |
| potential | the next 50 %, with something in the cart that was put there lately and not bought |
| maintenance | the bottom 10 %, nothing bought for half a year, but more than once before |
| standard | all other living buyers |
"""

from __future__ import annotations

from typing import Final, NamedTuple

HIGH_VALUE: Final = "high_value"
POTENTIAL: Final = "potential"
MAINTENANCE: Final = "maintenance"
STANDARD: Final = "standard"

VALUE_GROUPS: Final = ("", HIGH_VALUE, POTENTIAL, MAINTENANCE, STANDARD)
"""By number; the first: not ranked. Stored: never renumber."""

TOP, MIDDLE, BOTTOM = 0.8, 0.3, 0.1
"""Where the top 20 % begin, the 21 to 70 %, and where the bottom 10 % end, as shares from below."""
REPURCHASE_RATE: Final = 0.4
HALF_A_YEAR_DAYS: Final = 182
CART_DAYS: Final = 14
"""How long a cart is recent. Longer: what was forgotten is called an intention; shorter: who comes weekly is never seen."""
SILENT_DAYS: Final = 90
"""Nobody stays of high value through three months of silence, whatever the month's review will say."""


class Worth(NamedTuple):
    """What the groups go by."""

    position: float
    """Share of the living buyers whose index is lower."""
    spent: float
    """In 365 days, whole currency units."""
    frequency: int
    """Orders in 365 days."""
    lifetime_frequency: int
    recency_days: int
    silent_days: int
    cart_days: int
    """Since the cart was last changed; more than `CART_DAYS`, or nothing in it: no intention."""


def repurchase_rate(frequency: int) -> float:
    """Which part of somebody's orders were not the first of the year.

    >>> repurchase_rate(0), repurchase_rate(1), repurchase_rate(2)
    (0.0, 0.0, 0.5)
    """
    return (frequency - 1) / frequency if frequency > 1 else 0.0


def deserves(worth: Worth, high_value_spend: float) -> bool:
    """Whether somebody is of high value by the figures, silence aside."""
    is_repeating = repurchase_rate(worth.frequency) > REPURCHASE_RATE
    return worth.position >= TOP and worth.spent > high_value_spend and is_repeating


def group_of(worth: Worth, was: str, high_value_spend: float, *, is_review: bool) -> str:
    """The group of a living buyer. Who is of high value is decided at a review, once a month; in between they ``was`` it or not.

    >>> worth = Worth(0.9, 6_000.0, 4, 9, 10, 2, 99)
    >>> group_of(worth, "standard", 5_000, is_review=False), group_of(worth, "standard", 5_000, is_review=True)
    ('standard', 'high_value')
    >>> group_of(worth._replace(spent=10.0), "high_value", 5_000, is_review=False)
    'high_value'
    >>> group_of(worth._replace(silent_days=90), "high_value", 5_000, is_review=False)
    'standard'
    """
    is_high = deserves(worth, high_value_spend) if is_review or not was else was == HIGH_VALUE
    if is_high and worth.silent_days < SILENT_DAYS:
        return HIGH_VALUE
    if MIDDLE <= worth.position < TOP and worth.cart_days <= CART_DAYS:
        return POTENTIAL
    if worth.position < BOTTOM and worth.recency_days >= HALF_A_YEAR_DAYS and worth.lifetime_frequency > 1:
        return MAINTENANCE
    return STANDARD
