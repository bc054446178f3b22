"""Sums of outcomes that can be merged in any order: integers only, so every order gives the same bytes (MISSION F2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec


class Key(NamedTuple):
    """What outcomes are told apart by."""

    rule_id: str
    version: int
    arm: str
    channel: str
    tier: str


class Sums(msgspec.Struct, array_like=True, gc=False):
    """Outcomes of the customers under one key."""

    exposed: int = 0
    """Customers whose window is over, each once."""
    converted: int = 0
    """Of them, who has bought in the window."""
    orders: int = 0
    revenue_minor: int = 0
    revenue_squared: str = "0"
    """Sum of each one's revenue squared (it passes 64 bits, so it travels as text)."""
    actions: int = 0
    """Actions that went out."""
    cost_minor: int = 0
    """Theirs."""
    reported: int = 0
    """Of those exposed, who is reported to have bought, in orders that the order book doesn't have."""
    reported_minor: int = 0

    def add(self, other: Sums) -> None:
        """Adds the sums of others."""
        self.exposed += other.exposed
        self.converted += other.converted
        self.orders += other.orders
        self.revenue_minor += other.revenue_minor
        self.revenue_squared = str(int(self.revenue_squared) + int(other.revenue_squared))
        self.actions += other.actions
        self.cost_minor += other.cost_minor
        self.reported += other.reported
        self.reported_minor += other.reported_minor


class Tally(msgspec.Struct, array_like=True, gc=False):
    """Sums with their key."""

    key: Key
    sums: Sums


def settled(
    key: Key, orders: int, revenue_minor: int, reported: int = 0, reported_minor: int = 0, *, counts: bool = False
) -> Tally:
    """The outcome of one customer. ``reported`` orders, which the order book doesn't have, are told beside it, or count."""
    if counts:
        orders, revenue_minor = orders + reported, revenue_minor + reported_minor
    sums = Sums(1, int(orders > 0), orders, revenue_minor, str(revenue_minor * revenue_minor))
    sums.reported, sums.reported_minor = int(reported > 0), reported_minor
    return Tally(key, sums)


def acted(key: Key, cost_minor: int) -> Tally:
    """One action that went out."""
    return Tally(key, Sums(actions=1, cost_minor=cost_minor))


def merged(tallies: Iterable[Tally]) -> list[Tally]:
    """One tally per key, ascending by key.

    >>> key = Key("welcome", 1, "default", "email", "low")
    >>> sums = merged([settled(key, 2, 500), settled(key, 0, 0), acted(key, 3)])[0].sums
    >>> sums.exposed, sums.converted, sums.orders, sums.revenue_minor, sums.actions, sums.cost_minor
    (2, 1, 2, 500, 1, 3)
    """
    found: dict[Key, Sums] = {}
    for tally in tallies:
        key = Key(*tally.key)
        sums = found.get(key)
        if sums is None:
            sums = found[key] = Sums()
        sums.add(tally.sums)
    return [Tally(key, found[key]) for key in sorted(found)]
