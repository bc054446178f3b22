"""Customers as a backtest keeps them: what is known of each once, what was decided about them once per version."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.backtest.job import VERSIONS
from stream.events.hashing import hash64
from stream.rules.schedule import NEVER_MS
from stream.state.customer import Customer, decode, encode
from stream.state.memory import Memory
from stream.state.purchases import Purchases

_NEW_BYTES = 10_800
"""What a customer of whom there were 50 events takes at hand (measured); somebody new will come to about that."""
_TIMES, _OVERHEAD_BYTES = 3, 6_000
"""What one whose records have been packed takes: three times the records and so much more, by estimate."""


class Own(msgspec.Struct, gc=False, eq=False):
    """What one version has decided about a customer, and when it has something to decide next."""

    customer: Customer
    """With the facts that all versions share, and a memory of its own, of which only decisions count."""
    orders_ms: int = NEVER_MS
    """When a timer that hangs on orders is due."""
    person_ms: int = NEVER_MS
    """The same of those that hang on the person."""
    cart_ms: int = NEVER_MS
    """The same of those that hang on the cart."""
    occasion_ms: int = NEVER_MS
    """When a calendar or a complaint makes something due, or up to when it is known that none does."""
    due_ms: int = NEVER_MS
    """When anything is due, decisions that were put off included."""

    @property
    def rest_ms(self) -> int:
        """When anything is due that doesn't hang on the cart."""
        return min(self.orders_ms, self.person_ms, self.occasion_ms, self.customer.memory.pending_ms or NEVER_MS)

    def settle(self) -> None:
        """Finds out ``due_ms``."""
        pending_ms = self.customer.memory.pending_ms or NEVER_MS
        self.due_ms = min(self.orders_ms, self.person_ms, self.cart_ms, self.occasion_ms, pending_ms)


class Life(msgspec.Struct, gc=False, eq=False):
    """One customer.

    The facts, and what was found out from them alone (part of the population, churn snapshots, reviews), are in the customer of
    the first version.
    """

    id: str
    hash: int
    facts: Customer
    own: list[Own]
    """By version."""
    due_ms: int = NEVER_MS
    """When the next review or churn snapshot is."""
    next_ms: int = NEVER_MS
    """When anything is due, in any version."""
    day: int = -1
    """The UTC day on which it is looked for; −1: on none."""
    settled: bool = False
    """Due instants need not be found anew unless something moves them."""
    created_ms: int = 0
    floor_ms: int = 0
    """What the customer's first instant and the floor of the messages were when due instants were found."""
    purchases: Purchases | None = None
    size: int = _NEW_BYTES

    def bought(self) -> Purchases:
        """The customer's purchases."""
        purchases = self.purchases
        if purchases is None:
            purchases = self.purchases = Purchases(self.facts.orders)
        return purchases

    def settle(self) -> None:
        """Finds out ``next_ms``."""
        first, second = self.own
        self.next_ms = min(self.due_ms, first.due_ms, second.due_ms)


def _life(customer_id: str, facts: Customer, memories: list[Memory]) -> Life:
    others = [Customer(memory=memory, messages=facts.messages, person=facts.person) for memory in memories]
    for other in others:
        other.orders = facts.orders
    return Life(customer_id, hash64(customer_id), facts, [Own(facts), *map(Own, others)])


_encode = msgspec.msgpack.Encoder().encode


class _Stored(msgspec.Struct, array_like=True, gc=False):
    facts: bytes
    memories: list[Memory]
    dues: list[tuple[int, int, int, int]]
    due_ms: int
    next_ms: int
    day: int
    settled: bool
    created_ms: int
    floor_ms: int


_decode = msgspec.msgpack.Decoder(_Stored).decode


class Lives:
    """All customers: those at hand in two generations, ``room_bytes`` in all by estimate, the others packed."""

    def __init__(self, room_bytes: int) -> None:
        self._most_bytes = room_bytes // 2
        self._young: dict[str, Life] = {}
        self._old: dict[str, Life] = {}
        self._packed: dict[str, bytes] = {}
        self._bytes = 0

    def find(self, customer_id: str) -> Life | None:
        """The customer, ``None`` when there is no such."""
        life = self._young.get(customer_id)
        if life is None:
            life = self._old.pop(customer_id, None)
            if life is None:
                packed = self._packed.pop(customer_id, None)
                if packed is None:
                    return None
                life = _unpacked(customer_id, packed)
            self._keep(life)
        return life

    def add(self, customer_id: str) -> Life:
        """Somebody of whom nobody has heard."""
        life = _life(customer_id, Customer(), [Memory() for _ in VERSIONS[1:]])
        self._keep(life)
        return life

    def drop(self, life: Life) -> None:
        """That was nobody."""
        del self._young[life.id]

    def age(self) -> None:
        """Makes room, if there is too little of it: whoever wasn't asked for during a whole generation is packed."""
        if self._bytes > self._most_bytes:
            for life in self._old.values():
                self._packed[life.id] = _packed(life)
            self._old, self._young = self._young, {}
            self._bytes = 0

    def _keep(self, life: Life) -> None:
        self._young[life.id] = life
        self._bytes += life.size


def _packed(life: Life) -> bytes:
    stored = _Stored(
        encode(life.facts),
        [own.customer.memory for own in life.own[1:]],
        [(own.orders_ms, own.person_ms, own.cart_ms, own.occasion_ms) for own in life.own],
        life.due_ms, life.next_ms, life.day, life.settled, life.created_ms, life.floor_ms,
    )  # fmt: skip
    return _encode(stored)


def _unpacked(customer_id: str, packed: bytes) -> Life:
    stored: Any = _decode(packed)
    life = _life(customer_id, decode(stored.facts), stored.memories)
    for own, dues in zip(life.own, stored.dues, strict=True):
        own.orders_ms, own.person_ms, own.cart_ms, own.occasion_ms = dues
        own.settle()
    life.due_ms, life.next_ms, life.day = stored.due_ms, stored.next_ms, stored.day
    life.settled, life.created_ms, life.floor_ms = stored.settled, stored.created_ms, stored.floor_ms
    life.size = _TIMES * len(packed) + _OVERHEAD_BYTES
    return life
