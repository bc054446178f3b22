"""A tree ensemble that learns online: River's Hoeffding trees, each on its own features and its own share of the labels.

A Hoeffding tree splits a leaf when as many labels as it has seen make it all but certain which split is best (Domingos & Hulten,
"Mining high-speed data streams", 2000). Trees differ by online bagging, Poisson weights instead of drawing with replacement (Oza &
Russell 2001), and by random subspaces (Ho 1998). Both come out of hashes, so nothing has to be remembered of a random source. ADWIN
watches the loss of each tree; one that has become worse is planted anew (ADWIN bagging; Bifet and others, "New ensemble methods for
evolving data streams", 2009). Trees that adapt branch by branch (River's `HoeffdingAdaptiveTreeClassifier`) took seven times as long.

A leaf counts since it was made, so trees can't follow the weather. The mean of their log-odds goes through a logistic regression of
its own, which forgets as the linear model does (Platt 1999, learnt online): it sets their level and their confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, factorial, log
from typing import Any, Final

import msgspec
import numpy as np
from river import drift, stats, tree
from river.proba import Gaussian
from river.tree.nodes.branch import NumericBinaryBranch
from river.tree.nodes.htc_nodes import LeafMajorityClass
from river.tree.splitter import GaussianSplitter

from stream.churn.drift import DELTA, LEAST_RISE
from stream.churn.features import NAMES, Feature, Theme
from stream.churn.frozen_trees import FrozenTree
from stream.churn.learner import Learner
from stream.churn.model import sigmoid
from stream.churn.plain import from_plain, to_plain
from stream.events.hashing import hash64

TREES: Final = 5
"""Trees. More: no better on CDNOW and Ta-Feng, and each costs as much again; fewer: the probabilities are steps."""
FEATURES_PER_TREE: Final = 8
"""How many of the features a tree may split by. More: the trees become alike; fewer: some know nothing worth knowing."""
DEEPEST: Final = 5
"""Splits from root to leaf, so at most 32 leaves a tree: what bounds memory and the time to score."""
LABELS_PER_LOOK: Final = 100
"""Labels that a leaf takes between two looks for a split. Fewer: more time; more: trees grow later."""
CERTAINTY: Final = 1e-4
"""Chance that a split isn't the best one. Smaller: trees stay stumps for a year; larger: they follow chance."""
STRENGTH: Final = 20.0
"""Labels that a node's parent counts for in its churn rate (hierarchical shrinkage, Agarwal and others 2022). Fewer: new leaves are sure
of themselves; more: splits hardly matter."""

_BITS: Final = 10
_MASK: Final = (1 << _BITS) - 1
"""Each tree draws from its own bits of an example's hash."""
_POISSON: Final = tuple(sum(exp(-1.0) / factorial(k) for k in range(n + 1)) for n in range(6))
"""Chance of at most 0, 1, … of a Poisson variable of mean 1."""
_WEIGHTS: Final = tuple(sum(place / (_MASK + 1) >= most for most in _POISSON) for place in range(_MASK + 1))
_LEVEL: Final = (Feature("trees", "log-odds", Theme.SILENCE, 0.0, 1.0, "mean of the trees"),)
_COUNTS: Final = (
    "_n_active_leaves",
    "_n_inactive_leaves",
    "_train_weight_seen_by_model",
)
_CHANCE: Final = "chance"
_CLASSES: Final[dict[str, type]] = {
    "leaf": LeafMajorityClass,
    "branch": NumericBinaryBranch,
    "splitter": GaussianSplitter,
    "gaussian": Gaussian,
    "variance": stats.Var,
    "mean": stats.Mean,
    "adwin": drift.ADWIN,
    "window": type(drift.ADWIN()._helper),  # type: ignore[no-untyped-call]  # noqa: SLF001
}
"""All that a tree is made of."""


