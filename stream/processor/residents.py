"""Customers at hand: decoded, with what has been found out about them, kept between batches within bounds."""

from __future__ import annotations

from collections.abc import Mapping

from stream.events.hashing import hash64
from stream.state.customer import Customer, decode
from stream.state.purchases import Purchases

UNKNOWN_MS = -1

MOST_BYTES = 40 << 20
"""Encoded bytes of the customers of one generation; there are two, and a customer at hand takes about as many bytes again.
More: memory, for every partition of a worker; fewer: busy customers are decoded again and again."""
OVERHEAD_BYTES = 1_200
"""What a customer at hand takes however little is known of them."""


class Resident:
    """A customer at hand. What is here besides the record is never stored; it can be found out again.

    ``due_ms`` is when something is due; of it, ``orders_due_ms`` and ``cart_due_ms`` are what hangs on orders and cart and
    ``other_due_ms`` the rest (`UNKNOWN_MS`: only all of it is known). They hold while ``settled`` is true, nothing of what they
    hang on has changed, and time hasn't run backwards behind ``as_of_ms``.
    """

    __slots__ = (
        "_hash", "as_of_ms", "cart_due_ms", "created_ms", "customer", "due_ms", "forgotten_ms", "id", "indexed_ms", "key",
        "orders_due_ms", "other_due_ms", "purchases", "settled", "touched",
    )  # fmt: skip

    def __init__(self, customer_id: str, key: bytes, customer: Customer, timed_by: int) -> None:
        memory, messages = customer.memory, customer.messages
        self.id = customer_id
        self.key = key
        self.customer = customer
        self.purchases: Purchases | None = None
        self.touched = False
        """In the step that is open."""
        self.settled = memory.timed_by == timed_by
        self.due_ms = customer.next_due_ms
        self.indexed_ms = -1
        """What the due index has been told; −1: not known."""
        self.orders_due_ms = self.other_due_ms = UNKNOWN_MS
        self.cart_due_ms = UNKNOWN_MS if messages.carts else 0
        self.as_of_ms = messages.newest_ms()
        self.forgotten_ms = messages.floor_ms
        """Floor of the message log when the cart was looked at."""
        self.created_ms = customer.person.created_ms
        self._hash = -1

    @property
    def hash(self) -> int:
        """Of the customer's id; spreads timers and phases."""
        if self._hash < 0:
            self._hash = hash64(self.id)
        return self._hash

    def forget(self) -> None:
        """Nothing is known any more besides the record: its orders may have changed in any way."""
        self.purchases = None
        self.settled = False
        self.customer.memory.timed_by = 0

    def bought(self) -> Purchases:
        """The customer's purchases."""
        purchases = self.purchases
        if purchases is None:
            purchases = self.purchases = Purchases(self.customer.orders)
        return purchases


class Residents:
    """All customers at hand, in two generations: whoever isn't asked for during a whole generation has to go."""

    def __init__(self, store: Mapping[bytes, bytes], timed_by: int) -> None:
        self._store = store
        self._timed_by = timed_by
        self.young: dict[str, Resident] = {}
        """By customer id. Callers in a hurry look here first and call `find` for who isn't there."""
        self._old: dict[str, Resident] = {}
        self._bytes = 0

    def find(self, customer_id: str) -> Resident | None:
        """The customer, from the store if need be; ``None`` when there is no such."""
        resident = self.young.get(customer_id)
        if resident is not None:
            return resident
        resident = self._old.pop(customer_id, None)
        if resident is None:
            key = customer_id.encode("utf-8", "surrogatepass")
            value = self._store.get(key)
            if value is None:
                return None
            resident = Resident(customer_id, key, decode(value), self._timed_by)
            self._bytes += len(value)
        self.young[customer_id] = resident
        self._bytes += OVERHEAD_BYTES
        return resident

    def look(self, customer_id: str) -> Resident | None:
        """As `find`, without keeping who isn't at hand: for those who look at everybody."""
        resident = self.young.get(customer_id) or self._old.get(customer_id)
        if resident is None:
            key = customer_id.encode("utf-8", "surrogatepass")
            value = self._store.get(key)
            resident = None if value is None else Resident(customer_id, key, decode(value), self._timed_by)
        return resident

    def add(self, customer_id: str, key: bytes) -> Resident:
        """A customer whom nobody has heard of."""
        resident = self.young[customer_id] = Resident(customer_id, key, Customer(), self._timed_by)
        self._bytes += OVERHEAD_BYTES
        return resident

    def drop(self, resident: Resident) -> None:
        """Lets a customer go: what is at hand isn't what the store has."""
        self.young.pop(resident.id, None)
        self._old.pop(resident.id, None)

    def age(self) -> None:
        """Between two steps: a generation that is full becomes the old one, and the old one goes."""
        if self._bytes > MOST_BYTES:
            self._old, self.young = self.young, {}
            self._bytes = 0

    def forget_dues(self) -> None:
        """What was found out about due instants holds no longer, of anybody."""
        for generation in (self.young, self._old):
            for resident in generation.values():
                resident.settled = False

    def clear(self) -> None:
        """Nobody is at hand."""
        self.young = {}
        self._old = {}
        self._bytes = 0
