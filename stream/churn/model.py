"""The model that everybody scores with: plain numbers, no River, a few microseconds, the same result on every worker."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum
from operator import mul, sub

import msgspec

from stream.churn.features import LAYOUT
from stream.churn.quality import Quality


class FrozenModel(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the churn model, published once a UTC day.

    ``log odds = baseline + Σ weights[i] · (x[i] − means[i])``: a customer who is average in everything has the baseline,
    and each product is what one feature adds. ``day`` is the UTC day from whose start the version holds; it has learnt
    only labels known before. ``abstained`` says in words why its probability must not be acted upon, empty when it may.
    """

    day: int
    layout: int
    horizon_days: int
    names: tuple[str, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    """Standard deviations of the features, for comparing weights; not needed for scoring."""
    weights: tuple[float, ...]
    baseline: float
    labels: int
    churned: int
    """How many of the labels were "churned"."""
    quality: Quality
    abstained: str
    river_version: str
    drifts: int = 0
    """How often the shop has changed under the model so far; see `stream.churn.drift`."""
    judged_since_drift: int = 0
    """Scores judged since the latest of these was noticed, 0 without one."""

    def fits(self, horizon_days: int) -> bool:
        """May this model score vectors of this version of Winback? Not if its features or its horizon are others."""
        return self.layout == LAYOUT and self.horizon_days == horizon_days

    def contributions(self, vector: Sequence[float]) -> tuple[float, ...]:
        """What each feature adds to the log-odds of churn, against an average customer. Positive: towards churn."""
        if len(vector) != len(self.weights):
            raise ValueError(f"{len(vector)} figures for a model of {len(self.weights)}")
        return tuple(map(mul, self.weights, map(sub, vector, self.means)))

    def log_odds(self, vector: Sequence[float]) -> float:
        """Baseline plus contributions, rounded once (so it is the same in whatever order they are added)."""
        if len(vector) != len(self.weights):
            raise ValueError(f"{len(vector)} figures for a model of {len(self.weights)}")
        return fsum([self.baseline, *map(mul, self.weights, map(sub, vector, self.means))])

    def probability(self, vector: Sequence[float]) -> float:
        """P(no purchase within the horizon), whether or not the model abstains.

        >>> from stream.churn.quality import UNKNOWN
        >>> model = FrozenModel(day=0, layout=0, horizon_days=90, names=("silence",), means=(3.0,), spreads=(1.0,),
        ...     weights=(0.5,), baseline=0.0, labels=9, churned=4, quality=UNKNOWN, abstained="", river_version="0")
        >>> model.probability([3.0]), round(model.probability([5.0]), 3)
        (0.5, 0.731)
        """
        return sigmoid(self.log_odds(vector))

    def importance(self) -> tuple[tuple[str, float], ...]:
        """Features by how much they usually move the log-odds (|weight| × spread), greatest first."""
        moved = zip(self.names, self.weights, self.spreads, strict=True)
        return tuple(sorted(((n, abs(w) * s) for n, w, s in moved), key=lambda pair: (-pair[1], pair[0])))


def sigmoid(log_odds: float) -> float:
    """Probability of log-odds; saturates instead of overflowing.

    >>> sigmoid(0.0), sigmoid(-1e9), sigmoid(1e9)
    (0.5, 0.0, 1.0)
    """
    if log_odds >= 0.0:
        return 1.0 / (1.0 + exp(-log_odds))
    odds = exp(log_odds)
    return odds / (1.0 + odds)
