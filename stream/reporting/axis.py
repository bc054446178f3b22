"""Where a value lies on a chart, and which values are written beside it."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor, isfinite, log10

import msgspec

MOST_TICKS = 7
"""Marks on an axis. More: their labels touch on a phone; fewer: a reader must guess between them."""


class Axis(msgspec.Struct, frozen=True):
    """Values ``low`` … ``high`` on pixels ``start`` … ``end``, with marks at round values."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """The pixel of a value; what lies outside is put on the edge.

        >>> fit([0, 40], 0, 200).place(10)
        50.0
        """
        inside = min(max(value, self.low), self.high)
        return self.start + (self.end - self.start) * (inside - self.low) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        """Is the value inside?"""
        return self.low <= value <= self.high


def fit(values: Iterable[float], start: float, end: float, *, zero: bool = True) -> Axis:
    """An axis on which all finite values lie, from mark to mark; with ``zero``, that too.

    >>> fit([3, 18], 0, 100).ticks
    (0.0, 5.0, 10.0, 15.0, 20.0)
    >>> fit([], 0, 100).ticks
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    found = [value for value in values if isfinite(value)]
    if zero or not found:
        found.append(0.0)
    low, high = min(found), max(found)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        high = low + (abs(low) or 1.0)
    step = _round_step((high - low) / (MOST_TICKS - 1))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    ticks = tuple([float(f"{place * step:.12g}") for place in range(first, last + 1)])
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 × 10ⁿ that is not below ``least``."""
    power = 10.0 ** floor(log10(least))
    for factor in (1.0, 2.0, 2.5, 5.0):
        if factor * power >= least * (1 - 1e-9):
            return factor * power
    return 10.0 * power
