"""Are the customers whom the model scores now like those it has learnt from? Feature drift, without waiting for a label (MISSION D5).

Every buyer is looked at once a period. The sums of what is seen at these looks are compared with the moments of the features that
labels were learnt with, a horizon ago and before: a shift is the difference of the means in standard deviations of the learnt ones
(Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988: 0.2 is small, 0.5 medium, 0.8 large). Whole numbers are
summed, so that it is the same however customers are shared out over partitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from stream.churn.features import Feature

UNIT = 1_024
"""Values are summed in steps of 1/1,024, the precision that snapshots have. Coarser: shares of tenth parts get lost."""
LARGE = 0.8
"""Standard deviations from which on a shift is told. Smaller: seasons are told every year; larger: only what a table shows anyway."""
OVER = 0.5
"""… and down to which it counts as the same one. Nearer to `LARGE`: one that wavers is told again and again."""
LEAST_SPREAD = 0.25
"""Standard deviations are taken to be this much of a feature's usual scale at least. Smaller: what nobody had yet (an anniversary in a
shop's first year) is a hundred deviations away when the first one has it; larger: shifts of what is rare aren't seen."""
LEAST_LOOKS = 100
"""Looks in a period. Fewer: the mean of some customers is chance."""

Sums = tuple[int, list[int]]
"""Looks, and the sum of each feature in `UNIT`."""
Totals = dict[int, Sums]
"""UTC day of the looks → sums."""


def add(seen: Totals, day: int, values: Sequence[float]) -> None:
    """Adds one look.

    >>> seen: Totals = {}
    >>> add(seen, 7, [0.5, -1.0]); add(seen, 7, [0.25, 0.0]); seen
    {7: (2, [768, -1024])}
    """
    whole = [round(value * UNIT) for value in values]
    looks, sums = seen.get(day, (0, None))
    seen[day] = looks + 1, whole if sums is None else [a + b for a, b in zip(sums, whole, strict=True)]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All of a `Shifts`, for the checkpoint."""

    days: Totals = {}
    told: tuple[str, ...] = ()


class Shifts:
    """The looks of the latest period, and which shifts have been told."""

    def __init__(self, period_days: int, features: Sequence[Feature]) -> None:
        self._period_days = period_days
        self._features = features
        self._days: Totals = {}
        self._told: set[str] = set()

    def see(self, day: int, seen: Sequence[Sums]) -> None:
        """The looks of a UTC day, of all partitions; those of a period before the newest are over, whenever they are told of."""
        for looks, sums in seen:
            known, before = self._days.get(day, (0, [0] * len(sums)))
            self._days[day] = known + looks, [a + b for a, b in zip(before, sums, strict=True)]
        over_day = max(self._days, default=day) - self._period_days
        for old in [old for old in self._days if old <= over_day]:
            del self._days[old]

    def measure(self, means: Sequence[float], spreads: Sequence[float]) -> dict[str, float]:
        """Feature → standard deviations that its mean over the latest period is above the learnt one. Nothing before there are
        `LEAST_LOOKS`."""
        looks = sum(looks for looks, _ in self._days.values())
        if looks < LEAST_LOOKS:
            return {}
        sums = [sum(column) for column in zip(*[sums for _, sums in self._days.values()], strict=True)]
        return {
            feature.name: (total / UNIT / looks - mean) / max(spread, LEAST_SPREAD * feature.scale)
            for feature, total, mean, spread in zip(self._features, sums, means, spreads, strict=True)
        }

    def news(self, shifts: Mapping[str, float]) -> list[str]:
        """The features that have come to be shifted by `LARGE`, the farthest first; each is told once until it is back within `OVER`."""
        found = [name for name, by in shifts.items() if abs(by) >= LARGE and name not in self._told]
        self._told = {name for name in self._told if abs(shifts.get(name, 0.0)) > OVER} | set(found)
        return sorted(found, key=lambda name: (-abs(shifts[name]), name))

    def state(self) -> State:
        """For the checkpoint."""
        return State(days=self._days, told=tuple(sorted(self._told)))

    def restore(self, state: State) -> None:
        """Goes on from a checkpoint."""
        self._days, self._told = dict(state.days), set(state.told)
