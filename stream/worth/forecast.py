"""The loyalty forecast that everybody tells with, and the drivers of loyalty and value: plain numbers (MISSION D2, D6)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

import msgspec

TEN = 10.0
"""Points of loyalty in one unit of what is learnt."""


class Driver(msgspec.Struct, frozen=True, array_like=True):
    """How strongly a feature goes along with what follows in three months; each figure lies between about −1 and 1."""

    feature: str
    loyalty: float
    """Correlation with the loyalty in three months."""
    loyalty_beside: float
    """Standardised coefficient beside all other features but loyalty itself: what one standard deviation moves it, in such of its own."""
    value: float
    """Correlation with the logarithm of the money of these three months."""
    value_beside: float
    """Standardised coefficient beside all other features."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the forecast, published once a UTC day."""

    weights: tuple[float, ...] = ()
    """Of the constant and the features, for the change in three months in units of ten points."""
    pairs: float = 0.0
    """Matured pairs of then and three months later that it has learnt from; older ones count less."""
    judged: float = 0.0
    error: float | None = None
    """Mean distance of what was forecast from what came, points of loyalty, of the pairs that were judged before they were learnt."""
    error_unchanged: float | None = None
    """The same, had one said that nothing changes."""
    abstained: str = "no loyalty forecast yet"
    """Why no forecast is to be acted upon, in words; empty when they may be."""
    drivers: tuple[Driver, ...] = ()
    noise: float = 0.0
    """A strength below this may be chance: 95 % of correlations of nothing with anything are."""

    def ahead(self, loyalty: float, values: Sequence[float]) -> float | None:
        """Loyalty in three months, 0 to 100; ``None`` before anything is learnt.

        >>> Forecast(weights=(0.1, -0.5)).ahead(60.0, [0.6])
        58.0
        """
        return ahead(self.weights, loyalty, values) if self.weights else None


def ahead(weights: Sequence[float], loyalty: float, values: Sequence[float]) -> float:
    """Loyalty in three months by some weights, 0 to 100."""
    change: float = weights[0] + sum(map(mul, weights[1:], values))
    return min(100.0, max(0.0, round(loyalty + TEN * change, 1)))
