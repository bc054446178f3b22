"""The population of buyers as histograms per partition, and the thresholds that one day's merge of them gives (C1, C5)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from stream.segments.histogram import add, bucket_of, move, quantile, score_bounds, value_of
from stream.segments.scales import Scales, Weights, scales_of
from stream.state.memory import Population

LIVING_DAYS = 365
"""A buyer belongs to the living population for this long after the last purchase: the longest rolling window."""


class Histograms(msgspec.Struct):
    """Counts over the living buyers of one or many partitions; mergeable and subtractable, exact in any order."""

    last_days: dict[int, int] = {}
    """UTC day of last purchase → customers. Days, not ages: nothing moves while nobody buys."""
    frequencies: dict[int, int] = {}
    """Orders in 365 days → customers."""
    monetary: dict[int, int] = {}
    """Bucket of money in 365 days → customers."""
    cycles: dict[int, int] = {}
    """Bucket of the median purchase gap → customers with a rhythm."""
    tiers: dict[str, int] = {}
    segments: dict[str, int] = {}
    """Tier and segment → customers, those who never bought included."""
    classes: dict[int, int] = {}
    """The same by the number of their classes in the other schemes."""
    cells: dict[int, int] = {}
    """Cell → customers; `stream.segments.cells`."""

    def count(self, contribution: Population, sign: int) -> None:
        """Adds (+1) or takes out (−1) one customer."""
        add(self.tiers, contribution.tier, sign)
        add(self.segments, contribution.segment, sign)
        add(self.classes, contribution.classes, sign)
        if not contribution.frequency:
            return
        add(self.last_days, contribution.last_day, sign)
        add(self.frequencies, contribution.frequency, sign)
        add(self.monetary, bucket_of(contribution.monetary_minor), sign)
        if contribution.cell:
            add(self.cells, contribution.cell, sign)
        if contribution.cycle_days:
            add(self.cycles, bucket_of(contribution.cycle_days), sign)

    def move(self, before: Population, now: Population) -> None:
        """As to take ``before`` out and to add ``now``, of one customer; touches only what differs."""
        if not before.frequency or not now.frequency:
            self.count(before, -1)
            self.count(now, +1)
            return
        if before.tier != now.tier:
            move(self.tiers, before.tier, now.tier)
        if before.segment != now.segment:
            move(self.segments, before.segment, now.segment)
        if before.classes != now.classes:
            move(self.classes, before.classes, now.classes)
        if before.cell != now.cell:
            self._move_cell(before.cell, now.cell)
        if before.last_day != now.last_day:
            move(self.last_days, before.last_day, now.last_day)
        if before.frequency != now.frequency:
            move(self.frequencies, before.frequency, now.frequency)
        if before.monetary_minor != now.monetary_minor:
            left, entered = bucket_of(before.monetary_minor), bucket_of(now.monetary_minor)
            if left != entered:
                move(self.monetary, left, entered)
        if before.cycle_days != now.cycle_days:
            if before.cycle_days:
                add(self.cycles, bucket_of(before.cycle_days), -1)
            if now.cycle_days:
                add(self.cycles, bucket_of(now.cycle_days), +1)

    def _move_cell(self, left: int, entered: int) -> None:
        if left and entered:
            move(self.cells, left, entered)
        elif left:
            add(self.cells, left, -1)
        else:
            add(self.cells, entered, +1)

    @classmethod
    def merged(cls, parts: Iterable[Histograms]) -> Histograms:
        """The histograms of all partitions together."""
        sums: dict[str, Counter[Any]] = {name: Counter() for name in cls.__struct_fields__}
        for part in parts:
            for name, counts in sums.items():
                counts.update(getattr(part, name))
        return cls(**{name: dict(counts) for name, counts in sums.items()})


class Thresholds(msgspec.Struct, frozen=True):
    """What scores a customer against the population; one version a UTC day."""

    day: int
    """The UTC day from whose start these hold; they were counted at the end of the day before."""
    buyers: int
    recency_bounds: tuple[int, ...]
    frequency_bounds: tuple[int, ...]
    monetary_bounds: tuple[int, ...]
    median_cycle_days: float
    """Median of the customers' own median gaps, 0.0 before anybody has one."""
    scales: Scales | None = None
    """What ranks everybody in the schemes by population share."""

    def scores(self, last_day: int, frequency: int, monetary_minor: int) -> tuple[int, int, int]:
        """(R, F, M), each 1 to 5, 5 best; as `stream.segments.histogram.score` has them."""
        return (
            bisect_left(self.recency_bounds, last_day) + 1,
            bisect_left(self.frequency_bounds, frequency) + 1,
            bisect_left(self.monetary_bounds, bucket_of(monetary_minor)) + 1,
        )


def thresholds(
    day: int,
    population: Histograms,
    weights: Weights = (300, 250, 250, 200),
    value_weights: Weights = (400, 300, 300, 0),
    major: int = 100,
) -> Thresholds | None:
    """The thresholds that hold from UTC day ``day`` on; ``None`` before anybody has bought. The weights and ``major`` are those of
    `Scales`."""
    living = {last: n for last, n in population.last_days.items() if last > day - LIVING_DAYS}
    recency = score_bounds(living)
    frequency = score_bounds(population.frequencies)
    monetary = score_bounds(population.monetary)
    if recency is None or frequency is None or monetary is None:
        return None
    cycle = quantile(population.cycles, 0.5)
    return Thresholds(
        day,
        sum(living.values()),
        recency,
        frequency,
        monetary,
        0.0 if cycle is None else round(value_of(cycle), 6),
        scales_of(day, population.cells, weights, value_weights, major) if population.cells else None,
    )
