"""What everybody asks of a customer's orders: the figures kept beside them, and what is read off the book when somebody asks.

It holds until the book changes. Never stored.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from copy import copy
from operator import sub
from typing import Any

from stream.events.instants import DAY_MS
from stream.state.cycle import LEAST_GAPS, cycle_of, middle
from stream.state.figures import LONG_DAYS, MOMENTUM_DAYS, RECENT_DAYS, SHORT_DAYS
from stream.state.orders import OrderBook, Window
from stream.state.packed import ID


class Purchases:
    """The figures of an order book as they are now."""

    __slots__ = (
        "_book", "_days", "_figures", "_gaps", "_name", "_year", "_year_day", "cycle_days", "first_ms", "gaps", "last_ms", "memo"
    )  # fmt: skip

    def __init__(self, book: OrderBook) -> None:
        self._book = book
        figures = self._figures = book.figures
        self.first_ms: int | None = None
        """Instants of the first and the last order that counts."""
        self.last_ms: int | None = None
        if figures.frequency:
            self.first_ms, self.last_ms = figures.first_ms, figures.last_ms
        gaps = self._gaps = figures.gaps
        self.gaps = len(gaps)
        """Gaps between purchase days."""
        self.cycle_days = float(middle(gaps)) if gaps else 0.0
        """Median gap between purchase days, 0.0 when unknown."""
        self._days: tuple[int, ...] | None = None
        self._name = ""
        self._year_day = -1
        self._year: Window | None = None
        self.memo: Any = None
        """For readers who make something dear of the orders."""

    @property
    def days(self) -> tuple[int, ...]:
        """Distinct UTC days of remembered orders that count, ascending."""
        if self._days is None:
            self._days = self._book.days()
        return self._days

    @property
    def lifetime(self) -> Window:
        """All orders that count, ever."""
        return self._book.lifetime()

    @property
    def any_marked(self) -> bool:
        """Something happened to one of the orders besides that it was placed."""
        return bool(self._book.marks)

    def until(self, day: int) -> Purchases:
        """The same with the days up to and with ``day`` only. An order may be dated a little ahead of the clock."""
        last_ms = self.last_ms
        if last_ms is None or last_ms < (day + 1) * DAY_MS or not self._figures.days:
            return self
        earlier = copy(self)
        days = self.days
        earlier._days = days = days[: bisect_right(days, day)]  # noqa: SLF001
        gaps = earlier._gaps = sorted(map(sub, days[1:], days))  # noqa: SLF001
        earlier.gaps = len(gaps)
        earlier.cycle_days = float(middle(gaps)) if gaps else 0.0
        earlier.memo = None
        return earlier

    def year(self, day: int) -> Window:
        """Orders and money of the 365 days up to and with a UTC day."""
        if day != self._year_day or self._year is None:
            self._year_day, self._year = day, self._book.year(day)
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
    def cycle_spread_days(self) -> float:
        """Median absolute deviation of the gaps, 0.0 when unknown."""
        return cycle_of(self.days).spread_days

    @property
    def expected_next_day(self) -> int | None:
        """UTC day of the next purchase by the customer's own rhythm; ``None`` before `LEAST_GAPS` gaps."""
        if self.gaps < LEAST_GAPS:
            return None
        days, cycle_days = self._days, self.cycle_days
        last_day = self._figures.last_ms // DAY_MS if days is None else days[-1]
        return last_day + (round(cycle_days) if cycle_days > 1.0 else 1)

    def momentum(self, today: int) -> tuple[float, float]:
        """Days of purchase, each counting less the longer ago: half after `SHORT_DAYS`, and after `LONG_DAYS`."""
        if self._is_whole:
            return self._figures.momentum(today)
        ages = [today - day for day in self.days[-MOMENTUM_DAYS:]]
        return sum([0.5 ** (age / SHORT_DAYS) for age in ages]), sum([0.5 ** (age / LONG_DAYS) for age in ages])

    def days_between(self, first: int, end: int) -> int:
        """How many of `days` are in ``first … end − 1``."""
        days, figures = self._days, self._figures
        if days is not None:
            return bisect_left(days, end) - bisect_left(days, first)
        if not figures.days or figures.first_day >= end:
            return 0
        return self._book.days_in(first, end)

    def gaps_beyond(self, days: int) -> int:
        """How many gaps between purchase days are longer than so many days."""
        return len(self._gaps) - bisect_right(self._gaps, days)

    def recent_days(self, today: int) -> int:
        """How many of `days` are in the `RECENT_DAYS` up to and with ``today``."""
        if not self._is_whole:
            return self.days_between(today - RECENT_DAYS + 1, today + 1)
        figures = self._figures
        ago = today - figures.last_ms // DAY_MS
        return (figures.recent & (1 << RECENT_DAYS - ago) - 1).bit_count() if ago < RECENT_DAYS else 0

    @property
    def _is_whole(self) -> bool:
        """No day is left out."""
        return self._days is None or len(self._days) == self._figures.days
