"""Customers at hand: as the record that somebody has extended, or decoded with what was found out about them.

A worker keeps nobody from step to step: what a step touches lies all over memory, and to come back to ten small objects takes as
long as to decode one record that lies in one piece. Replay plays a customer's whole day at once, and keeps them within bounds.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stream.events.hashing import hash64
from stream.state.customer import Customer, decode, encode
from stream.state.purchases import Purchases

UNKNOWN_MS = -1

_TIMES, _OVERHEAD_BYTES = 3, 2_000
"""What a customer at hand takes: three times the encoded record and so much more (measured with 56,000 whom events had
touched: 5,370 bytes each, where this says 5,328)."""


class Resident(msgspec.Struct, gc=False, eq=False):
    """A customer at hand. What is here besides the record is never stored; it can be found out again.

    ``due_ms`` is when something is due; of it, ``orders_due_ms`` and ``cart_due_ms`` are what hangs on orders and cart and
    ``other_due_ms`` the rest (`UNKNOWN_MS`: only all of it is known). They hold while ``settled`` is true, nothing of what they
    hang on has changed, and time hasn't run backwards behind ``as_of_ms``.
    """

    id: str
    key: bytes
    customer: Customer
    settled: bool
    due_ms: int
    cart_due_ms: int
    as_of_ms: int
    forgotten_ms: int
    """Floor of the message log when the cart was looked at."""
    created_ms: int
    orders_due_ms: int = UNKNOWN_MS
    other_due_ms: int = UNKNOWN_MS
    indexed_ms: int = -1
    """What the due index has been told; −1: not known."""
    touched: bool = False
    """In the step that is open; where records are written late, since its own was."""
    purchases: Purchases | None = None
    hashed: int = -1
    """``hash`` once somebody has asked, −1 before."""
    memory_bytes: int = _OVERHEAD_BYTES
    """By estimate, when the customer came to hand."""

    @property
    def hash(self) -> int:
        """Of the customer's id; spreads timers and phases."""
        if self.hashed < 0:
            self.hashed = hash64(self.id)
        return self.hashed

    def forget(self) -> None:
        """Nothing is known any more besides the record: its orders may have changed in any way."""
        self.purchases = None
        self.settled = False
        self.customer.timed_by = 0

    def bought(self) -> Purchases:
        """The customer's purchases."""
        purchases = self.purchases
        if purchases is None:
            purchases = self.purchases = Purchases(self.customer.orders)
        return purchases


def resident_of(customer_id: str, key: bytes, customer: Customer, timed_by: int) -> Resident:
    """A customer with nothing known besides the record. ``timed_by``: what due instants depend on besides the customer."""
    messages = customer.messages
    due_ms, settled = customer.next_due_ms, customer.timed_by == timed_by
    return Resident(
        customer_id,
        key,
        customer,
        settled,
        due_ms,
        UNKNOWN_MS if messages.carts else 0,
        messages.newest_ms(),
        messages.floor_ms,
        customer.person.created_ms,
        UNKNOWN_MS,
        UNKNOWN_MS,
        due_ms if settled else UNKNOWN_MS,  # what an import has left to be released is indexed otherwise
    )


def key_of(customer_id: str) -> bytes:
    """The key of a customer's record."""
    return customer_id.encode("utf-8", "surrogatepass")


