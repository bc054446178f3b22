"""The newest messages of a customer: duplicates are known by them, and views and carts are read off them.

One bounded log sorted by event time serves three needs: the ids already seen, the products viewed, the open cart. What is
read off it is the same for every order of arrival because a sorted set has no order of arrival. Source: MISSION A5, B3.
"""

from __future__ import annotations

import enum
from bisect import insort

import msgspec

from stream.events.instants import DAY_MS
from stream.events.kinds import Line

MOST_LINES = 64
"""Cart lines kept of one message. Fewer: big baskets lose value in reminders; more: a bot's carts fill the memory."""


class Trace(enum.IntEnum):
    """What a message leaves behind besides its id. Stored: never renumber."""

    NONE = 0
    VIEWED = 1
    CART_ADDED = 2
    CART_REMOVED = 3
    CART_SET = 4
    BOUGHT = 5


class Entry(msgspec.Struct, array_like=True, gc=False):
    """One message: when, the 64-bit hash of its id, a checksum of its body, and what it left behind."""

    time_ms: int
    message: int
    body: int
    trace: int = Trace.NONE
    product_id: str = ""
    lines: list[Line] | None = None


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


class MessageLog(msgspec.Struct, array_like=True):
    """The newest messages, at most ``memory_messages`` within ``memory_message_days`` of the newest one."""

    entries: list[Entry] = []
    """Ascending by (time_ms, message)."""
    floor: tuple[int, int] = (0, 0)
    """(time_ms, message) of the newest entry that has left."""

    def look_up(self, message: int, body: int, time_ms: int, memory_days: int) -> Seen:
        """Has this message been seen? Ids that may have been forgotten are beyond memory."""
        entries = self.entries
        for entry in reversed(entries):
            if entry.message == message:
                return Seen.DUPLICATE if entry.body == body else Seen.OTHER_BODY
        if (time_ms, message) < self.floor:
            return Seen.BEYOND_MEMORY
        if entries and time_ms < entries[-1].time_ms - memory_days * DAY_MS:
            return Seen.BEYOND_MEMORY
        return Seen.NEW

    def add(self, entry: Entry, *, memory_days: int, memory_messages: int) -> None:
        """Remembers a new message and lets go of what is too old or too much."""
        entries = self.entries
        if not entries or (entry.time_ms, entry.message) > (entries[-1].time_ms, entries[-1].message):
            entries.append(entry)
        else:
            insort(entries, entry, key=_by_time)
        oldest_ms = entries[-1].time_ms - memory_days * DAY_MS
        gone = max(0, len(entries) - memory_messages)
        while entries[gone].time_ms < oldest_ms:
            gone += 1
        if gone:
            last = entries[gone - 1]
            self.floor = max(self.floor, (last.time_ms, last.message))
            del entries[:gone]
        if entry.trace >= Trace.CART_ADDED:
            self._strip()

    def views_of(self, product_id: str, now_ms: int, days: int = 30) -> int:
        """Views of a product in the last ``days`` and since it was last bought."""
        count = 0
        since = now_ms - days * DAY_MS
        for entry in reversed(self.entries):
            if entry.time_ms > now_ms:
                continue
            if entry.time_ms <= since:
                break
            if entry.trace == Trace.VIEWED:
                count += entry.product_id == product_id
            elif entry.trace == Trace.BOUGHT and any(line.product_id == product_id for line in entry.lines or ()):
                break
        return count

    def views(self, now_ms: int, days: int = 30) -> int:
        """Product views of the last ``days``."""
        since = now_ms - days * DAY_MS
        return sum(1 for e in self.entries if e.trace == Trace.VIEWED and since < e.time_ms <= now_ms)

    def cart(self, now_ms: int) -> Cart:
        """The cart as of an instant: folded from the last message that set or emptied it."""
        entries = self.entries
        start = len(entries)
        for at in range(len(entries) - 1, -1, -1):
            if entries[at].trace >= Trace.CART_SET and entries[at].time_ms <= now_ms:
                start = at
                break
            if entries[at].trace >= Trace.CART_ADDED:
                start = at
        content: dict[str, tuple[int, int]] = {}
        changed_ms = 0
        for entry in entries[start:]:
            if entry.time_ms > now_ms or entry.trace < Trace.CART_ADDED:
                continue
            changed_ms = entry.time_ms
            if entry.trace == Trace.BOUGHT:
                content.clear()
                continue
            if entry.trace == Trace.CART_SET:
                content = {x.product_id: (x.quantity, x.price_minor) for x in entry.lines or () if x.quantity > 0}
                continue
            for line in entry.lines or ():
                quantity, price = content.get(line.product_id, (0, 0))
                if entry.trace == Trace.CART_ADDED:
                    content[line.product_id] = (quantity + line.quantity, line.price_minor or price)
                elif quantity > line.quantity:
                    content[line.product_id] = (quantity - line.quantity, price)
                else:
                    content.pop(line.product_id, None)
        items = sum(quantity for quantity, _ in content.values())
        value = sum(quantity * price for quantity, price in content.values())
        return Cart(items, value, changed_ms)

    def _strip(self) -> None:
        """Drops cart lines that a later set or purchase has made meaningless: memory stays bounded."""
        reset = False
        for entry in reversed(self.entries):
            if reset and entry.lines is not None and entry.trace != Trace.BOUGHT:
                entry.lines = None
            reset = reset or entry.trace >= Trace.CART_SET


def kept_lines(lines: tuple[Line, ...]) -> list[Line] | None:
    """The lines worth remembering of a message: the `MOST_LINES` of most value, in a stable order."""
    if not lines:
        return None
    if len(lines) <= MOST_LINES:
        return list(lines)
    return sorted(lines, key=lambda line: (-line.quantity * line.price_minor, line.product_id))[:MOST_LINES]


def _by_time(entry: Entry) -> tuple[int, int]:
    return entry.time_ms, entry.message