class Trees:
    """The ensemble: learn, freeze, out and in again as plain data."""

    def __init__(self, horizon_days: int) -> None:
        self._trees = [_fresh() for _ in range(TREES)]
        self._watches = [_watch() for _ in range(TREES)]
        self._level = Learner(horizon_days, _LEVEL)
        self._level.restore((1.0, 0.0), self._level.covariance)
        self.replanted = 0
        """How many trees had become worse and were planted anew."""

    def learn(self, examples: Sequence[tuple[str, Sequence[float], bool]]) -> None:
        """Learns a day's examples: what names each (and so decides what it weighs in each tree), its figures, and whether they churned.

        How far the trees are to be believed is learnt first, from labels that they haven't seen.
        """
        raw = self._raw()
        is_worse = [False] * TREES
        for _, vector, churned in examples:
            said = [each.values[each.leaf(vector)] for each in raw]
            self._level.learn((sum(said) / TREES,), churned)
            for number, (watch, log_odds) in enumerate(zip(self._watches, said, strict=True)):
                before = watch.estimation
                watch.update((sigmoid(log_odds) - churned) ** 2)
                is_worse[number] |= watch.drift_detected and watch.estimation >= before + LEAST_RISE
        hashes = [hash64(key) for key, _, _ in examples]
        for number, names in enumerate(_SUBSETS):
            if is_worse[number]:
                self._trees[number], self._watches[number] = _fresh(), _watch()
                self.replanted += 1
            for drawn, (_, vector, churned) in zip(hashes, examples, strict=True):
                if weight := _WEIGHTS[drawn >> _BITS * number & _MASK]:
                    figures = {name: vector[_PLACES[name]] for name in names}
                    self._trees[number].learn_one(figures, churned, w=weight)

    def forget(self, days: int) -> None:
        """Lets days pass since the last example."""
        self._level.forget(days)

    def loosen(self, *, level_only: bool = False) -> None:
        """The shop has changed: how far the trees are to be believed is to be learnt again, or only the level."""
        self._level.loosen(level_only=level_only)

    def freeze(self) -> tuple[tuple[FrozenTree, ...], float]:
        """The trees as everybody scores with them, and what is to be added to the mean of their log-odds."""
        slope, shift = self._level.weights
        return tuple(each.scaled(slope) for each in self._raw()), shift

    def state(self) -> bytes:
        """Everything needed to go on."""
        rows = [
            [
                to_plain(made._root, _CLASSES, _given(made), _CHANCE),  # noqa: SLF001
                to_plain(watch, _CLASSES, {}),
                sorted(made.classes),
                *[getattr(made, name) for name in _COUNTS],
            ]
            for made, watch in zip(self._trees, self._watches, strict=True)
        ]
        level = self._level.weights, self._level.covariance.tolist()
        return msgspec.msgpack.encode([_SUBSETS, rows, *level, self.replanted])

    def restore(self, state: bytes) -> None:
        """Goes on from the state of another ensemble; not from one whose trees had other features."""
        subsets, *others = msgspec.msgpack.decode(state)
        if [list(names) for names in _SUBSETS] != subsets:
            return
        rows, weights, covariance, self.replanted = others
        self._watches = [from_plain(row[1], _CLASSES, {}) for row in rows]
        for made, (root, _, classes, *counts) in zip(self._trees, rows, strict=True):
            made._root = from_plain(root, _CLASSES, _given(made))  # noqa: SLF001
            made.classes = set(classes)
            for name, count in zip(_COUNTS, counts, strict=True):
                setattr(made, name, count)
        self._level.restore(weights, np.array(covariance))

    def _raw(self) -> tuple[FrozenTree, ...]:
        return tuple(_frozen(made) for made in self._trees)


def _fresh() -> Any:
    return tree.HoeffdingTreeClassifier(
        grace_period=LABELS_PER_LOOK, max_depth=DEEPEST, delta=CERTAINTY, leaf_prediction="mc"
    )


def _watch() -> Any:
    return drift.ADWIN(delta=DELTA)  # type: ignore[no-untyped-call]


def _given(made: Any) -> dict[str, Any]:
    """What nodes share with their tree, and a random source for all that have one and never ask it."""
    return {"splitter": made.splitter, _CHANCE: Gaussian()._rng}  # type: ignore[no-untyped-call]  # noqa: SLF001


def _subset(number: int) -> tuple[str, ...]:
    """The features of a tree: those that a hash puts first, and the silence, without which nothing can be said."""
    others = sorted(NAMES[1:], key=lambda name: hash64(f"{number}:{name}"))
    return (NAMES[0], *others[: FEATURES_PER_TREE - 1])


_SUBSETS: Final = tuple(_subset(number) for number in range(TREES))
_PLACES: Final = {name: place for place, name in enumerate(NAMES)}


def _frozen(made: Any) -> FrozenTree:
    """A tree of River's as columns of plain numbers."""
    features: list[int] = []
    thresholds: list[float] = []
    rights: list[int] = []
    values: list[float] = []
    weights: list[float] = []

    def put(node: Any, above: float) -> None:
        place, (stayed, left) = len(features), _counts(node)
        rate = (left + STRENGTH * above) / (stayed + left + STRENGTH)
        is_leaf = not hasattr(node, "children")
        features.append(-1 if is_leaf else _PLACES[node.feature])
        thresholds.append(0.0 if is_leaf else float(node.threshold))
        rights.append(0)
        values.append(log(rate / (1.0 - rate)))
        weights.append(stayed + left)
        if not is_leaf:
            put(node.children[0], rate)
            rights[place] = len(features)
            put(node.children[1], rate)

    root = made._root  # noqa: SLF001
    if root is None:
        return FrozenTree((-1,), (0.0,), (0,), (0.0,), (0.0,))
    put(root, 0.5)
    return FrozenTree(tuple(features), tuple(thresholds), tuple(rights), tuple(values), tuple(weights))


def _counts(node: Any) -> tuple[float, float]:
    """Labels under a node: came back, stayed away."""
    if hasattr(node, "children"):
        (stayed_a, left_a), (stayed_b, left_b) = map(_counts, node.children)
        return stayed_a + stayed_b, left_a + left_b
    return float(node.stats.get(False, 0.0)), float(node.stats.get(True, 0.0))
