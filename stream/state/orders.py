"""A customer's orders: windows and totals that are exact in any order of arrival, in bounded memory.

Orders are kept one by one for ``memory_days`` (at most ``memory_orders`` of them), because they may still be updated,
cancelled or refunded. What leaves that memory is added to the totals of what has left, and stays in day buckets for as long
as the windows need it. Whether an order leaves depends on event time alone. Source: SEMANTICS of orders, MISSION B1.
"""

from __future__ import annotations

import enum
import sys
from functools import lru_cache
from itertools import compress
from struct import Struct, unpack
from typing import cast

import msgspec

from stream.events.instants import DAY_MS, day_of
from stream.state.figures import MOST_SUM_MINOR, Figures, figures_of
from stream.state.notes import NO_NOTE, NOTE, Note, notes_in
from stream.state.ordered import put
from stream.state.packed import ID, below, find, insert, place, without

PENDING = -1
"""Amount of an order of which only a refund or a cancellation has been seen so far."""
WHOLE = -1
"""Amount of a refund that takes the whole order back."""
MOST_REFUNDS = 16
"""Partial refunds remembered one by one per order. Fewer: a re-sent refund of a long-winded return could count twice;
more: one order could grow a record without bound. Beyond it a refund is refused as beyond memory."""
WINDOWS_DAYS = (7, 30, 90, 365)
"""The rolling windows (MISSION B1)."""
YEAR_DAYS = 365
_FEW_DAYS = 4
"""Days that may leave the memory with one purchase before the figures are counted anew. More: a customer who comes back after
long takes dozens of steps; fewer: one who buys in bursts is counted anew again and again."""


class Mark(msgspec.Struct, array_like=True, gc=False):
    """What happened to an order besides that it was placed. Most orders have none."""

    amount_minor: int
    cancelled: bool = False
    refunds: list[tuple[bytes, int]] = []
    """(digest of the messageId, minor units), ascending."""

    @property
    def back_minor(self) -> int:
        """What the partial refunds sum up to."""
        return sum(amount for _, amount in self.refunds if amount != WHOLE)

    @property
    def net_minor(self) -> int:
        """What is left of the order: 0 when it is pending, cancelled or fully refunded. Never negative: refunds of more
        than the order are clamped."""
        if self.cancelled or any(amount == WHOLE for _, amount in self.refunds):
            return 0
        return max(0, self.amount_minor - self.back_minor)

    @property
    def clamped(self) -> bool:
        """More was refunded than the order was worth. Computed when read: the order, or its update, may come later."""
        return self.amount_minor != PENDING and self.back_minor > self.amount_minor


class Applied(enum.Enum):
    """What an event did to the order book."""

    CHANGED = "changed"
    UPDATED = "updated"
    """A later send of a known order took its place."""
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    """A send of a known order that is older than the one that counts."""
    BEYOND_MEMORY = "beyond_memory"


_CHANGED, _BEYOND_MEMORY = Applied.CHANGED, Applied.BEYOND_MEMORY
"""Names of this module are found three times as fast as members of an `enum.Enum`."""


