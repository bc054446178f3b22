"""A customer's orders: windows and totals that are exact in any order of arrival, in bounded memory.

Orders are kept one by one for ``memory_days`` (at most ``memory_orders`` of them), because they may still be updated,
cancelled or refunded. What leaves that memory is added to day buckets (``frozen``) and, older still, to totals (``base``).
Whether an order leaves depends on event time alone. Source: SEMANTICS of orders, MISSION B1.
"""

from __future__ import annotations

import enum
from bisect import insort
from collections.abc import Iterator

import msgspec

from stream.events.instants import DAY_MS, day_of

PENDING = -1
"""Amount of an order of which only a refund or a cancellation has been seen so far."""
WHOLE = -1
"""Amount of a refund that takes the whole order back."""
MOST_REFUNDS = 16
"""Partial refunds remembered one by one per order. Fewer: a re-sent refund of a long-winded return could count twice;
more: one order could grow a record without bound. Beyond it a refund is refused as beyond memory."""
WINDOWS_DAYS = (7, 30, 90, 365)
"""The rolling windows (MISSION B1)."""


class Order(msgspec.Struct, array_like=True, gc=False):
    """One order. ``key`` and ``message`` are 64-bit hashes of ``order_id`` and of the ``messageId`` whose send counts."""

    key: int
    time_ms: int
    amount_minor: int
    message: int
    refunds: list[tuple[int, int]] | None = None
    cancelled: bool = False

    @property
    def net_minor(self) -> int:
        """What is left of the order: 0 when it is pending, cancelled or fully refunded."""
        if self.cancelled or self.amount_minor <= 0:
            return 0
        if not self.refunds:
            return self.amount_minor
        back = 0
        for _, amount in self.refunds:
            if amount == WHOLE:
                return 0
            back += amount
        return max(0, self.amount_minor - back)


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
    """All that is remembered of a customer's orders."""

    orders: list[Order] = []
    """Ascending by (time_ms, key)."""
    frozen: dict[int, tuple[int, int]] = {}
    """UTC day → (count, minor units) of orders that left for lack of room, not of age."""
    base_frequency: int = 0
    base_monetary_minor: int = 0
    base_first_ms: int = 0
    base_last_ms: int = 0
    floor: tuple[int, int] = (0, 0)
    """(time_ms, key) of the newest order that has left: an unknown order before it can't be told from a repeat."""

    def purchase(
        self, key: int, message: int, time_ms: int, amount_minor: int, *, memory_days: int, memory_orders: int
    ) -> Applied:
        """Takes a send of an order; of several sends the one with the latest (time, message) counts."""
        known = self._find(key)
        if known is None:
            if self._is_beyond(time_ms, key, memory_days):
                return Applied.BEYOND_MEMORY
            insort(self.orders, Order(key, time_ms, amount_minor, message), key=_by_time)
        elif known.message == message and known.amount_minor != PENDING:
            return Applied.DUPLICATE
        elif known.amount_minor == PENDING or (time_ms, message) > (known.time_ms, known.message):
            applied = Applied.CHANGED if known.amount_minor == PENDING else Applied.UPDATED
            known.amount_minor, known.time_ms, known.message = amount_minor, time_ms, message
            self.orders.sort(key=_by_time)
            self._evict(memory_days, memory_orders)
            return applied
        else:
            return Applied.SUPERSEDED
        self._evict(memory_days, memory_orders)
        return Applied.CHANGED

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
        order = self._known_or_pending(key, time_ms, memory_days, memory_orders)
        if order is None:
            return Applied.BEYOND_MEMORY
        taken = order.refunds or []
        if any(message == seen for seen, _ in taken):
            return Applied.DUPLICATE
        if len(taken) >= MOST_REFUNDS:
            return Applied.BEYOND_MEMORY
        order.refunds = sorted([*taken, (message, WHOLE if amount_minor is None else amount_minor)])
        return Applied.CHANGED

    def cancel(self, key: int, time_ms: int, *, memory_days: int, memory_orders: int) -> Applied:
        """Cancels an order for good: later sends of it don't bring it back."""
        order = self._known_or_pending(key, time_ms, memory_days, memory_orders)
        if order is None:
            return Applied.BEYOND_MEMORY
        if order.cancelled:
            return Applied.DUPLICATE
        order.cancelled = True
        return Applied.CHANGED

    def windows(self, day: int) -> tuple[Window, Window, Window, Window]:
        """Frequency and monetary value of `WINDOWS_DAYS` as of a UTC day: days d with day − W < d ≤ day."""
        f7 = f30 = f90 = f365 = m7 = m30 = m90 = m365 = 0
        for at, count, amount in self._days_backwards(day):
            age = day - at
            if age >= 365:
                break
            f365 += count
            m365 += amount
            if age < 90:
                f90 += count
                m90 += amount
                if age < 30:
                    f30 += count
                    m30 += amount
                    if age < 7:
                        f7 += count
                        m7 += amount
        return Window(f7, m7), Window(f30, m30), Window(f90, m90), Window(f365, m365)

    def lifetime(self) -> Window:
        """All orders that count, ever."""
        count, amount = self.base_frequency, self.base_monetary_minor
        for n, minor in self.frozen.values():
            count += n
            amount += minor
        for order in self.orders:
            if net := order.net_minor:
                count += 1
                amount += net
        return Window(count, amount)

    def last_ms(self) -> int | None:
        """Instant of the last order that counts."""
        last = self.base_last_ms or None
        if self.frozen:
            last = max(last or 0, max(self.frozen) * DAY_MS)
        order = self.last_order()
        return order.time_ms if order is not None and order.time_ms >= (last or 0) else last

    def last_order(self) -> Order | None:
        """The last order that counts, among those remembered one by one."""
        return next((order for order in reversed(self.orders) if order.net_minor), None)

    def first_ms(self) -> int | None:
        """Instant of the first order that counts."""
        if self.base_first_ms:
            return self.base_first_ms
        first = next((order.time_ms for order in self.orders if order.net_minor), None)
        if self.frozen:
            frozen = min(self.frozen) * DAY_MS
            first = frozen if first is None else min(first, frozen)
        return first

    def purchase_days(self, day: int) -> dict[int, tuple[int, int]]:
        """UTC day → (orders, minor units) of remembered orders that count, ascending, up to and with ``day``."""
        days = list(self._days_backwards(day))
        days.reverse()
        return {at: (count, amount) for at, count, amount in days}

    def refunds_since(self, day: int) -> int:
        """Remembered orders since a UTC day that were cancelled or got money back."""
        return sum(1 for o in self.orders if (o.cancelled or o.refunds) and o.time_ms >= day * DAY_MS)

    # -- inside

    def _find(self, key: int) -> Order | None:
        for order in reversed(self.orders):
            if order.key == key:
                return order
        return None

    def _is_beyond(self, time_ms: int, key: int, memory_days: int) -> bool:
        if (time_ms, key) < self.floor:
            return True
        return bool(self.orders) and time_ms < self.orders[-1].time_ms - memory_days * DAY_MS

    def _known_or_pending(self, key: int, time_ms: int, memory_days: int, memory_orders: int) -> Order | None:
        order = self._find(key)
        if order is None:
            if self._is_beyond(time_ms, key, memory_days):
                return None
            order = Order(key, time_ms, PENDING, 0)
            insort(self.orders, order, key=_by_time)
            self._evict(memory_days, memory_orders)
        elif order.amount_minor == PENDING and time_ms < order.time_ms:
            order.time_ms = time_ms
            self.orders.sort(key=_by_time)
        return order

    def _evict(self, memory_days: int, memory_orders: int) -> None:
        """Lets go of what is too old, or too much, by event time only."""
        oldest_ms = self.orders[-1].time_ms - memory_days * DAY_MS
        while len(self.orders) > memory_orders or self.orders[0].time_ms < oldest_ms:
            gone = self.orders.pop(0)
            self.floor = max(self.floor, (gone.time_ms, gone.key))
            net = gone.net_minor
            if not net:
                continue
            day = day_of(gone.time_ms)
            if gone.time_ms >= oldest_ms:
                count, amount = self.frozen.get(day, (0, 0))
                self.frozen[day] = (count + 1, amount + net)
            else:
                self._to_base(1, net, gone.time_ms)
        if self.frozen:
            for day in [d for d in self.frozen if d * DAY_MS < oldest_ms]:
                count, amount = self.frozen.pop(day)
                self._to_base(count, amount, day * DAY_MS)

    def _to_base(self, count: int, amount: int, time_ms: int) -> None:
        self.base_frequency += count
        self.base_monetary_minor += amount
        self.base_first_ms = min(self.base_first_ms or time_ms, time_ms)
        self.base_last_ms = max(self.base_last_ms, time_ms)

    def _days_backwards(self, day: int) -> Iterator[tuple[int, int, int]]:
        """(day, orders, minor units) of remembered orders that count, newest day first, none after ``day``."""
        if self.frozen:
            days = {at: list(pair) for at, pair in self.frozen.items() if at <= day}
            for order in self.orders:
                if (net := order.net_minor) and (at := day_of(order.time_ms)) <= day:
                    bucket = days.setdefault(at, [0, 0])
                    bucket[0] += 1
                    bucket[1] += net
            for at in sorted(days, reverse=True):
                yield at, days[at][0], days[at][1]
            return
        current, count, amount = -1, 0, 0
        for order in reversed(self.orders):
            at = order.time_ms // DAY_MS
            if at > day or not (net := order.net_minor):
                continue
            if at != current:
                if count:
                    yield current, count, amount
                current, count, amount = at, 0, 0
            count += 1
            amount += net
        if count:
            yield current, count, amount


def _by_time(order: Order) -> tuple[int, int]:
    return order.time_ms, order.key
