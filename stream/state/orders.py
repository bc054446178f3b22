"""A customer's orders: windows and totals that are exact in any order of arrival, in bounded memory.

Orders are kept one by one for ``memory_days`` (at most ``memory_orders`` of them), because they may still be updated,
cancelled or refunded. What leaves that memory is added to the totals of what has left, and stays in day buckets for as long
as the windows need it. Whether an order leaves depends on event time alone. Source: SEMANTICS of orders, MISSION B1.
"""

from __future__ import annotations

import enum
from bisect import bisect_left

import msgspec

from stream.events.instants import DAY_MS, day_of
from stream.state.ordered import put

PENDING = -1
"""Amount of an order of which only a refund or a cancellation has been seen so far."""
WHOLE = -1
"""Amount of a refund that takes the whole order back."""
MOST_REFUNDS = 16
"""Partial refunds remembered one by one per order. Fewer: a re-sent refund of a long-winded return could count twice;
more: one order could grow a record without bound. Beyond it a refund is refused as beyond memory."""
MOST_SUM_MINOR = 2**62
"""Sums of money stop here. Larger ones don't fit the signed 64-bit numbers that readers of our messages have."""
WINDOWS_DAYS = (7, 30, 90, 365)
"""The rolling windows (MISSION B1)."""


class Mark(msgspec.Struct, array_like=True, gc=False):
    """What happened to an order besides that it was placed. Most orders have none."""

    amount_minor: int
    cancelled: bool = False
    refunds: list[tuple[int, int]] = []
    """(hash of the messageId, minor units), ascending."""

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


