"""Where each cell of the population stands: mid-ranks of its bins, and its rank by figures made of them (MISSION C2, C3, C5).

Counted once a day from the merged cells of all partitions. Whoever stands in a cell shares its stretch of the ranks with all who
do; within it a hash of the customer decides. So the shares are right to the customer, however many tie (SEMANTICS: half of real
buyers have bought once).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from math import exp, log
from typing import Any

import msgspec

from stream.segments.cells import WEEK_DAYS, Cell, age_days, minor_in, orders_in, taken_apart

STEPS = 400
"""Steps of a ranking, a quarter of a percentage point each, besides cells that are larger than that. More: a larger epoch; fewer:
more customers whose order only the hash decides. Shares are exact with any number."""
MOST_EXPONENT = 500.0
"""Where exp(M/1000) is held: beyond 709 it is no number at all. Who spends half a million a year is ahead of everybody anyway."""
_LIVING_WEEKS = 52

Weights = tuple[int, int, int, int]
"""Of recency, frequency, money and attitude, in thousandths."""


class Scale(msgspec.Struct, array_like=True, frozen=True):
    """Mid-ranks of the bins of one figure. Counted in half customers, so that they are whole numbers, and ties are ties."""

    bins: tuple[int, ...]
    starts: tuple[int, ...]
    """Customers below each bin, and all of them at the end."""

    def rank(self, bin_: int) -> int:
        """Twice the customers below a bin, and once those in it.

        >>> scale = Scale((1, 2, 5), (0, 50, 80, 100))
        >>> [scale.rank(bin_) for bin_ in (0, 1, 2, 3, 5, 6)]
        [0, 50, 130, 160, 180, 200]
        """
        at = bisect_left(self.bins, bin_)
        below = self.starts[at]
        return below + self.starts[at + 1] if at < len(self.bins) and self.bins[at] == bin_ else 2 * below


class Ranking(msgspec.Struct, array_like=True, frozen=True):
    """Shares of the population by some figure."""

    figures: tuple[float, ...]
    """The largest figure of each step, ascending."""
    starts: tuple[int, ...]
    """Customers below each step, and all of them at the end."""

    def step(self, figure: float) -> tuple[float, float]:
        """Where the ranks of those with a figure begin and how far they reach, as shares.

        >>> ranking = Ranking((1.0, 7.0, 9.0), (0, 30, 80, 100))
        >>> ranking.step(1.0), ranking.step(8.0), ranking.step(10.0)
        ((0.0, 0.3), (0.8, 0.2), (1.0, 0.0))
        """
        starts, at = self.starts, bisect_left(self.figures, figure)
        if at == len(self.figures):
            return 1.0, 0.0
        return starts[at] / starts[-1], (starts[at + 1] - starts[at]) / starts[-1]


class Scales(msgspec.Struct, frozen=True):
    """All that ranks a customer; one version a UTC day."""

    day: int
    weights: Weights
    """Of the tiers by share."""
    value_weights: Weights
    major: int
    """Minor units in one of the currency."""
    weeks: Scale
    orders: Scale
    money: Scale
    attitudes: Scale
    loyalty: Ranking
    """By `composite`: the tiers by population share."""
    index: Ranking
    """By `value`."""
    written: Ranking
    """By the value index as the documents have it."""

    @property
    def buyers(self) -> int:
        """How many stand in the cells."""
        return self.weeks.starts[-1]

    def shares(self, cell: Cell) -> tuple[float, float, float, float]:
        """Mid-ranks of recency, frequency, money and attitude, as shares of the population, 1 best."""
        halves = 2 * self.buyers
        return (
            self.weeks.rank(cell.week) / halves,
            self.orders.rank(cell.orders) / halves,
            self.money.rank(cell.money) / halves,
            self.attitudes.rank(cell.attitude) / halves,
        )

    def composite(self, cell: Cell) -> int:
        """RFM and NPS in one figure: a weighted sum of ranks."""
        r, f, m, n = self.weights
        return (
            r * self.weeks.rank(cell.week)
            + f * self.orders.rank(cell.orders)
            + m * self.money.rank(cell.money)
            + n * self.attitudes.rank(cell.attitude)
        )

    def value(self, cell: Cell) -> int:
        """The value index on the scale of ranks: recency, frequency and money, the more of each the better."""
        r, f, m, _ = self.value_weights
        return r * self.weeks.rank(cell.week) + f * self.orders.rank(cell.orders) + m * self.money.rank(cell.money)

    def value_as_written(self, cell: Cell) -> float:
        """The value index of a cell as the documents have it."""
        recency, money = age_days(cell.week, self.day), minor_in(cell.money) / self.major
        return value_as_written(recency, orders_in(cell.orders), money, self.value_weights)


def value_as_written(recency_days: float, frequency: float, monetary: float, weights: Weights) -> float:
    """V = 0.4·ln(R+1) + 0.3·F + 0.3·exp(M/1000), as the documents have it; ``monetary`` is in whole currency units (MISSION C3).

    Mind what it does: R is the days *since* the last purchase, so being away raises V; and the last term outweighs the others from
    a few thousand on, where V is only M on another scale.

    >>> weights = (400, 300, 300, 0)
    >>> [round(value_as_written(r, f, m, weights), 2) for r, f, m in ((0, 1, 0), (364, 1, 0), (0, 1, 5_000), (0, 90, 5_000))]
    [0.6, 2.96, 44.82, 71.52]
    >>> value_as_written(0, 1, 10**12, weights) == value_as_written(0, 1, 10**9, weights) < float("inf")
    True
    """
    r, f, m, _ = weights
    return (r * log(recency_days + 1) + f * frequency + m * exp(min(monetary / 1_000, MOST_EXPONENT))) / 1_000


def scales_of(
    day: int, counts: Mapping[int, int], weights: Weights, value_weights: Weights, major: int
) -> Scales | None:
    """The scales that hold from UTC day ``day`` on, of everybody who has bought in a year; ``None`` of nobody."""
    # Only who folds a day needs it: thousands of cells, once.
    import numpy as np

    cells = np.fromiter(counts.keys(), np.int64, len(counts))
    bins: Any = taken_apart(cells)
    living = bins.week >= day // WEEK_DAYS - _LIVING_WEEKS
    if not living.any():
        return None
    customers = np.fromiter(counts.values(), np.int64, len(counts))[living]
    (weeks, at_week), (orders, at_orders), (money, at_money), (attitudes, at_attitude) = (
        _scale(column[living], customers) for column in bins
    )
    nothing = Ranking((), (0,))
    made = Scales(day, weights, value_weights, major, weeks, orders, money, attitudes, nothing, nothing, nothing)
    r, f, m, n = weights
    by_week, by_orders, by_money = _ranks(weeks)[at_week], _ranks(orders)[at_orders], _ranks(money)[at_money]
    loyalty = r * by_week + f * by_orders + m * by_money + n * _ranks(attitudes)[at_attitude]
    r, f, m, _ = value_weights
    value = r * by_week + f * by_orders + m * by_money
    # The same sums in the same order as for one cell, so that they are equal to the last bit.
    recency = np.array([r * log(age_days(week, day) + 1) for week in weeks.bins])[at_week]
    frequency = np.array([f * orders_in(each) for each in orders.bins])[at_orders]
    spent = [m * exp(min(minor_in(each) / major / 1_000, MOST_EXPONENT)) for each in money.bins]
    written = (recency + frequency + np.array(spent)[at_money]) / 1_000
    return msgspec.structs.replace(
        made,
        loyalty=_ranking(loyalty, customers),
        index=_ranking(value, customers),
        written=_ranking(written, customers),
    )


def _counted(values: Any, customers: Any) -> tuple[Any, Any, list[int]]:
    """The different values, ascending; which of them each is; customers of each."""
    import numpy as np

    found, which = np.unique(values, return_inverse=True)
    return found, which, [int(n) for n in np.bincount(which, customers)]


def _scale(column: Any, customers: Any) -> tuple[Scale, Any]:
    found, which, sizes = _counted(column, customers)
    return Scale(tuple(found.tolist()), (0, *accumulate(sizes))), which


def _ranks(scale: Scale) -> Any:
    import numpy as np

    return np.array([scale.rank(each) for each in scale.bins], np.int64)


def _ranking(figures: Any, customers: Any) -> Ranking:
    found, _, sizes = _counted(figures, customers)
    least = sum(sizes) / STEPS
    tops: list[float] = []
    steps: list[int] = []
    is_open = False
    for figure, n in zip(found.tolist(), sizes, strict=True):
        if is_open and steps[-1] + n <= least:
            tops[-1], steps[-1] = figure, steps[-1] + n
        else:
            tops.append(figure)
            steps.append(n)
        is_open = steps[-1] < least
    return Ranking(tuple(map(float, tops)), (0, *accumulate(steps)))
