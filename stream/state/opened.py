"""A stored record with open what a purchase changes: the orders and what the customer contributes to the population.

The same bytes as those of `stream.state.customer`, in one step each way, without the objects that other events need.
"""

from __future__ import annotations

import msgspec

from stream.state.memory import Population
from stream.state.orders import OrderBook
from stream.state.part import NO_ITEMS, AtRest


class OpenMemory(msgspec.Struct, array_like=True, gc=False):
    """As `stream.state.memory.Memory`."""

    population: Population | None
    fired: dict[str, tuple[str, int]]
    decided_ms: AtRest
    sent_ms: AtRest
    score: float
    alert_armed: bool
    reviewed_ms: int
    grid_ms: int
    snapshots: AtRest
    history_until_ms: int
    pending_ms: int
    plans: AtRest
    sentiments: AtRest
    suspect: str

    @property
    def has_snapshots(self) -> bool:
        """There are ``snapshots``."""
        return self.snapshots != NO_ITEMS


class OpenRecord(msgspec.Struct, array_like=True, gc=False):
    """As `stream.state.customer.encode` writes it."""

    version: int
    head: bytes
    """`stream.state.layout.HEAD`."""
    ids: bytes
    rows: bytes
    carts: bytes
    baskets: bytes
    memory: OpenMemory
    orders: OrderBook
    traits: AtRest
    consent: AtRest
    voice: AtRest


decode = msgspec.msgpack.Decoder(OpenRecord).decode
"""Of a record of the current version."""
encode = msgspec.msgpack.Encoder().encode
