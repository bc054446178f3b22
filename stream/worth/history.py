"""What the models of value go by of a customer's purchases: four numbers that the record holds already."""

from __future__ import annotations

from typing import NamedTuple

from stream.events.instants import DAY_MS
from stream.state.profile import Profile


class History(NamedTuple):
    """Purchases as sufficient statistics: nothing else of them tells the models anything. A purchase is a UTC day with orders."""

    repeats: int
    """Purchases after the first one."""
    last_days: int
    """From the first purchase to the last one."""
    age_days: int
    """From the first purchase to now."""
    purchase_minor: float
    """Money of a purchase on average, minor units; 0 when all of it was given back."""


def history_of(profile: Profile) -> History | None:
    """The history of a customer as of the profile's day; ``None`` without a purchase before it.

    Days are known of orders that are remembered one by one; each of those that have left the memory (after `memory_days`) counts as
    one purchase.
    """
    purchases, today = profile.purchases, profile.day
    first_ms, last_ms = purchases.first_ms, purchases.last_ms
    if first_ms is None or last_ms is None or first_ms // DAY_MS >= today:
        return None
    gone = profile.customer.orders.gone
    repeats = purchases.gaps
    if gone is not None:
        # Those in day buckets are among the days already.
        repeats += gone.frequency - sum(count for count, _ in gone.frozen.values())
    first_day = first_ms // DAY_MS
    last_days = max(0, min(today, last_ms // DAY_MS) - first_day)
    if not last_days:
        repeats = 0
    return History(repeats, last_days, today - first_day, purchases.lifetime.monetary_minor / (repeats + 1))