class Window(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Orders that count in a window: how many, and how much money."""

    frequency: int
    monetary_minor: int


_ORDER = "@" if sys.byteorder == "little" else "<"
"""Rows are little-endian; where the machine is as well, its own order is read in two thirds of the time."""


@lru_cache(maxsize=64)
def _columns(rows: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Instants and net amounts of packed rows. One event asks for those of one customer several times, so they are kept for a
    moment: equal rows have equal columns. More: memory; fewer than the customers that are looked at in turn: done again."""
    numbers = unpack(f"{_ORDER}{len(rows) // 8}q", rows)
    return numbers[::2], numbers[1::2]


class Gone(msgspec.Struct, array_like=True, gc=False):
    """What is left of the orders that have left the book. Young customers have none."""

    floor_ms: int
    """Time and key of the newest order that has left: an unknown order up to it can't be told from a repeat."""
    floor_key: bytes
    frequency: int = 0
    """Orders that counted, those in ``frozen`` included."""
    monetary_minor: int = 0
    first_ms: int = 0
    """Instants of the first and the last order that counted, 0 when none did."""
    last_ms: int = 0
    frozen: dict[int, tuple[int, int]] = {}
    """UTC day → (count, minor units) of orders that left for lack of room and are not old yet, ascending."""


UNSENT = bytes(ID)
"""Stands for the send of an order that is pending."""
ROW = 16
"""Bytes of a row: time_ms (i64), what is left of the order in minor units (i64; 0: it doesn't count)."""
_pack_row = Struct("<qq").pack
_row = Struct("<qq").unpack_from
_unpacked = Struct("<qq").iter_unpack
_time = Struct("<q").unpack_from
_net = Struct("<q").pack


class OrderBook(msgspec.Struct, array_like=True, gc=False):
    """All that is remembered of a customer's orders: packed columns, one position an order, ascending by (time, key)."""

    keys: bytes = b""
    """8 bytes an order: `digest64` of ``order_id``."""
    sends: bytes = b""
    """8 bytes an order: `digest64` of the ``messageId`` whose send of the order counts; `UNSENT` while it is pending."""
    rows: bytes = b""
    """`ROW` bytes an order."""
    marks: dict[bytes, Mark] | None = None
    """Key → what else happened to the order; ``None`` when nothing happened to any."""
    gone: Gone | None = None
    figures: Figures = msgspec.field(default_factory=Figures)
    """What the rest says of the orders that count, kept so that an ordinary purchase need not look at the rest."""
    notes: bytes = b""
    """`stream.state.notes.NOTE` bytes an order, of the send that counts."""

    def purchase(
        self,
        key: bytes,
        message: bytes,
        time_ms: int,
        amount_minor: int,
        memory_days: int,
        memory_orders: int,
        note: bytes = NO_NOTE,
    ) -> Applied:
        """Takes a send of an order; of several sends the one with the latest (time, message) counts."""
        rows = self.rows
        if self.keys.find(key) < 0 and (not rows or time_ms > _time(rows, -ROW)[0]):
            # Mostly an order is the newest and nothing leaves for it; the newest can't be beyond memory.
            self.keys += key
            self.sends += message
            self.notes += note
            rows = self.rows = rows + _pack_row(time_ms, amount_minor)
            figures, gone = self.figures, self.gone
            if amount_minor and figures.take(time_ms, amount_minor):
                figures.shorten(self._next_day(figures.momentum_from))
            if (
                (gone is not None and gone.frozen)
                or len(rows) > memory_orders * ROW
                or _time(rows)[0] < time_ms - memory_days * DAY_MS
            ):
                counted = self._forget(day_of(time_ms) - memory_days)
                self._evict(memory_days, memory_orders)
                if not counted:
                    self._count()
            return _CHANGED
        at = find(self.keys, key)
        if at < 0:
            if self._is_beyond(time_ms, key, memory_days):
                return _BEYOND_MEMORY
            self._insert(time_ms, key, amount_minor, message, note)
            self._evict(memory_days, memory_orders)
            self._count()
            return _CHANGED
        mark = self.marks.get(key) if self.marks else None
        pending = mark is not None and mark.amount_minor == PENDING
        send = self.sends[at * ID : at * ID + ID]
        if pending:
            # The order itself may have come and gone before its refund: then this is a repeat.
            if self._is_beyond(time_ms, key, memory_days):
                return _BEYOND_MEMORY
        elif send == message:
            return Applied.DUPLICATE
        elif (time_ms, message) < (self._time_ms(at), send):
            return Applied.SUPERSEDED
        if mark is not None:
            mark.amount_minor = amount_minor
        self._remove(at)
        self._insert(time_ms, key, amount_minor if mark is None else mark.net_minor, message, note)
        self._evict(memory_days, memory_orders)
        self._count()
        return _CHANGED if pending else Applied.UPDATED

    def refund(
        self,
        key: bytes,
        message: bytes,
        time_ms: int,
        amount_minor: int | None,
        *,
        memory_days: int,
        memory_orders: int,
    ) -> Applied:
        """Takes money back from an order, in the order's own day; waits for the order when it isn't known yet."""
        if not self._known_or_pending(key, time_ms, memory_days, memory_orders):
            return _BEYOND_MEMORY
        mark = self._mark(key)
        if any(message == seen for seen, _ in mark.refunds):
            return Applied.DUPLICATE
        if len(mark.refunds) >= MOST_REFUNDS:
            return _BEYOND_MEMORY
        mark.refunds = sorted([*mark.refunds, (message, WHOLE if amount_minor is None else amount_minor)])
        self._settle(key, mark)
        return _CHANGED

    def cancel(self, key: bytes, time_ms: int, *, memory_days: int, memory_orders: int) -> Applied:
        """Cancels an order for good: later sends of it don't bring it back."""
        if not self._known_or_pending(key, time_ms, memory_days, memory_orders):
            return _BEYOND_MEMORY
        mark = self._mark(key)
        if mark.cancelled:
            return Applied.DUPLICATE
        mark.cancelled = True
        self._settle(key, mark)
        return _CHANGED

    def columns(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Instants, and what is left in minor units, of the orders remembered one by one, ascending by time."""
        return _columns(self.rows)

    def windows(self, day: int) -> tuple[Window, Window, Window, Window]:
        """Frequency and monetary value of `WINDOWS_DAYS` as of a UTC day: days d with day − W < d ≤ day."""
        d7, d30, d90, d365 = WINDOWS_DAYS
        return self.window(day, d7), self.window(day, d30), self.window(day, d90), self.window(day, d365)

    def window(self, day: int, days: int) -> Window:
        """Frequency and monetary value of the ``days`` up to and with a UTC day; looks at the orders of these days only."""
        first = day - days + 1
        nets = _columns(self._rows_of(first, day + 1))[1]
        count, amount = len(nets) - nets.count(0), sum(nets)
        if self.gone is not None:
            for at in reversed(self.gone.frozen):
                if at < first:
                    break
                if at <= day:
                    count += self.gone.frozen[at][0]
                    amount += self.gone.frozen[at][1]
        return Window(count, min(MOST_SUM_MINOR, amount))

    def after(self, at_ms: int, until_ms: int) -> Window:
        """Frequency and monetary value of the orders with ``at_ms`` < instant <= ``until_ms``, as far as they are remembered one
        by one."""
        first, end = below(self.rows, ROW, at_ms + 1), below(self.rows, ROW, until_ms + 1)
        nets = _columns(self.rows[first * ROW : end * ROW])[1]
        return Window(len(nets) - nets.count(0), min(MOST_SUM_MINOR, sum(nets)))

    def knows(self, key: bytes) -> bool:
        """Whether an order is remembered, whatever became of it; ``key``: `digest64` of its id."""
        return find(self.keys, key) >= 0

    def newest(self) -> tuple[int, int]:
        """Instant of the newest order, whether it counts or not, and what is left of it in minor units; 0 of nothing."""
        newest: tuple[int, int] = _row(self.rows, len(self.rows) - ROW) if self.rows else (0, 0)
        return newest

    def as_placed(self) -> OrderBook:
        """The book with every order that was placed, whatever became of it: given back, cancelled or worth nothing. Itself where nothing
        of that kind is remembered."""
        counted = self.figures.frequency - (0 if self.gone is None else self.gone.frequency)
        if counted == len(self.rows) // ROW:
            return self
        marks, rows = self.marks or {}, bytearray(self.rows)
        for at in [at for at, net_minor in enumerate(self.columns()[1]) if not net_minor]:
            if self.sends[at * ID : at * ID + ID] != UNSENT:
                mark = marks.get(self.keys[at * ID : at * ID + ID])
                rows[at * ROW + 8 : at * ROW + ROW] = _net(max(1, 0 if mark is None else mark.amount_minor))
        book = OrderBook(self.keys, self.sends, bytes(rows), None, self.gone, notes=self.notes)
        book._count()
        return book

    def lifetime(self) -> Window:
        """All orders that count, ever."""
        return Window(self.figures.frequency, self.figures.monetary_minor)

    def last_ms(self) -> int | None:
        """Instant of the last order that counts."""
        return self.figures.last_ms if self.figures.frequency else None

    def last_key(self) -> int | None:
        """Key of the last order that counts, among those remembered one by one, as `hash64` gives it."""
        at = self._last()
        return None if at is None else int.from_bytes(self.keys[at * ID : at * ID + ID], "big")

    def first_ms(self) -> int | None:
        """Instant of the first order that counts."""
        return self.figures.first_ms if self.figures.frequency else None

    def year(self, day: int) -> Window:
        """As `window` of 365 days. Mostly all orders are in it, or few are too old: those are looked at, not the others."""
        figures, gone = self.figures, self.gone
        frequency, minor = figures.frequency, figures.monetary_minor
        if figures.last_ms >= (day + 1) * DAY_MS or minor >= MOST_SUM_MINOR:
            return self.window(day, YEAR_DAYS)
        first_day = day - YEAR_DAYS + 1
        if figures.first_ms >= first_day * DAY_MS:
            return Window(frequency, minor)
        if gone is not None:
            frequency, minor = frequency - gone.frequency, minor - gone.monetary_minor
            for at in reversed(gone.frozen):
                if at < first_day:
                    break
                frequency, minor = frequency + gone.frozen[at][0], minor + gone.frozen[at][1]
        older = self.rows[: below(self.rows, ROW, first_day * DAY_MS) * ROW]
        if older:
            nets = _columns(older)[1]
            frequency, minor = frequency - len(nets) + nets.count(0), minor - sum(nets)
        return Window(frequency, minor)

    def days(self) -> tuple[int, ...]:
        """Distinct UTC days of remembered orders that count, ascending."""
        times_ms, nets = self.columns()
        if 0 in nets:
            times_ms = tuple([time_ms for time_ms, net in zip(times_ms, nets, strict=True) if net])
        days = sorted({time_ms // DAY_MS for time_ms in times_ms})
        return tuple(dict.fromkeys([*self.gone.frozen, *days]) if self.gone is not None else days)

    def days_in(self, first: int, end: int) -> int:
        """How many of `days` are in ``first … end − 1``."""
        days = {time_ms // DAY_MS for time_ms, net in _unpacked(self._rows_of(first, end)) if net}
        if self.gone is not None:
            days.update([day for day in self.gone.frozen if first <= day < end])
        return len(days)

    def purchase_days(self, day: int) -> dict[int, tuple[int, int]]:
        """UTC day → (orders, minor units) of remembered orders that count, ascending, up to and with ``day``."""
        days = {} if self.gone is None else {at: pair for at, pair in self.gone.frozen.items() if at <= day}
        for time_ms, net in zip(*self.columns(), strict=True):
            at = time_ms // DAY_MS
            if at > day:
                break
            if net:
                known = days.get(at)
                days[at] = (1, net) if known is None else (known[0] + 1, known[1] + net)
        return days

    def noted(self, since_day: int, until_day: int) -> list[Note]:
        """Notes of the remembered orders of the UTC days ``since_day … until_day`` that count, ascending by time."""
        first, end = below(self.rows, ROW, since_day * DAY_MS), below(self.rows, ROW, (until_day + 1) * DAY_MS)
        nets = _columns(self.rows[first * ROW : end * ROW])[1]
        return list(compress(notes_in(self.notes[first * NOTE : end * NOTE]), nets))

    def refunds_since(self, day: int) -> int:
        """Remembered orders since a UTC day that were cancelled or got money back."""
        marks, since_ms = self.marks, day * DAY_MS
        if not marks:
            return 0
        if _time(self.rows)[0] >= since_ms:
            return len(marks)
        return sum([self._time_ms(find(self.keys, key)) >= since_ms for key in marks])

    def clamped(self) -> int:
        """Remembered orders from which more was refunded than they were worth."""
        return sum(1 for mark in self.marks.values() if mark.clamped) if self.marks else 0

    # -- inside

    def _time_ms(self, at: int) -> int:
        time_ms: int = _time(self.rows, at * ROW)[0]
        return time_ms

    def _last(self) -> int | None:
        rows = self.rows
        if rows and _row(rows, len(rows) - ROW)[1]:
            return len(rows) // ROW - 1
        nets = self.columns()[1]
        return next((at for at in range(len(nets) - 1, -1, -1) if nets[at]), None)

    def _rows_of(self, first: int, end: int) -> bytes:
        """Rows of the UTC days ``first … end − 1``."""
        rows, first_ms, end_ms = self.rows, first * DAY_MS, end * DAY_MS
        if rows and _time(rows, -ROW)[0] >= end_ms:
            rows = rows[: below(rows, ROW, end_ms) * ROW]
        return rows[below(rows, ROW, first_ms) * ROW :] if rows and _time(rows)[0] < first_ms else rows

    def _next_day(self, day: int) -> int:
        """The first of `days` after one that isn't the last."""
        if self.gone is not None:
            for later in self.gone.frozen:
                if later > day:
                    return later
        rows = self.rows
        at = below(rows, ROW, (day + 1) * DAY_MS) * ROW
        while not _row(rows, at)[1]:
            at += ROW
        return day_of(_time(rows, at)[0])

    def _forget(self, oldest_day: int) -> bool:
        """Takes days before ``oldest_day`` out of the figures, before their orders leave; False when there are so many of
        them that the figures have to be counted anew."""
        figures = self.figures
        for _ in range(_FEW_DAYS):
            if not figures.days or figures.first_day >= oldest_day:
                return True
            if figures.days == 1:
                break
            figures.forget(self._next_day(figures.first_day))
        return False

    def _count(self) -> None:
        """Counts the figures anew."""
        times_ms, nets = self.columns()
        count, minor = len(nets) - nets.count(0), sum(nets)
        first_ms = last_ms = 0
        if count:
            first_ms = times_ms[0] if nets[0] else next(compress(times_ms, nets))
            last_ms = times_ms[-1] if nets[-1] else self._time_ms(cast(int, self._last()))
        gone = self.gone
        if gone is not None and gone.frequency:
            first_ms, last_ms = gone.first_ms, last_ms if count else gone.last_ms
            count, minor = count + gone.frequency, minor + gone.monetary_minor
        self.figures = figures_of(count, min(MOST_SUM_MINOR, minor), first_ms, last_ms, self.days())

    def _is_beyond(self, time_ms: int, key: bytes, memory_days: int) -> bool:
        gone = self.gone
        if gone is not None and (time_ms, key) <= (gone.floor_ms, gone.floor_key):
            return True
        return bool(self.rows) and time_ms < self._time_ms(-1) - memory_days * DAY_MS

    def _known_or_pending(self, key: bytes, time_ms: int, memory_days: int, memory_orders: int) -> bool:
        """Is the order known, or has it now a place to wait for? A place is at the earliest thing heard of the order."""
        at = find(self.keys, key)
        if at < 0:
            if self._is_beyond(time_ms, key, memory_days):
                return False
            full = len(self.keys) >= memory_orders * ID
            if full and (time_ms, key) < (self._time_ms(0), self.keys[:ID]):
                return False
            self._put_mark(key, Mark(PENDING))
            self._insert(time_ms, key, 0, UNSENT, NO_NOTE)
            self._evict(memory_days, memory_orders)
            self._count()
            return True
        waits = self.sends[at * ID : at * ID + ID] == UNSENT
        if waits and time_ms < self._time_ms(at) and not self._is_beyond(time_ms, key, memory_days):
            self._remove(at)
            self._insert(time_ms, key, 0, UNSENT, NO_NOTE)
        return True

    def _put_mark(self, key: bytes, mark: Mark) -> None:
        if self.marks is None:
            self.marks = {}
        put(self.marks, key, mark)

    def _mark(self, key: bytes) -> Mark:
        mark = self.marks.get(key) if self.marks else None
        if mark is None:
            mark = Mark(self.columns()[1][find(self.keys, key)])
            self._put_mark(key, mark)
        return mark

    def _settle(self, key: bytes, mark: Mark) -> None:
        at = find(self.keys, key) * ROW
        self.rows = self.rows[: at + 8] + _net(mark.net_minor) + self.rows[at + ROW :]
        self._count()

    def _insert(self, time_ms: int, key: bytes, net_minor: int, message: bytes, note: bytes) -> None:
        at = place(self.rows, ROW, self.keys, time_ms, time_ms + 1, key)
        self.keys = insert(self.keys, at, key)
        self.sends = insert(self.sends, at, message)
        self.rows = insert(self.rows, at, _pack_row(time_ms, net_minor))
        self.notes = insert(self.notes, at, note)

    def _remove(self, at: int) -> None:
        self.keys = without(self.keys, ID, at)
        self.sends = without(self.sends, ID, at)
        self.rows = without(self.rows, ROW, at)
        self.notes = without(self.notes, NOTE, at)

    def _evict(self, memory_days: int, memory_orders: int) -> None:
        """Lets go of what is too old, or too much, by event time only."""
        rows = self.rows
        oldest_ms = _time(rows, -ROW)[0] - memory_days * DAY_MS
        if len(rows) > memory_orders * ROW or _time(rows)[0] < oldest_ms:
            self._let_go(max(len(rows) // ROW - memory_orders, below(rows, ROW, oldest_ms)))
        if self.gone is not None:
            frozen, oldest_day = self.gone.frozen, day_of(oldest_ms)
            while frozen and (day := next(iter(frozen))) < oldest_day:
                del frozen[day]

    def _let_go(self, leaving: int) -> None:
        """The oldest orders leave: into the totals, and into day buckets."""
        floor_ms, floor_key = self._time_ms(leaving - 1), self.keys[(leaving - 1) * ID : leaving * ID]
        gone = self.gone
        if gone is None:
            gone = self.gone = Gone(floor_ms, floor_key)
        else:
            gone.floor_ms, gone.floor_key = floor_ms, floor_key
        for time_ms, net in _unpacked(self.rows[: leaving * ROW]):
            if not net:
                continue
            gone.frequency += 1
            gone.monetary_minor = min(MOST_SUM_MINOR, gone.monetary_minor + net)
            gone.first_ms = gone.first_ms or time_ms
            gone.last_ms = time_ms
            day = time_ms // DAY_MS
            count, amount = gone.frozen.get(day, (0, 0))
            gone.frozen[day] = (count + 1, min(MOST_SUM_MINOR, amount + net))
        if self.marks:
            for at in range(leaving):
                self.marks.pop(self.keys[at * ID : at * ID + ID], None)
            self.marks = self.marks or None
        self.keys = self.keys[leaving * ID :]
        self.sends = self.sends[leaving * ID :]
        self.rows = self.rows[leaving * ROW :]
        self.notes = self.notes[leaving * NOTE :]
