"""The model that everybody scores with: plain numbers, no River, a few microseconds, the same result on every worker."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum
from operator import mul, sub
from typing import Final

import msgspec

from stream.churn.features import FEATURES, LAYOUT, PRIOR
from stream.churn.frozen_trees import FrozenTree, added_by_features, mean_log_odds, steps
from stream.churn.quality import Quality

LOGISTIC: Final = "logistic"
"""The contender that is in use at first."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a contender stood at the last look: figures over the labels that all were judged by."""

    name: str
    judged: int = 0
    auc: float | None = None
    brier: float | None = None
    calibration_error: float | None = None
    lead: float = 0.0
    """AUC less the champion's."""
    noise: float = 0.0
    """Standard error of the lead."""
    leads_since: int = 0
    """Looks in a row at which it was better beyond noise."""


class Formula(msgspec.Struct, frozen=True, array_like=True):
    """What one model says of a vector, and nothing else of it: ``log odds = constant + Σ weights · x + mean of the trees``.

    >>> Formula(0.5, (0.25,)).log_odds([2.0])
    1.0
    """

    constant: float
    weights: tuple[float, ...] = ()
    trees: tuple[FrozenTree, ...] = ()

    def log_odds(self, vector: Sequence[float]) -> float:
        """Log-odds of churn."""
        if self.trees:
            return self.constant + mean_log_odds(self.trees, vector)
        return self.constant + float(sum(map(mul, self.weights, vector)))

    def probability(self, vector: Sequence[float]) -> float:
        """P(no purchase within the horizon)."""
        return sigmoid(self.log_odds(vector))


def linear(weights: Sequence[float]) -> Formula:
    """The formula of weights that are per `Feature.scale`, the intercept last."""
    *scaled, bias = weights
    plain = tuple([weight / feature.scale for weight, feature in zip(scaled, FEATURES, strict=True)])
    return Formula(bias - sum([w * f.centre for w, f in zip(plain, FEATURES, strict=True)]), plain)


UNLEARNT: Final = linear(PRIOR)
"""What is said of a customer before there is any label."""


class FrozenModel(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the churn model, published once a UTC day.

    ``log odds = baseline + Σ weights[i] · (x[i] − means[i])``: a customer who is average in everything has the baseline,
    and each product is what one feature adds. With ``trees`` the baseline is what they say of somebody unknown, and a feature
    adds what `stream.churn.frozen_trees` says. ``day`` is the UTC day from whose start the version holds; it has learnt
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
    horizon_cycles: float = 0.0
    """Own cycles after which a customer has churned, see `stream.churn.calendar.own_horizon_days`; 0: ``horizon_days`` for all."""
    kind: str = LOGISTIC
    """Which of the contenders it is; see `stream.churn.contest`."""
    previous: str = ""
    """Which was in use before, empty when none was."""
    is_pinned: bool = False
    """A person has chosen it, so the contest doesn't."""
    trees: tuple[FrozenTree, ...] = ()
    contenders: tuple[Standing, ...] = ()
    """All contenders, as they stood at the last look."""
    shifts: dict[str, float] = {}
    """How far customers of now are from those learnt from, by feature, in standard deviations; see `stream.churn.shift`."""

    def fits(self, horizon_days: int, horizon_cycles: float = 0.0) -> bool:
        """May this model score vectors of this version of Winback? Not if its features or its horizon are others."""
        span = self.horizon_days, self.horizon_cycles
        return self.layout == LAYOUT and span == (horizon_days, horizon_cycles)

    def contributions(self, vector: Sequence[float]) -> tuple[float, ...]:
        """What each feature adds to the log-odds of churn, against an average customer. Positive: towards churn."""
        if len(vector) != len(self.weights):
            raise ValueError(f"{len(vector)} figures for a model of {len(self.weights)}")
        if self.trees:
            return added_by_features(self.trees, vector)
        return tuple(map(mul, self.weights, map(sub, vector, self.means)))

    def log_odds(self, vector: Sequence[float]) -> float:
        """Baseline plus contributions, rounded once (so it is the same in whatever order they are added)."""
        if len(vector) != len(self.weights):
            raise ValueError(f"{len(vector)} figures for a model of {len(self.weights)}")
        if self.trees:
            return fsum([self.baseline, *added_by_features(self.trees, vector)])
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

    def steps(self) -> tuple[tuple[str, float], ...]:
        """Features with how much they usually move the log-odds, greatest first; above 0: more of it speaks for churn.

        Of the linear models, a step of one standard deviation; of trees, the mean step of all splits, by the labels that come by.
        """
        moved = steps(self.trees, len(self.names)) if self.trees else map(mul, self.weights, self.spreads)
        return tuple(sorted(zip(self.names, moved, strict=True), key=lambda pair: (-abs(pair[1]), pair[0])))

    def importance(self) -> tuple[tuple[str, float], ...]:
        """The same without the sign."""
        return tuple([(name, abs(step)) for name, step in self.steps()])


def sigmoid(log_odds: float) -> float:
    """Probability of log-odds; saturates instead of overflowing.

    >>> sigmoid(0.0), sigmoid(-1e9), sigmoid(1e9)
    (0.5, 0.0, 1.0)
    """
    if log_odds >= 0.0:
        return 1.0 / (1.0 + exp(-log_odds))
    odds = exp(log_odds)
    return odds / (1.0 + odds)
