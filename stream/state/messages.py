"""The newest messages of a customer: duplicates are known by them, and views and carts are read off them.

One bounded log sorted by event time serves three needs: the ids already seen, the products viewed, the open cart. What is
read off it is the same for every order of arrival because a sorted set has no order of arrival. Products are kept as 32-bit
codes: nobody needs their names back, and no sender can grow a record with long ones. Source: MISSION A5, B3.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from zlib import crc32

import msgspec

from stream.events.instants import DAY_MS
from stream.events.kinds import Line
from stream.state.ordered import put

MOST_LINES = 64
"""Cart lines kept of one message. Fewer: big baskets lose value in reminders; more: a bot's carts fill the memory."""
MOST_BASKETS = 16
"""Purchases whose products are kept. Fewer: a product bought lately still looks merely viewed; more: a bot's big orders
fill the memory."""


class Trace(enum.IntEnum):
    """What a message leaves behind besides its id. Stored: never renumber."""

    NONE = 0
    VIEWED = 1
    CART_ADDED = 2
    CART_REMOVED = 3
    CART_SET = 4
    BOUGHT = 5


class CartLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A line of a cart: code of the product, pieces, price of one piece."""

    product: int
    quantity: int
    price_minor: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A message on its way into the log: when, the 64-bit hashes of its id and body, and what it leaves behind."""

    time_ms: int
    message: int
    body: int
    trace: int = Trace.NONE
    product: int = 0
    """Code of the product viewed."""
    lines: Sequence[CartLine] = ()


