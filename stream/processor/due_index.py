"""When which customer is due: a heap with one live entry per customer, rebuilt from state, never polled (MISSION E7)."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush


class DueIndex:
    """Customers by the instant at which something about them is due next.

    >>> index = DueIndex()
    >>> index.set(b"b", 20); index.set(b"a", 20); index.set(b"a", 30)
    >>> index.next_ms(), index.pop_due(25), index.pop_due(25)
    (20, (20, b'b'), None)
    """

    def __init__(self) -> None:
        self._due: dict[bytes, int] = {}
        self._heap: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._due)

    def rebuild(self, entries: Iterable[tuple[bytes, int]]) -> None:
        """Starts anew from (customer, due_ms) pairs; 0 means never."""
        self._due = {key: due for key, due in entries if due}
        self._heap = [(due, key) for key, due in self._due.items()]
        heapify(self._heap)

    def set(self, key: bytes, due_ms: int) -> None:
        """The customer is due at this instant and at no other; 0 means never."""
        if not due_ms:
            self._due.pop(key, None)
        elif self._due.get(key) != due_ms:
            self._due[key] = due_ms
            heappush(self._heap, (due_ms, key))
            if len(self._heap) > 4 * len(self._due) + 1024:
                # Entries that were moved stay in the heap until they surface; a busy customer leaves one per event.
                self.rebuild(list(self._due.items()))

    def next_ms(self) -> int | None:
        """The earliest instant at which anybody is due."""
        heap, due = self._heap, self._due
        while heap:
            at, key = heap[0]
            if due.get(key) == at:
                return at
            heappop(heap)
        return None

    def pop_due(self, now_ms: int) -> tuple[int, bytes] | None:
        """Takes out the earliest (due, customer) that is due by ``now_ms``."""
        at = self.next_ms()
        if at is None or at > now_ms:
            return None
        due, key = heappop(self._heap)
        del self._due[key]
        return due, key