class Window(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Orders that count in a window: how many, and how much money."""

    frequency: int
    monetary_minor: int


class OrderBook(msgspec.Struct, array_like=True):
    """All that is remembered of a customer's orders: parallel lists, one position an order, ascending by (time, key).

    Lists of integers are searched and summed at the speed of C, and stored without overhead.
    """

    times_ms: list[int] = []
    keys: list[int] = []
    """64-bit hashes of ``order_id``."""
    nets_minor: list[int] = []
    """What is left of each order; 0: it doesn't count."""
    sends: list[int] = []
    """64-bit hashes of the ``messageId`` whose send of the order counts; 0 while it is pending."""
    marks: dict[int, Mark] = {}
    """Key → what else happened to the order."""
    frozen: dict[int, tuple[int, int]] = {}
    """UTC day → (count, minor units) of orders that left for lack of room and are not old yet."""
    gone_frequency: int = 0
    """Orders that have left, those in ``frozen`` included."""
    gone_monetary_minor: int = 0
    gone_first_ms: int = 0
    gone_last_ms: int = 0
    floor: tuple[int, int] = (0, 0)
    """(time_ms, key) of the newest order that has left: an unknown order up to it can't be told from a repeat."""

    def purchase(
        self, key: int, message: int, time_ms: int, amount_minor: int, *, memory_days: int, memory_orders: int
    ) -> Applied:
        """Takes a send of an order; of several sends the one with the latest (time, message) counts."""
        if key not in self.keys:
            if self._is_beyond(time_ms, key, memory_days):
                return Applied.BEYOND_MEMORY
            self._insert(time_ms, key, amount_minor, message)
            self._evict(memory_days, memory_orders)
            return Applied.CHANGED
        at = self.keys.index(key)
        mark = self.marks.get(key)
        pending = mark is not None and mark.amount_minor == PENDING
        if pending:
            # The order itself may have come and gone before its refund: then this is a repeat.
            if self._is_beyond(time_ms, key, memory_days):
                return Applied.BEYOND_MEMORY
        elif self.sends[at] == message:
            return Applied.DUPLICATE
        elif (time_ms, message) < (self.times_ms[at], self.sends[at]):
            return Applied.SUPERSEDED
        if mark is not None:
            mark.amount_minor = amount_minor
        self._remove(at)
        self._insert(time_ms, key, amount_minor if mark is None else mark.net_minor, message)
        self._evict(memory_days, memory_orders)
        return Applied.CHANGED if pending else Applied.UPDATED

    def refund(
        self,
        key: int,
        message: int,
        time_ms: int,
        amount_minor: int | None,
        *,
        memory_days: int,
        memory_orders: int,
    ) -> Applied:
        """Takes money back from an order, in the order's own day; waits for the order when it isn't known yet."""
        if not self._known_or_pending(key, time_ms, memory_days, memory_orders):
            return Applied.BEYOND_MEMORY
        mark = self._mark(key)
        if any(message == seen for seen, _ in mark.refunds):
            return Applied.DUPLICATE
        if len(mark.refunds) >= MOST_REFUNDS:
            return Applied.BEYOND_MEMORY
        mark.refunds = sorted([*mark.refunds, (message, WHOLE if amount_minor is None else amount_minor)])
        self._settle(key, mark)
        return Applied.CHANGED

    def cancel(self, key: int, time_ms: int, *, memory_days: int, memory_orders: int) -> Applied:
        """Cancels an order for good: later sends of it don't bring it back."""
        if not self._known_or_pending(key, time_ms, memory_days, memory_orders):
            return Applied.BEYOND_MEMORY
        mark = self._mark(key)
        if mark.cancelled:
            return Applied.DUPLICATE
        mark.cancelled = True
        self._settle(key, mark)
        return Applied.CHANGED

    def windows(self, day: int) -> tuple[Window, Window, Window, Window]:
        """Frequency and monetary value of `WINDOWS_DAYS` as of a UTC day: days d with day − W < d ≤ day."""
        end = bisect_left(self.times_ms, (day + 1) * DAY_MS)
        d7, d30, d90, d365 = WINDOWS_DAYS
        return (
            self._window(day, d7, end),
            self._window(day, d30, end),
            self._window(day, d90, end),
            self._window(day, d365, end),
        )

    def lifetime(self) -> Window:
        """All orders that count, ever."""
        nets = self.nets_minor
        return Window(
            self.gone_frequency + len(nets) - nets.count(0), min(MOST_SUM_MINOR, self.gone_monetary_minor + sum(nets))
        )

    def last_ms(self) -> int | None:
        """Instant of the last order that counts."""
        at = self._last()
        return self.gone_last_ms or None if at is None else self.times_ms[at]

    def last_key(self) -> int | None:
        """Key of the last order that counts, among those remembered one by one."""
        at = self._last()
        return None if at is None else self.keys[at]

    def first_ms(self) -> int | None:
        """Instant of the first order that counts."""
        if self.gone_first_ms:
            return self.gone_first_ms
        return next((time_ms for time_ms, net in zip(self.times_ms, self.nets_minor, strict=True) if net), None)

    def purchase_days(self, day: int) -> dict[int, tuple[int, int]]:
        """UTC day → (orders, minor units) of remembered orders that count, ascending, up to and with ``day``."""
        days = {at: pair for at, pair in self.frozen.items() if at <= day}
        for time_ms, net in zip(self.times_ms, self.nets_minor, strict=True):
            at = time_ms // DAY_MS
            if at > day:
                break
            if net:
                known = days.get(at)
                days[at] = (1, net) if known is None else (known[0] + 1, known[1] + net)
        return days

    def refunds_since(self, day: int) -> int:
        """Remembered orders since a UTC day that were cancelled or got money back."""
        since_ms = day * DAY_MS
        return sum(1 for key in self.marks if self.times_ms[self.keys.index(key)] >= since_ms)

    def clamped(self) -> int:
        """Remembered orders from which more was refunded than they were worth."""
        return sum(1 for mark in self.marks.values() if mark.clamped)

    # -- inside

    def _last(self) -> int | None:
        nets = self.nets_minor
        return next((at for at in range(len(nets) - 1, -1, -1) if nets[at]), None)

    def _window(self, day: int, days: int, end: int) -> Window:
        first = day - days + 1
        start = bisect_left(self.times_ms, first * DAY_MS, 0, end)
        nets = self.nets_minor[start:end]
        count, amount = len(nets) - nets.count(0), sum(nets)
        for at in reversed(self.frozen):
            if at < first:
                break
            if at <= day:
                count += self.frozen[at][0]
                amount += self.frozen[at][1]
        return Window(count, min(MOST_SUM_MINOR, amount))

    def _is_beyond(self, time_ms: int, key: int, memory_days: int) -> bool:
        if (time_ms, key) <= self.floor:
            return True
        return bool(self.times_ms) and time_ms < self.times_ms[-1] - memory_days * DAY_MS

    def _known_or_pending(self, key: int, time_ms: int, memory_days: int, memory_orders: int) -> bool:
        """Is the order known, or has it now a place to wait for? A place is at the earliest thing heard of the order."""
        if key not in self.keys:
            if self._is_beyond(time_ms, key, memory_days):
                return False
            if len(self.keys) >= memory_orders and (time_ms, key) < (self.times_ms[0], self.keys[0]):
                return False
            put(self.marks, key, Mark(PENDING))
            self._insert(time_ms, key, 0, 0)
            self._evict(memory_days, memory_orders)
            return True
        at = self.keys.index(key)
        if self.sends[at] == 0 and time_ms < self.times_ms[at] and not self._is_beyond(time_ms, key, memory_days):
            self._remove(at)
            self._insert(time_ms, key, 0, 0)
        return True

    def _mark(self, key: int) -> Mark:
        mark = self.marks.get(key)
        if mark is None:
            mark = Mark(self.nets_minor[self.keys.index(key)])
            put(self.marks, key, mark)
        return mark

    def _settle(self, key: int, mark: Mark) -> None:
        self.nets_minor[self.keys.index(key)] = mark.net_minor

    def _insert(self, time_ms: int, key: int, net_minor: int, message: int) -> None:
        times_ms, keys = self.times_ms, self.keys
        at = bisect_left(times_ms, time_ms)
        while at < len(times_ms) and times_ms[at] == time_ms and keys[at] < key:
            at += 1
        times_ms.insert(at, time_ms)
        keys.insert(at, key)
        self.nets_minor.insert(at, net_minor)
        self.sends.insert(at, message)

    def _remove(self, at: int) -> None:
        for column in (self.times_ms, self.keys, self.nets_minor, self.sends):
            del column[at]

    def _evict(self, memory_days: int, memory_orders: int) -> None:
        """Lets go of what is too old, or too much, by event time only."""
        times_ms = self.times_ms
        oldest_ms = times_ms[-1] - memory_days * DAY_MS
        leaving = max(len(times_ms) - memory_orders, bisect_left(times_ms, oldest_ms))
        for at in range(max(0, leaving)):
            time_ms, net = times_ms[at], self.nets_minor[at]
            self.marks.pop(self.keys[at], None)
            if not net:
                continue
            self.gone_frequency += 1
            self.gone_monetary_minor = min(MOST_SUM_MINOR, self.gone_monetary_minor + net)
            self.gone_first_ms = self.gone_first_ms or time_ms
            self.gone_last_ms = time_ms
            day = time_ms // DAY_MS
            count, amount = self.frozen.get(day, (0, 0))
            self.frozen[day] = (count + 1, min(MOST_SUM_MINOR, amount + net))
        if leaving > 0:
            self.floor = (times_ms[leaving - 1], self.keys[leaving - 1])
            for column in (times_ms, self.keys, self.nets_minor, self.sends):
                del column[:leaving]
        oldest_day = day_of(oldest_ms)
        while self.frozen and (day := next(iter(self.frozen))) < oldest_day:
            del self.frozen[day]
