"""What everybody asks of a customer's orders, read off the order book once and kept while the customer is at hand.

Never stored, and the same whether it was read anew or carried on with `Purchases.bought_again`: an ordinary purchase, the latest
of all, changes it without going through the book, which has hundreds of orders for those who buy most.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from copy import copy
from operator import sub
from typing import Any

from stream.events.instants import DAY_MS
from stream.state.cycle import LEAST_GAPS, cycle_of, middle
from stream.state.orders import MOST_SUM_MINOR, OrderBook, Window
from stream.state.packed import ID

YEAR_DAYS = 365
NOTHING = Window(0, 0)
_NOT_YET = -1.0
"""A cycle that nobody has asked for."""
_AMPLE_MINOR = MOST_SUM_MINOR >> 1
"""Sums up to here are carried on; larger ones may meet the limit of sums, so they are read off the book."""


class Purchases:
    """The figures of an order book. They hold until the book changes."""

    __slots__ = (
        "_book", "_cycle_days", "_gaps", "_name", "_year", "_year_day", "days", "days_memo", "first_ms", "last_ms", "lifetime",
        "memo",
    )  # fmt: skip

    def __init__(self, book: OrderBook) -> None:
        self._book = book
        self.first_ms: int | None = None
        """Instants of the first and the last order that counts."""
        self.last_ms: int | None = None
        self.days: tuple[int, ...] = ()
        """Distinct UTC days of remembered orders that count, ascending."""
        self.lifetime: Window = NOTHING
        self._gaps: list[int] | None = None
        self._cycle_days = _NOT_YET
        self._name = ""
        self._year_day = -1
        self._year: Window = NOTHING
        self.memo: Any = None
        """For readers who make something dear of the orders; forgotten when they change."""
        self.days_memo: Any = None
        """The same of `days` alone."""
        times_ms, nets = book.columns()
        count, minor = len(nets), sum(nets)
        if 0 in nets:
            times_ms = tuple([time_ms for time_ms, net in zip(times_ms, nets, strict=True) if net])
            count = len(times_ms)
        days: Iterable[int] = sorted({time_ms // DAY_MS for time_ms in times_ms})
        if times_ms:
            self.first_ms, self.last_ms = times_ms[0], times_ms[-1]
        gone = book.gone
        if gone is not None and gone.frequency:
            self.first_ms, self.last_ms = gone.first_ms, self.last_ms or gone.last_ms
            count, minor = count + gone.frequency, minor + gone.monetary_minor
            days = dict.fromkeys([*gone.frozen, *days])
        self.lifetime = Window(count, min(MOST_SUM_MINOR, minor))
        self.days = tuple(days)

    def bought_again(self, time_ms: int, memory_days: int) -> bool:
        """Takes over a purchase that was just put into the book; False when it is not an ordinary one, so all is to be
        read anew. ``memory_days`` is how long the book remembers single orders."""
        newest_ms, net_minor = self._book.newest()
        last_ms = self.last_ms
        if last_ms is None or newest_ms != time_ms or time_ms <= last_ms:
            return False
        frequency, minor = self.lifetime.frequency + 1, self.lifetime.monetary_minor + net_minor
        if not net_minor or minor > _AMPLE_MINOR:
            return False
        day = time_ms // DAY_MS
        if self._year_day == day:
            year = self._year
            self._year = Window(year.frequency + 1, year.monetary_minor + net_minor)
        else:
            self._year_day = -1
        self.lifetime = Window(frequency, minor)
        self.last_ms = time_ms
        self._name = ""
        self.memo = None
        if not self.days or self.days[-1] != day:
            self._take_day(day, (time_ms - memory_days * DAY_MS) // DAY_MS)
        return True

    @property
    def any_marked(self) -> bool:
        """Something happened to one of the orders besides that it was placed."""
        return bool(self._book.marks)

    def until(self, day: int) -> Purchases:
        """The same with the days up to and with ``day`` only. An order may be dated a little ahead of the clock."""
        if not self.days or self.days[-1] <= day:
            return self
        earlier = copy(self)
        earlier._see(self.days[: bisect_right(self.days, day)], None)  # noqa: SLF001
        return earlier

    def year(self, day: int) -> Window:
        """Orders and money of the 365 days up to and with a UTC day."""
        if day != self._year_day:
            first_ms, last_ms, book = self.first_ms, self.last_ms, self._book
            if (
                first_ms is not None
                and last_ms is not None
                and first_ms >= (day - YEAR_DAYS + 1) * DAY_MS
                and last_ms < (day + 1) * DAY_MS
                and book.gone is None
            ):
                self._year = self.lifetime  # nothing is older than that, as with most customers
            else:
                self._year = book.window(day, YEAR_DAYS)
            self._year_day = day
        return self._year

    @property
    def last_order_name(self) -> str:
        """Names the last purchase in occurrences: a hash of its order id, or its instant once orders are forgotten."""
        if not self._name:
            book = self._book
            if book.newest()[1]:
                self._name = f"order-{book.keys[-ID:].hex()}"
            else:
                key = book.last_key()
                self._name = f"order-at-{self.last_ms}" if key is None else f"order-{key:016x}"
        return self._name

    @property
    def cycle_days(self) -> float:
        """Median gap between purchase days, 0.0 when unknown."""
        known = self._cycle_days
        if known != _NOT_YET:
            return known
        cycle_days = 0.0
        days = self.days
        if len(days) >= 2:
            gaps = self._gaps
            if gaps is None:
                gaps = self._gaps = sorted(map(sub, days[1:], days))
            cycle_days = float(middle(gaps))
        self._cycle_days = cycle_days
        return cycle_days

    @property
    def cycle_spread_days(self) -> float:
        """Median absolute deviation of the gaps, 0.0 when unknown."""
        return cycle_of(self.days).spread_days

    @property
    def expected_next_day(self) -> int | None:
        """UTC day of the next purchase by the customer's own rhythm; ``None`` before `LEAST_GAPS` gaps."""
        if len(self.days) <= LEAST_GAPS:
            return None
        return self.days[-1] + max(1, round(self.cycle_days))

    def _take_day(self, day: int, oldest: int) -> None:
        days, gaps = self.days, self._gaps
        if days and days[0] < oldest:
            days = days[bisect_left(days, oldest) :]
            gaps = None
        if days and gaps is not None:
            insort(gaps, day - days[-1])
        self._see((*days, day), gaps)

    def _see(self, days: tuple[int, ...], gaps: list[int] | None) -> None:
        self.days, self._gaps, self._cycle_days = days, gaps, _NOT_YET
        self.memo = self.days_memo = None
