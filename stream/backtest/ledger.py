"""What customers bought in the end: every order with what cancellations and refunds left of it, however old.

A customer's own order book forgets (`memory_days`, `memory_orders`), but an outcome of last January has to be told at the end of
December. So what the processor took into its book is written down as it passes, and folded at the end, once per customer
who was decided about, into a book that forgets nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream.events.hashing import digest64
from stream.events.kinds import Cancellation, Event, OrderUpdated, Purchase, Refund
from stream.replay.spill import Block, Spill
from stream.state.orders import WHOLE, OrderBook

LEDGER_MEMORY_BYTES = 64 << 20
"""Rows that a process keeps before it writes them to disk. Larger: memory; smaller: more runs to merge."""
FOREVER_DAYS = 1_000_000
ENDLESS_ORDERS = 1 << 40
"""A memory that no history fills."""
_ROW_BYTES = 100
_CANCELLED, _REFUNDED, _BOUGHT = 0, 1, 2
_WHAT: dict[type[Event], int] = {
    Purchase: _BOUGHT, OrderUpdated: _BOUGHT, Refund: _REFUNDED, Cancellation: _CANCELLED
}  # fmt: skip
ORDER_KINDS = frozenset(_WHAT)
"""Kinds of event that `Ledger.take` takes."""


class Ledger:
    """Takes the events of orders in any order; `close` gives sorted rows by customer."""

    def __init__(self, path: Path) -> None:
        self._spill = Spill(path, LEDGER_MEMORY_BYTES)

    def take(self, event: Event) -> None:
        """Notes an event of `ORDER_KINDS` that the processor has taken."""
        what = _WHAT[type(event)]
        order: Any = event
        amount = 0 if what == _CANCELLED else order.amount_minor
        row = (
            event.time_ms,
            what,
            digest64(order.order_id),
            digest64(event.message_id),
            WHOLE if amount is None else amount,
        )
        self._spill.add(event.customer, row, _ROW_BYTES)

    def close(self) -> list[Block]:
        """All rows are on disk, this says where."""
        return self._spill.close()


def purchases_ms(rows: Sequence[Sequence[Any]]) -> list[int]:
    """Instants of a customer's orders that count, ascending, of the ledger's rows.

    >>> order, back = b"order--1", b"order--2"
    >>> purchases_ms([(10, 2, order, b"message1", 500), (20, 2, back, b"message2", 700), (30, 0, back, b"message3", 0)])
    [10]
    """
    book = OrderBook()
    known: set[bytes] = set()
    for time_ms, what, order, message, amount in rows:
        if message in known:
            continue  # the processor takes a message once, even where its time was corrected
        known.add(message)
        if what == _BOUGHT:
            book.purchase(order, message, time_ms, amount, FOREVER_DAYS, ENDLESS_ORDERS)
        elif what == _REFUNDED:
            back = None if amount == WHOLE else amount
            book.refund(order, message, time_ms, back, memory_days=FOREVER_DAYS, memory_orders=ENDLESS_ORDERS)
        else:
            book.cancel(order, time_ms, memory_days=FOREVER_DAYS, memory_orders=ENDLESS_ORDERS)
    return [time_ms for time_ms, net in zip(*book.columns(), strict=True) if net]


def bought_within(purchases: Sequence[int], at_ms: int, window_ms: int) -> bool:
    """Whether an order that counts was placed after an instant, within so many milliseconds.

    >>> bought_within([10, 50], 10, 40), bought_within([10, 50], 10, 39)
    (True, False)
    """
    after = bisect_right(purchases, at_ms)
    return after < len(purchases) and purchases[after] <= at_ms + window_ms
