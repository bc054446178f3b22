"""A buyer's place in the population, coarse enough to be counted together: week of last purchase, orders, money, attitude.

One joint histogram over these cells is all that the schemes by population share need, whatever figure they rank by: the figure of
a cell is a function of its bins. Bins are of absolute weeks, not of ages, so nothing moves while nobody buys.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final, NamedTuple

from stream.segments.histogram import bucket_of, value_of

WEEK_DAYS: Final = 7
"""Days of last purchase that count as one. Fewer: who shops on Saturdays is ranked by the weekday, and there are more cells to send
each day; more: a customer's tier lags behind."""
ORDER_BINS: Final = (0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 30, 50, 100, 200, 400)
"""Fewest orders in 365 days of each bin. A power of two many; single where most customers of most shops are."""
MONEY_BUCKETS: Final = 20
"""Buckets of `stream.segments.histogram` in one bin of money: bins grow by half. Same trade as `WEEK_DAYS`."""

DETRACTOR, NEUTRAL, PROMOTER = 0, 1, 2
"""What the last NPS answer says: 0 to 6, 7 or 8 or never asked, 9 or 10 (Reichheld 2003)."""

NOBODY: Final = 0
"""No cell: never bought, or not for a year."""

_ORDERS, _MONEY, _ATTITUDES = len(ORDER_BINS), 128, 3
_FEW = 200
_ORDER_BIN = tuple(bisect_right(ORDER_BINS, orders) - 1 for orders in range(_FEW))


class Cell(NamedTuple):
    """A cell, taken apart into its bins."""

    week: int
    orders: int
    money: int
    attitude: int


def attitude_of(nps: float) -> int:
    """The attitude of the last NPS answer, of which a negative one is none.

    >>> attitude_of(6), attitude_of(-1), attitude_of(8), attitude_of(9)
    (0, 1, 1, 2)
    """
    if nps < 0:
        return NEUTRAL
    return DETRACTOR if nps < 7 else NEUTRAL if nps < 9 else PROMOTER


def cell_of(last_day: int, frequency: int, monetary_minor: int, attitude: int) -> int:
    """The number of the cell of somebody who has bought in 365 days; never `NOBODY`."""
    orders = _ORDER_BIN[frequency] if frequency < _FEW else bisect_right(ORDER_BINS, frequency) - 1
    money = bucket_of(monetary_minor) // MONEY_BUCKETS
    return ((last_day // WEEK_DAYS * _ORDERS + orders) * _MONEY + money) * _ATTITUDES + attitude


def taken_apart(cell: Any) -> Cell:
    """The bins of a cell; of an array of cells, arrays of bins.

    >>> taken_apart(cell_of(20_453, 7, 123_456, PROMOTER))
    Cell(week=2921, orders=6, money=29, attitude=2)
    """
    rest, attitude = cell // _ATTITUDES, cell % _ATTITUDES
    rest, money = rest // _MONEY, rest % _MONEY
    return Cell(rest // _ORDERS, rest % _ORDERS, money, attitude)


def age_days(week: int, day: int) -> int:
    """Days from the middle of a week to a UTC day, what the recency of a cell is taken for; at least 0."""
    return max(0, day - week * WEEK_DAYS - WEEK_DAYS // 2)


def orders_in(orders: int) -> float:
    """What the frequency of a bin is taken for: its middle."""
    return (ORDER_BINS[orders] + (ORDER_BINS[orders + 1] - 1 if orders + 1 < _ORDERS else ORDER_BINS[orders])) / 2


def minor_in(money: int) -> float:
    """What the money of a bin is taken for: its middle by ratio, in minor units."""
    return value_of(money * MONEY_BUCKETS + MONEY_BUCKETS // 2)
