"""Persona tags: what sets a customer apart, in words that a marketer uses (MISSION C6). A customer has as many as fit."""

from __future__ import annotations

from typing import Final, NamedTuple


class Habits(NamedTuple):
    """What the tags go by."""

    frequency: int
    """Orders in 365 days."""
    discount_share: float
    views_30d: int
    recency_days: int
    nps: float
    """−1: never asked."""
    rating: float
    """0: none."""
    open_complaints: int
    hour: int
    """Of the customer's day, −1 unknown."""
    buys_on: str
    cycle_days: float
    cycle_spread_days: float
    money_rank: float
    """Among the living buyers, −1 unknown."""
    returns_much: bool


TAGS: Final = (
    "bargain_hunter",
    "full_price",
    "browser",
    "regular",
    "big_spender",
    "promoter",
    "detractor",
    "complaining",
    "returner",
    "night_owl",
    "early_bird",
    "in_store",
    "one_timer",
)
"""All tags, in the order in which they are shown."""


def personas(h: Habits) -> tuple[str, ...]:
    """The tags that fit.

    >>> personas(Habits(6, 0.7, 2, 5, 10, 0, 0, 23, "web", 30.0, 4.0, 0.95, False))
    ('bargain_hunter', 'regular', 'big_spender', 'promoter', 'night_owl')
    """
    fits = (
        h.frequency >= 3 and h.discount_share >= 0.6,
        h.frequency >= 3 and h.discount_share == 0,
        h.views_30d >= 10 and h.recency_days > 30,
        h.frequency >= 4 and 0 < h.cycle_days and h.cycle_spread_days <= 0.3 * h.cycle_days,
        h.money_rank >= 0.9,
        h.nps >= 9 or (h.nps < 0 and h.rating >= 4.5),
        0 <= h.nps < 7,
        h.open_complaints > 0,
        h.returns_much,
        h.hour >= 22 or 0 <= h.hour < 5,
        5 <= h.hour < 8,
        h.buys_on == "pos",
        h.frequency == 1,
    )
    return tuple(tag for tag, is_fit in zip(TAGS, fits, strict=True) if is_fit)
