"""Trees that everybody scores with: columns of plain numbers, no River, and what each feature adds to a score.

What a feature adds is found along the path from the root to the leaf: each split moves the expected log-odds from that of the node to
that of the child, and the move is the split's feature's (Saabas, "Interpreting random forests", 2014). So the parts sum to the
score exactly. Features near the root get a little more than by Shapley values, which cost exponentially more to find.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class FrozenTree(msgspec.Struct, frozen=True, array_like=True):
    """A binary tree, its nodes in depth-first order: the left child of a node is the next one.

    ``features`` are columns of the vector, −1 at a leaf; up to and with the threshold it goes left. ``values`` are log-odds of
    churn at a node, ``weights`` the labels that came by.
    """

    features: tuple[int, ...]
    thresholds: tuple[float, ...]
    rights: tuple[int, ...]
    values: tuple[float, ...]
    weights: tuple[float, ...]

    def scaled(self, slope: float) -> FrozenTree:
        """The same tree, ``slope`` times as sure."""
        return msgspec.structs.replace(self, values=tuple([slope * value for value in self.values]))

    def leaf(self, vector: Sequence[float]) -> int:
        """Where a vector ends.

        >>> tree = FrozenTree((1, -1, -1), (3.0, 0.0, 0.0), (2, 0, 0), (0.0, -1.0, 2.0), (30.0, 20.0, 10.0))
        >>> tree.leaf([9.0, 3.0]), tree.leaf([9.0, 3.1])
        (1, 2)
        """
        features, thresholds, at = self.features, self.thresholds, 0
        while (feature := features[at]) >= 0:
            at = at + 1 if vector[feature] <= thresholds[at] else self.rights[at]
        return at


def mean_log_odds(trees: Sequence[FrozenTree], vector: Sequence[float]) -> float:
    """The mean of what the trees say."""
    return sum([tree.values[tree.leaf(vector)] for tree in trees]) / len(trees)


def root_log_odds(trees: Sequence[FrozenTree]) -> float:
    """What they say of somebody of whom nothing is known."""
    return sum([tree.values[0] for tree in trees]) / len(trees)


def added_by_features(trees: Sequence[FrozenTree], vector: Sequence[float]) -> tuple[float, ...]:
    """What each feature adds to `root_log_odds`.

    >>> tree = FrozenTree((1, -1, -1), (3.0, 0.0, 0.0), (2, 0, 0), (0.5, -1.0, 2.0), (30.0, 20.0, 10.0))
    >>> root_log_odds([tree]), added_by_features([tree], [9.0, 5.0])
    (0.5, (0.0, 1.5))
    """
    added = [0.0] * len(vector)
    for tree in trees:
        features, thresholds, values, at = tree.features, tree.thresholds, tree.values, 0
        while (feature := features[at]) >= 0:
            below = at + 1 if vector[feature] <= thresholds[at] else tree.rights[at]
            added[feature] += values[below] - values[at]
            at = below
    return tuple([each / len(trees) for each in added])


def steps(trees: Sequence[FrozenTree], width: int) -> tuple[float, ...]:
    """How much each feature usually moves the log-odds, with the sign of its larger values' move: over all splits, by the share of the
    labels that come by.

    >>> tree = FrozenTree((1, -1, -1), (3.0, 0.0, 0.0), (2, 0, 0), (0.0, -1.0, 2.0), (30.0, 20.0, 10.0))
    >>> [round(step, 3) for step in steps([tree], 2)]
    [0.0, 1.333]
    """
    moved, signed = [0.0] * width, [0.0] * width
    for tree in trees:
        for at, feature in enumerate(tree.features):
            if feature < 0:
                continue
            left, right = at + 1, tree.rights[at]
            for child, sign in ((left, -1.0), (right, 1.0)):
                step = (tree.values[child] - tree.values[at]) * tree.weights[child] / max(tree.weights[0], 1.0)
                moved[feature] += abs(step)
                signed[feature] += sign * step
    return tuple([(m if s >= 0.0 else -m) / len(trees) for m, s in zip(moved, signed, strict=True)])
