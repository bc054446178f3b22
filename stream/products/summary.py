"""Counts of the frequent in bounded memory: lossy counting, with a count that fades.

After Manku & Motwani, "Approximate frequency counts over data streams" (VLDB 2002): counts are kept exactly until there are too
many keys; then the rarest go, and the largest of them is the most that any key can be short by from then on. Fading is forward
(Cormode et al., "Forward decay", ICDE 2009): a new count weighs more, so that no old one has to be touched.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_MOST_WEIGHT = 2.0**40
"""Weights are brought down to 1 again beyond this. Larger: small counts lose digits beside large ones."""


class Summary(msgspec.Struct, array_like=True):
    """Counts by key in units of ``weight``, a count of today."""

    counts: dict[int, float] = {}
    weight: float = 1.0
    lost: float = 0.0
    """The most that a key may be short by."""
    day: int = 0
    """UTC day of ``weight``."""

    def go_on(self, day: int, half_life_days: int) -> None:
        """A count of this day weighs twice that of ``half_life_days`` before."""
        if self.day and day > self.day:
            self.weight *= 2.0 ** ((day - self.day) / half_life_days)
        self.day = max(self.day, day)
        if self.weight > _MOST_WEIGHT:
            scale = 1.0 / self.weight
            self.counts = {key: count * scale for key, count in self.counts.items()}
            self.lost, self.weight = self.lost * scale, 1.0

    def add(self, keys: Iterable[int], weight: float) -> None:
        """Counts each key once, with a weight of today."""
        counts, weight = self.counts, weight * self.weight
        get = counts.get
        for key in keys:
            counts[key] = get(key, 0.0) + weight

    def trim(self, most: int) -> None:
        """Lets the rarest go when there are more keys than ``most``; of equals those with the larger key.

        >>> seen = Summary()
        >>> seen.add([1, 1, 1, 2, 2, 3, 4], 1.0); seen.trim(2)
        >>> seen.counts, seen.lost
        ({1: 3.0, 2: 2.0}, 1.0)
        """
        counts = self.counts
        if len(counts) > most:
            least = sorted(counts.values(), reverse=True)[most]
            kept = {key: count for key, count in counts.items() if count > least}
            if len(kept) < most:
                equals = sorted([key for key, count in counts.items() if count == least])
                kept.update(dict.fromkeys(equals[: most - len(kept)], least))
            self.lost += least
            self.counts = kept

    def count(self, key: int) -> float:
        """How often a key was seen, in counts of today."""
        return self.counts.get(key, 0.0) / self.weight
