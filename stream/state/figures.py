"""What is asked of a customer's orders at every turn, kept beside the orders so that nobody has to go through them.

An order that is the newest carries the figures on; whatever else happens to the book has them counted anew. Both give the same
bytes, because everything here is a whole number, and none says in which order the orders came.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from operator import sub

import msgspec

from stream.events.instants import DAY_MS

MOST_SUM_MINOR = 2**62
"""Sums of money stop here. Larger ones don't fit the signed 64-bit numbers that readers of our messages have."""
RECENT_DAYS = 30
"""Days up to the last purchase of which it is known at once on which ones somebody bought: those that activity is held
against."""
MOMENTUM_DAYS = 64
"""Purchase days that the momentum looks at. Fewer: a daily buyer looks like a weekly one; more: costs, without effect
on a logarithm."""
SHORT_DAYS, LONG_DAYS = 60, 180
"""Half-lives of the momentum."""
_RECENT = (1 << RECENT_DAYS) - 1
_ONE_BITS = 30
"""Precision of a single day's weight. Less: the momentum differs in a digit that half precision shows; more: longer records."""
_SHORT = tuple([round(2 ** (_ONE_BITS + day / SHORT_DAYS)) for day in range(SHORT_DAYS)])
_LONG = tuple([round(2 ** (_ONE_BITS + day / LONG_DAYS)) for day in range(LONG_DAYS)])
"""Weights of days within a half-life, in units of 2^-30. That of any day is one of these times a power of two, so sums of
them are exact and a day can be taken out again."""


class Figures(msgspec.Struct, array_like=True, gc=False):
    """Figures of the orders that count. All 0 and empty when none does."""

    frequency: int = 0
    """Orders, ever."""
    monetary_minor: int = 0
    """Money of them, at most `MOST_SUM_MINOR`."""
    first_ms: int = 0
    """Instants of the first and the last of them."""
    last_ms: int = 0
    days: int = 0
    """Distinct UTC days of those that are remembered, be it as day buckets. The last is that of ``last_ms``."""
    first_day: int = 0
    """The first of the days."""
    recent: int = 0
    """Bit n: one of the days is n before the last; `RECENT_DAYS` bits."""
    gaps: list[int] = []
    """Days between neighbours of the days, ascending by length."""
    momentum_from: int = 0
    """The first of the newest `MOMENTUM_DAYS` of the days."""
    short: bytes = b""
    """Weights of these newest days, each halving every `SHORT_DAYS` back in time, summed up: an unsigned number, the highest
    byte first, in units of 2^-30 of a weight on the day at which the half-life of ``momentum_from`` began."""
    long: bytes = b""
    """The same with `LONG_DAYS`."""

    def take(self, time_ms: int, net_minor: int) -> bool:
        """Takes over an order that is later than all others; True when it makes one day too many for the momentum."""
        day = time_ms // DAY_MS
        last_day = self.last_ms // DAY_MS
        if not self.frequency:
            self.first_ms = time_ms
        self.frequency += 1
        self.monetary_minor = min(MOST_SUM_MINOR, self.monetary_minor + net_minor)
        self.last_ms = time_ms
        days = self.days
        if not days:
            self.days, self.first_day, self.momentum_from, self.recent = 1, day, day, 1
            self.short, self.long = _bytes(_SHORT[day % SHORT_DAYS]), _bytes(_LONG[day % LONG_DAYS])
            return False
        if day == last_day:
            return False
        gap = day - last_day
        insort(self.gaps, gap)
        self.recent = (self.recent << gap | 1) & _RECENT if gap < RECENT_DAYS else 1
        self.days = days + 1
        since = self.momentum_from
        short = _int(self.short, "big") + (_SHORT[day % SHORT_DAYS] << day // SHORT_DAYS - since // SHORT_DAYS)
        long = _int(self.long, "big") + (_LONG[day % LONG_DAYS] << day // LONG_DAYS - since // LONG_DAYS)
        self.short, self.long = _bytes(short), _bytes(long)
        return days >= MOMENTUM_DAYS

    def shorten(self, next_day: int) -> None:
        """The first day of the momentum leaves it; ``next_day`` is the one after it."""
        day, self.momentum_from = self.momentum_from, next_day
        short, long = (
            _int(self.short, "big") - _SHORT[day % SHORT_DAYS],
            _int(self.long, "big") - _LONG[day % LONG_DAYS],
        )
        # What remains is made of later days, so the bits that go are zeros.
        self.short = _bytes(short >> next_day // SHORT_DAYS - day // SHORT_DAYS)
        self.long = _bytes(long >> next_day // LONG_DAYS - day // LONG_DAYS)

    def forget(self, next_day: int) -> None:
        """The first of several days is forgotten; ``next_day`` is the one after it."""
        gap = next_day - self.first_day
        del self.gaps[bisect_left(self.gaps, gap)]
        if self.days <= MOMENTUM_DAYS:
            self.shorten(next_day)
        self.days -= 1
        self.first_day = next_day
        ago = self.last_ms // DAY_MS - next_day
        if ago < RECENT_DAYS:
            self.recent &= (2 << ago) - 1

    def momentum(self, today: int) -> tuple[float, float]:
        """Weights of the newest `MOMENTUM_DAYS` days as of a UTC day, halving every `SHORT_DAYS` and every `LONG_DAYS`."""
        if not self.days:
            return 0.0, 0.0
        since = self.momentum_from
        return (
            _int(self.short, "big") / (_SHORT[today % SHORT_DAYS] << today // SHORT_DAYS - since // SHORT_DAYS),
            _int(self.long, "big") / (_LONG[today % LONG_DAYS] << today // LONG_DAYS - since // LONG_DAYS),
        )


def figures_of(frequency: int, monetary_minor: int, first_ms: int, last_ms: int, days: Sequence[int]) -> Figures:
    """The figures counted anew. ``days``: the distinct UTC days that are remembered, ascending."""
    if not days:
        return Figures(frequency, monetary_minor, first_ms, last_ms)
    last, newest = days[-1], days[-MOMENTUM_DAYS:]
    since = newest[0]
    short = sum([_SHORT[day % SHORT_DAYS] << day // SHORT_DAYS - since // SHORT_DAYS for day in newest])
    long = sum([_LONG[day % LONG_DAYS] << day // LONG_DAYS - since // LONG_DAYS for day in newest])
    return Figures(
        frequency,
        monetary_minor,
        first_ms,
        last_ms,
        len(days),
        days[0],
        sum([1 << last - day for day in days[-RECENT_DAYS:] if last - day < RECENT_DAYS]),
        sorted(map(sub, days[1:], days)),
        since,
        _bytes(short),
        _bytes(long),
    )


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


_int = int.from_bytes
