"""What speaks for a product: beside another one, by a customer's habit, or by itself (MISSION D7)."""

from __future__ import annotations

import msgspec


class Association(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A product, and why. Shares are of orders that count less the older they are."""

    product_id: str
    because_of: str
    """The product that it goes with; empty: many buy it."""
    how: str
    """``together`` in one order, ``next`` in a later one of the same customer, ``again``, or ``popular``."""
    support: float
    """Share of all orders that say so."""
    confidence: float
    """Share of the orders with the other product (or after it) that hold this one."""
    lift: float
    """How many times more that is than this product's share of all orders."""
    orders: float
    """Orders that say so, each counted by how old it is."""
