"""Customers who are alike, found online: k-means over what is known of them, and names that say what sets each group apart.

River's `KMeans` moves the nearest centre a little towards each customer (after Sculley, "Web-scale k-means clustering", 2010). It learns in
the one place that learns all models, from a sample of the looks at customers whose labels matured, so it depends on no partition's
order. The first centres are customers who are as far from each other as can be (Gonzalez 1985): no random source, and no empty group.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter, mul
from typing import Any, Final

import msgspec

from stream.churn.contest import sample
from stream.churn.examples import Example, unpack
from stream.churn.features import FEATURES, NAMES

GROUPS: Final = 6
"""Groups. More: marketers don't tell them apart, and a scheme has seven classes at most; fewer: they are R, F and M again."""
LABELS_PER_DAY: Final = 200
"""Looks a day that are learnt from. More: time, 40 us each; fewer: a small change of the shop takes months to show."""
LEAST: Final = 300
"""Looks from which the first centres are chosen. Fewer: by chance among the first customers."""
PULL: Final = 0.01
"""How far a centre moves towards a customer. More: it follows the day; less: it stays where it began."""
APART: Final = 0.5
"""Standard deviations from the average customer from which a difference is in the name. Fewer: names for nothing."""
MOST_WORDS: Final = 2
"""Differences in a name. More: nobody reads it."""

_WORDS: Final = {
    "silence": ("silent for long", "bought lately"),
    "overdue": ("later than usual", "sooner than usual"),
    "repeats": ("many orders", "few orders"),
    "order_value": ("large orders", "small orders"),
    "views": ("looks around", "doesn't look around"),
    "returns": ("gives much back", "gives nothing back"),
}
"""Columns by which customers are grouped, and what more and less of each is called."""
_COLUMNS: Final = tuple((NAMES.index(name), next(f for f in FEATURES if f.name == name)) for name in _WORDS)
_picked = itemgetter(*[place for place, _ in _COLUMNS])


class Groups:
    """The nearest of some centres, in 2 µs: what is the same for all of them is left out of the squares of the distances, and the
    units are in the weights."""

    def __init__(self, centres: Sequence[Sequence[float]]) -> None:
        self._planes = []
        for centre in centres:
            weights = [value / feature.scale for value, (_, feature) in zip(centre, _COLUMNS, strict=True)]
            offset = sum([w * feature.centre for w, (_, feature) in zip(weights, _COLUMNS, strict=True)])
            self._planes.append((offset + sum([value * value for value in centre]) / 2, weights))

    def of(self, vector: Sequence[float]) -> int:
        """The group of a vector of features, from 1 on; 0 while there are none."""
        values, found, best = _picked(vector), 0, 0.0
        for number, (offset, weights) in enumerate(self._planes, 1):
            near = sum(map(mul, weights, values)) - offset
            if not found or near > best:
                found, best = number, near
        return found


class Clusters(msgspec.Struct, kw_only=True):
    """All that is known of the groups. Centres are in units of `Feature.scale` from `Feature.centre`."""

    centres: list[list[float]] = []
    waiting: list[list[float]] = []
    """Looks before there are centres."""
    count: int = 0
    means: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(_WORDS))
    squares: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(_WORDS))
    """Sums of squared differences from the mean (Welford)."""

    def learn(self, examples: Sequence[Example]) -> None:
        """Learns a day's looks, in canonical order."""
        points = [_point(unpack(example.values)) for example in sample(examples, LABELS_PER_DAY)]
        for point in points:
            self._count(point)
        if not self.centres:
            self.waiting = [*self.waiting, *points]
            if len(self.waiting) < LEAST:
                return
            points, self.waiting = self.waiting, []
            self.centres = _far_apart(points)
        if points:
            self._move(points)

    def groups(self) -> Groups:
        """What tells to which group somebody belongs."""
        return Groups(self.centres)

    def names(self) -> list[str]:
        """What sets each group apart from the average customer, the largest difference first."""
        return [_name(centre, self.means, self._spreads()) for centre in self.centres]

    # -- inside

    def _count(self, point: list[float]) -> None:
        self.count += 1
        before = [value - mean for value, mean in zip(point, self.means, strict=True)]
        self.means = [mean + step / self.count for mean, step in zip(self.means, before, strict=True)]
        after = [value - mean for value, mean in zip(point, self.means, strict=True)]
        self.squares = [s + a * b for s, a, b in zip(self.squares, before, after, strict=True)]

    def _spreads(self) -> list[float]:
        return [(square / max(1, self.count)) ** 0.5 for square in self.squares]

    def _move(self, points: Sequence[list[float]]) -> None:
        from river.cluster import KMeans

        model: Any = KMeans(n_clusters=len(self.centres), halflife=PULL, seed=1)
        model.centers = {at: dict(enumerate(centre)) for at, centre in enumerate(self.centres)}
        for point in points:
            model.learn_one(dict(enumerate(point)))
        self.centres = [[model.centers[at][i] for i in range(len(_WORDS))] for at in range(len(self.centres))]


def _point(vector: Sequence[float]) -> list[float]:
    return [(vector[place] - feature.centre) / feature.scale for place, feature in _COLUMNS]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return sum([(a - b) ** 2 for a, b in zip(one, other, strict=True)])


def _far_apart(points: Sequence[list[float]]) -> list[list[float]]:
    """Each the farthest from those before it; the first is the one farthest from the origin."""
    found = [max(points, key=lambda point: (_distance(point, [0.0] * len(point)), point))]
    while len(found) < GROUPS:
        found.append(max(points, key=lambda point: (min([_distance(point, each) for each in found]), point)))
    return [list(point) for point in found]


def _name(centre: Sequence[float], means: Sequence[float], spreads: Sequence[float]) -> str:
    """The name of a group.

    >>> _name([2.0, 0.0, -0.8, 0.1, 0.0, 0.0], [0.0] * 6, [1.0] * 6), _name([0.1] * 6, [0.0] * 6, [1.0] * 6)
    ('silent for long, few orders', 'like the average customer')
    """
    apart = [
        ((value - mean) / spread, words)
        for value, mean, spread, words in zip(centre, means, spreads, _WORDS.values(), strict=True)
        if spread > 0.0
    ]
    told = sorted((each for each in apart if abs(each[0]) >= APART), key=lambda each: -abs(each[0]))[:MOST_WORDS]
    return ", ".join([words[0] if step > 0.0 else words[1] for step, words in told]) or "like the average customer"