class Seen(enum.Enum):
    """What the log says of an incoming message id."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_BODY = "same_id_other_body"
    BEYOND_MEMORY = "beyond_memory"


class Cart(msgspec.Struct, frozen=True, gc=False):
    """The open cart: what is in it, its value, and when it last changed (0: never)."""

    items: int
    value_minor: int
    changed_ms: int


MOST_CART_MINOR = 10**15
"""A cart's value stops here: beyond it only nonsense, and numbers that readers in other languages can't hold."""


class MessageLog(msgspec.Struct, array_like=True):
    """The newest messages, at most ``memory_messages`` within ``memory_message_days`` of the newest one.

    Parallel lists, one position a message, ascending by (time, message): searched and counted at the speed of C.
    """

    times_ms: list[int] = []
    messages: list[int] = []
    bodies: list[int] = []
    traces: list[int] = []
    products: list[int] = []
    """Code of the product viewed, 0 for other messages."""
    carts: dict[int, list[CartLine]] = {}
    """Message → cart lines that no later message has made meaningless."""
    baskets: list[tuple[int, int, list[int]]] = []
    """(time_ms, message, codes of the products) of the newest purchases, ascending."""
    floor: tuple[int, int] = (0, 0)
    """(time_ms, message) of the newest entry that has left."""

    def look_up(self, message: int, body: int, time_ms: int, memory_days: int) -> Seen:
        """Has this message been seen? Ids that may have been forgotten are beyond memory."""
        if message in self.messages:
            known = self.bodies[self.messages.index(message)]
            return Seen.DUPLICATE if known == body else Seen.OTHER_BODY
        if (time_ms, message) <= self.floor:
            return Seen.BEYOND_MEMORY
        if self.times_ms and time_ms < self.times_ms[-1] - memory_days * DAY_MS:
            return Seen.BEYOND_MEMORY
        return Seen.NEW

    def add(self, entry: Entry, *, memory_days: int, memory_messages: int) -> None:
        """Remembers a new message and lets go of what is too old or too much."""
        times_ms = self.times_ms
        at = self._place(entry.time_ms, entry.message) if times_ms and entry.time_ms <= times_ms[-1] else len(times_ms)
        times_ms.insert(at, entry.time_ms)
        self.messages.insert(at, entry.message)
        self.bodies.insert(at, entry.body)
        self.traces.insert(at, entry.trace)
        self.products.insert(at, entry.product)
        if entry.trace >= Trace.CART_ADDED:
            self._keep_lines(at, entry)
        gone = max(len(times_ms) - memory_messages, bisect_left(times_ms, times_ms[-1] - memory_days * DAY_MS))
        if gone > 0:
            self._forget(gone)

    def views_of(self, product_id: str, now_ms: int, days: int = 30) -> int:
        """Views of a product in the last ``days`` and since it was last bought."""
        product = product_code(product_id)
        start, end = self._span(now_ms, days)
        for time_ms, message, products in reversed(self.baskets):
            if time_ms <= now_ms and product in products:
                start = max(start, self._place(time_ms, message))
                break
        return self.products[start:end].count(product)

    def views(self, now_ms: int, days: int = 30) -> int:
        """Product views of the last ``days``."""
        start, end = self._span(now_ms, days)
        return self.traces[start:end].count(Trace.VIEWED)

    def cart(self, now_ms: int) -> Cart:
        """The cart as of an instant: folded from the last message that set or emptied it."""
        end = bisect_right(self.times_ms, now_ms)
        traces = self.traces
        start = next((at for at in range(end - 1, -1, -1) if traces[at] >= Trace.CART_SET), 0)
        content: dict[int, tuple[int, int]] = {}
        changed_ms = 0
        for at in range(start, end):
            trace = traces[at]
            if trace < Trace.CART_ADDED:
                continue
            changed_ms = self.times_ms[at]
            for line in self.carts.get(self.messages[at], ()):
                quantity, price = content.get(line.product, (0, 0))
                if trace != Trace.CART_REMOVED:
                    if line.quantity:
                        content[line.product] = (quantity + line.quantity, line.price_minor or price)
                elif quantity > line.quantity:
                    content[line.product] = (quantity - line.quantity, price)
                else:
                    content.pop(line.product, None)
        items = sum(quantity for quantity, _ in content.values())
        value = sum(quantity * price for quantity, price in content.values())
        return Cart(items, min(value, MOST_CART_MINOR), changed_ms)

    # -- inside

    def _place(self, time_ms: int, message: int) -> int:
        """Where a message is, or belongs."""
        times_ms, messages = self.times_ms, self.messages
        at = bisect_left(times_ms, time_ms)
        while at < len(times_ms) and times_ms[at] == time_ms and messages[at] < message:
            at += 1
        return at

    def _span(self, now_ms: int, days: int) -> tuple[int, int]:
        """Positions of the messages with now − days < time ≤ now."""
        return bisect_right(self.times_ms, now_ms - days * DAY_MS), bisect_right(self.times_ms, now_ms)

    def _keep_lines(self, at: int, entry: Entry) -> None:
        """Keeps cart lines only until a later set or purchase makes them meaningless: memory stays bounded."""
        traces = self.traces
        if entry.trace >= Trace.CART_SET and self.carts:
            for earlier in range(at - 1, -1, -1):
                self.carts.pop(self.messages[earlier], None)
                if traces[earlier] >= Trace.CART_SET:
                    break
        if entry.trace == Trace.BOUGHT:
            if entry.lines:
                insort(self.baskets, (entry.time_ms, entry.message, sorted({line.product for line in entry.lines})))
                del self.baskets[:-MOST_BASKETS]
        elif entry.lines and all(trace < Trace.CART_SET for trace in traces[at + 1 :]):
            put(self.carts, entry.message, list(entry.lines))

    def _forget(self, gone: int) -> None:
        self.floor = (self.times_ms[gone - 1], self.messages[gone - 1])
        if self.carts:
            for message in self.messages[:gone]:
                self.carts.pop(message, None)
        while self.baskets and self.baskets[0][:2] <= self.floor:
            del self.baskets[0]
        for column in (self.times_ms, self.messages, self.bodies, self.traces, self.products):
            del column[:gone]


def product_code(product_id: str) -> int:
    """CRC-32 of a product's id. Two of one customer's hundred products meet with a chance of one in a million, and then
    share a count of views.

    >>> product_code("tea-assam-100")
    1980944938
    """
    return crc32(product_id.encode())


def kept_lines(lines: Sequence[Line]) -> list[CartLine]:
    """The lines worth remembering of a message: the `MOST_LINES` of most value, in a stable order."""
    if len(lines) > MOST_LINES:
        lines = sorted(lines, key=lambda line: (-line.quantity * line.price_minor, line.product_id))[:MOST_LINES]
    return [CartLine(product_code(line.product_id), line.quantity, line.price_minor) for line in lines]