class Residents:
    """All customers at hand, for one step.

    With ``records``, for longer: in two generations, ``room_bytes`` in all, and whoever isn't asked for during a whole generation
    has to go. Then the record of who was touched is put there: nobody else writes it.
    """

    def __init__(
        self,
        store: Mapping[bytes, bytes],
        timed_by: int,
        records: dict[bytes, bytes] | None = None,
        room_bytes: int = 0,
    ) -> None:
        self._store = store
        self._records = records
        self._generation_bytes = room_bytes // 2
        self._timed_by = timed_by
        self.young: dict[str, Resident] = {}
        """By customer id. Callers in a hurry look here first and call `find` for who isn't there."""
        self.extended: dict[bytes, bytes] = {}
        """By key: records that the step has changed and that nobody has at hand decoded."""
        self.touched: list[Resident] = []
        """The decoded customers whom the step has changed, also those who were let go."""
        self._old: dict[str, Resident] = {}
        self._bytes = 0

    def find(self, customer_id: str) -> Resident | None:
        """The customer, from the store if need be; ``None`` when there is no such."""
        resident = self.young.get(customer_id)
        if resident is not None:
            return resident
        resident = self._old.pop(customer_id, None)
        if resident is None:
            key = key_of(customer_id)
            value = self.extended.get(key) or self._store.get(key)
            if value is None:
                return None
            resident = resident_of(customer_id, key, decode(value), self._timed_by)
            if self.extended.pop(key, None) is not None:
                self.touch(resident)
            resident.memory_bytes = _TIMES * len(value) + _OVERHEAD_BYTES
        self.young[customer_id] = resident
        self._bytes += resident.memory_bytes
        return resident

    def look(self, customer_id: str) -> Resident | None:
        """As `find`, without keeping who isn't at hand: for those who look at everybody."""
        resident = self.young.get(customer_id) or self._old.get(customer_id)
        if resident is None:
            key = key_of(customer_id)
            value = self.extended.get(key) or self._store.get(key)
            resident = None if value is None else resident_of(customer_id, key, decode(value), self._timed_by)
        return resident

    def add(self, customer_id: str, key: bytes) -> Resident:
        """A customer whom nobody has heard of."""
        resident = self.young[customer_id] = resident_of(customer_id, key, Customer(), self._timed_by)
        self._bytes += resident.memory_bytes
        return resident

    def touch(self, resident: Resident) -> None:
        """The step changes this customer."""
        if not resident.touched:
            resident.touched = True
            self.touched.append(resident)

    def drop(self, resident: Resident) -> None:
        """Lets a customer go: what is at hand isn't what the store has."""
        self.young.pop(resident.id, None)
        self._old.pop(resident.id, None)

    def age(self) -> None:
        """Between two steps: everybody goes. With ``records`` a generation that is full becomes the old one, and the old one goes."""
        self.touched.clear()
        if self._records is None:
            self.clear()
        elif self._bytes > self._generation_bytes:
            self._write_down(self._old)
            self._old, self.young = self.young, {}
            self._bytes = 0

    def put_away(self, resident: Resident) -> None:
        """Encodes a customer whom the last event has touched: now it is in the processor's cache, at the end of the step it isn't."""
        if self.touched and self.touched[-1] is resident:
            self.touched.pop()
            self.extended[resident.key] = encode(resident.customer)
            del self.young[resident.id]

    def changed_keys(self) -> set[bytes]:
        """Of those whose record isn't in the store as it is now."""
        generations = (self.young, self._old)
        return self.extended.keys() | {
            resident.key for generation in generations for resident in generation.values() if resident.touched
        }

    def write_down(self) -> None:
        """Writes what `age` would write some time."""
        self._write_down(self.young)
        self._write_down(self._old)

    def _write_down(self, generation: dict[str, Resident]) -> None:
        records = self._records
        if records is None:
            return
        for resident in generation.values():
            if resident.touched:
                resident.touched = False
                records[resident.key] = encode(resident.customer)

    def forget_dues(self) -> None:
        """What was found out about due instants holds no longer, of anybody."""
        for generation in (self.young, self._old):
            for resident in generation.values():
                resident.settled = False

    def timed_otherwise(self, timed_by: int) -> None:
        """Due instants depend on something else from now on."""
        self._timed_by = timed_by
        self.forget_dues()

    def clear(self) -> None:
        """Nobody is at hand."""
        self.extended.clear()
        self.touched.clear()
        self.young = {}
        self._old = {}
        self._bytes = 0
