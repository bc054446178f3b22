"""Is the churn model as good for everybody? AUC, false alarms and alerts by region, channel and tier (MISSION D5).

Counted from the labels that mature: each look at a customer was scored before anybody knew, and belongs to the groups that the
customer was in. A look *alarms* if an alert could come of it: the score is at or above the threshold, and the silence is long enough
(`stream.churn.alerts`); that the score was below before isn't asked. A false alarm is one for somebody who then bought.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import expm1
from typing import Final

import msgspec
import numpy as np

from stream.churn.alerts import SILENCE_SHARE
from stream.churn.calendar import HALF_LIFE_HORIZONS
from stream.churn.examples import Example, unpack
from stream.churn.features import NAMES, cycle_days_of
from stream.config import Settings

KINDS: Final = ("region", "channel", "tier")
"""What customers are grouped by, in the order of `Example.groups`."""
BINS: Final = 40
"""Scores are counted in so many bins, which makes an AUC right to about a thousandth. More: a larger version every day."""
MOST_GROUPS: Final = 40
"""Groups of one kind. More are counted as `OTHER`: regions are free text, and nobody reads hundreds of rows."""
OTHER: Final = "other"
UNKNOWN_GROUP: Final = "unknown"
LEAST: Final = 100
"""Looks behind a figure. Fewer: it is chance, and isn't told."""

_SILENCE = NAMES.index("silence")


class Count(msgspec.Struct, array_like=True):
    """Looks at one group, older ones counting less: by bin of the score and by outcome, and how many of them alarm."""

    kind: str
    name: str
    bought: list[float]
    churned: list[float]
    alarms_bought: float = 0.0
    alarms_churned: float = 0.0


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one group; ``None`` where there are fewer than `LEAST` looks to go by."""

    kind: str
    name: str
    looks: float
    """How many, an older one counting less."""
    churn_rate: float
    auc: float | None
    false_alarm_rate: float | None
    """Alarms among those who bought."""
    alarm_rate: float
    """Alarms among all."""


class Fairness:
    """The counts of all groups."""

    def __init__(self, settings: Settings) -> None:
        self._threshold = settings.churn_threshold
        self._quiet_days = settings.churn_quiet_days
        self._horizon_days = settings.churn_horizon_days
        self._counts: dict[tuple[str, str], Count] = {}
        self._day = 0

    def take(self, day: int, examples: Iterable[Example]) -> None:
        """Counts a day's labels that were scored, after older ones have faded as they do in the model."""
        if self._day:
            self._fade(0.5 ** ((day - self._day) / (HALF_LIFE_HORIZONS * self._horizon_days)))
        self._day = day
        for example in examples:
            if example.score < 0.0:
                continue
            is_alarm = self._alarms(example)
            place = min(int(example.score * BINS), BINS - 1)
            for kind, name in zip(KINDS, example.groups or ("",) * len(KINDS), strict=True):
                count = self._count(kind, name or UNKNOWN_GROUP)
                if example.churned:
                    count.churned[place] += 1.0
                    count.alarms_churned += is_alarm
                else:
                    count.bought[place] += 1.0
                    count.alarms_bought += is_alarm

    def state(self) -> tuple[int, list[Count]]:
        """The day of the latest counts, and the counts."""
        return self._day, [self._counts[key] for key in sorted(self._counts)]

    def restore(self, day: int, counts: Sequence[Count]) -> None:
        """Goes on from the counts of another."""
        self._day = day
        self._counts = {(count.kind, count.name): msgspec.structs.replace(count) for count in counts}

    # -- inside

    def _alarms(self, example: Example) -> bool:
        if example.score < self._threshold:
            return False
        values = unpack(example.values)
        silent_days = expm1(values[_SILENCE])
        usual_days = cycle_days_of(values) or self._horizon_days
        return silent_days >= self._quiet_days and silent_days >= SILENCE_SHARE * usual_days

    def _count(self, kind: str, name: str) -> Count:
        found = self._counts.get((kind, name))
        if found is None:
            if sum(each == kind for each, _ in self._counts) >= MOST_GROUPS:
                name = OTHER
            found = self._counts.setdefault((kind, name), Count(kind, name, [0.0] * BINS, [0.0] * BINS))
        return found

    def _fade(self, share: float) -> None:
        for count in self._counts.values():
            count.bought = [each * share for each in count.bought]
            count.churned = [each * share for each in count.churned]
            count.alarms_bought *= share
            count.alarms_churned *= share


def groups(counts: Iterable[Count]) -> list[Group]:
    """The figures, by kind, the largest groups first.

    >>> [group] = groups([Count("tier", "low", [90.0, 10.0], [10.0, 90.0], 10.0, 90.0)])
    >>> group.auc, group.false_alarm_rate, group.alarm_rate, group.churn_rate
    (0.9, 0.1, 0.5, 0.5)
    """
    found = [_group(count) for count in counts]
    return sorted(found, key=lambda group: (KINDS.index(group.kind), -group.looks, group.name))


def _group(count: Count) -> Group:
    bought, churned = np.array(count.bought), np.array(count.churned)
    stayed, left = float(bought.sum()), float(churned.sum())
    looks = stayed + left
    # Those in one bin are in no order: they count half.
    right = float((churned * (np.cumsum(bought) - bought / 2.0)).sum())
    is_known = min(stayed, left) >= LEAST / 2
    return Group(
        kind=count.kind,
        name=count.name,
        looks=round(looks, 1),
        churn_rate=left / looks if looks else 0.0,
        auc=right / (stayed * left) if is_known else None,
        false_alarm_rate=count.alarms_bought / stayed if stayed >= LEAST / 2 else None,
        alarm_rate=(count.alarms_bought + count.alarms_churned) / looks if looks else 0.0,
    )
