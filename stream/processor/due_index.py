"""When which customer is due: one live entry per customer, rebuilt from state, never polled (MISSION E7).

A heap of (due, key) for a million customers is a hundred bytes each for an order that nobody asks for: what is due next week
need not be sorted today. So the instants are cut into slots, and a slot is a plain list of keys until it is the earliest.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

SLOT_BITS = 20
"""A slot is 2^20 ms, some 17 minutes. Longer: more to sort at once when it is its turn; shorter: more slots to keep."""

Entry = tuple[int, bytes]
"""Due instant and customer."""


class DueIndex:
    """Customers by the instant at which something about them is due next.

    The keys are not copied: it shares the objects it is given.

    >>> index = DueIndex()
    >>> index.set(b"b", 20); index.set(b"a", 20); index.set(b"a", 30)
    >>> index.next_ms(), index.pop_due(25), index.pop_due(25)
    (20, (20, b'b'), None)
    """

    def __init__(self) -> None:
        self._due: dict[bytes, int] = {}
        """The truth. What the slots say otherwise is out of date and is left out when it comes up."""
        self._waiting: dict[int, list[bytes]] = {}
        """Slot → keys in any order. A key that is due in the slot is in it at least once."""
        self._sorted: dict[int, list[Entry]] = {}
        """Slot → heap, for slots that are or were the earliest. One slot is in only one of the two."""
        self._slots: list[int] = []
        """Heap of all slots."""
        self._entries = 0

    def __len__(self) -> int:
        return len(self._due)

    def rebuild(self, entries: Iterable[tuple[bytes, int]]) -> None:
        """Starts anew from (customer, due_ms) pairs; 0 means never."""
        self._due = {key: due for key, due in entries if due}
        self._sort_in()

    def set(self, key: bytes, due_ms: int) -> None:
        """The customer is due at this instant and at no other; 0 means never."""
        if not due_ms:
            self._due.pop(key, None)
            return
        before = self._due.get(key)
        if before == due_ms:
            return
        self._due[key] = due_ms
        slot = due_ms >> SLOT_BITS
        waiting = self._waiting.get(slot)
        if waiting is not None:
            if before is not None and before >> SLOT_BITS == slot:
                return
            waiting.append(key)
        elif slot in self._sorted:
            heappush(self._sorted[slot], (due_ms, key))
        else:
            self._waiting[slot] = [key]
            heappush(self._slots, slot)
        self._entries += 1
        if self._entries > 2 * len(self._due) + 1024:
            # Whoever moves leaves an entry behind; a busy customer leaves one per event.
            self._sort_in()

    def next_ms(self) -> int | None:
        """The earliest instant at which anybody is due."""
        due = self._due
        while self._slots:
            slot = self._slots[0]
            heap = self._sorted.get(slot)
            if heap is None:
                heap = self._sorted[slot] = self._opened(slot)
            while heap:
                at, key = heap[0]
                if due.get(key) == at:
                    return at
                heappop(heap)
                self._entries -= 1
            del self._sorted[slot]
            heappop(self._slots)
        return None

    def until(self, ms: int) -> list[bytes]:
        """Whoever is due up to an instant, in order.

        >>> index = DueIndex()
        >>> index.set(b"b", 20); index.set(b"a", 20); index.set(b"c", 30_000_000)
        >>> index.until(40)
        [b'a', b'b']
        """
        found: set[Entry] = set()
        for slot in self._slots:
            if slot <= ms >> SLOT_BITS:
                keys = self._waiting.get(slot) or [key for _, key in self._sorted.get(slot, ())]
                found.update((self._due[key], key) for key in keys if self._due.get(key, ms + 1) <= ms)
        return [key for _, key in sorted(found)]

    def pop_due(self, now_ms: int) -> Entry | None:
        """Takes out the earliest (due, customer) that is due by ``now_ms``."""
        at = self.next_ms()
        if at is None or at > now_ms:
            return None
        entry = heappop(self._sorted[at >> SLOT_BITS])
        self._entries -= 1
        del self._due[entry[1]]
        return entry

    def _opened(self, slot: int) -> list[Entry]:
        """The live entries of the earliest slot, as a heap."""
        waiting, due = self._waiting.pop(slot), self._due
        found = [(at, key) for key in set(waiting) if (at := due.get(key, 0)) >> SLOT_BITS == slot]
        heapify(found)
        self._entries += len(found) - len(waiting)
        return found

    def _sort_in(self) -> None:
        waiting: dict[int, list[bytes]] = {}
        for key, due in self._due.items():
            slot = due >> SLOT_BITS
            if slot in waiting:
                waiting[slot].append(key)
            else:
                waiting[slot] = [key]
        self._waiting, self._sorted, self._slots = waiting, {}, list(waiting)
        heapify(self._slots)
        self._entries = len(self._due)
