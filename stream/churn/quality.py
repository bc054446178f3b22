"""How good the churn scores were: scored first, judged when the label matured (prequential evaluation).

Dawid, "The Prequential Approach" (1984); with delayed labels as in Gama, Sebastião, Rodrigues, "On evaluating stream
learning algorithms" (2013). Deterministic: the window holds the newest pairs in the order in which they were learnt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

WINDOW = 10_000
"""Pairs that the figures are about. Fewer: the AUC of a shop with few churners is noise; more: a model that went bad
is seen late, and the trainer's checkpoint grows by 5 bytes each."""
BINS = 10
"""Bins of the calibration error, of equal width."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over a window of ``pairs`` scores and labels; ``None`` when not defined (no pairs, or one class only)."""

    pairs: int
    churn_rate: float | None = None
    auc: float | None = None
    """Area under the ROC curve: the chance that a churner was scored above a buyer; 0.5 is guessing."""
    brier: float | None = None
    """Mean squared difference of probability and outcome; 0 is perfect."""
    calibration_error: float | None = None
    """Mean distance of predicted and observed churn rate over `BINS` bins, weighted by their size; 0 is perfect. A
    perfect model shows about 0.06 at 200 pairs, by chance."""
    lift_quality: float | None = None
    """See `lift_quality`; 0 is random, 1 is perfect."""


UNKNOWN = Quality(pairs=0)


class Prequential:
    """The newest `WINDOW` pairs of score and label."""

    def __init__(self, pairs: Iterable[tuple[float, bool]] = ()) -> None:
        self._pairs: deque[tuple[float, bool]] = deque(maxlen=WINDOW)
        self._measured: Quality | None = None
        for score, churned in pairs:
            self.add(score, churned)

    def add(self, score: float, churned: bool) -> None:
        """Judges a score that was given before the label was known; kept in the precision of `to_bytes`."""
        self._pairs.append((float(np.float32(score)), churned))
        self._measured = None

    @property
    def window(self) -> tuple[list[float], list[bool]]:
        """Scores and labels, oldest first."""
        return [score for score, _ in self._pairs], [churned for _, churned in self._pairs]

    def measure(self) -> Quality:
        """The figures over the window."""
        if self._measured is None:
            scores = np.array([score for score, _ in self._pairs], dtype=np.float64)
            labels = np.array([churned for _, churned in self._pairs], dtype=np.bool_)
            self._measured = measure(scores, labels)
        return self._measured

    def to_bytes(self) -> tuple[bytes, bytes]:
        """Scores (float32, which snapshots carry) and labels (a byte each)."""
        scores = np.array([score for score, _ in self._pairs], dtype="<f4")
        return scores.tobytes(), bytes(churned for _, churned in self._pairs)

    @classmethod
    def from_bytes(cls, scores: bytes, labels: bytes) -> Prequential:
        """The window in bytes of `to_bytes`."""
        return cls(zip(np.frombuffer(scores, dtype="<f4").tolist(), map(bool, labels), strict=True))


def measure(scores: NDArray[np.float64], churned: NDArray[np.bool_]) -> Quality:
    """All figures of probabilities against outcomes.

    >>> measure(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, True])).auc
    1.0
    """
    count = len(scores)
    if not count:
        return UNKNOWN
    rate = float(churned.mean())
    both = 0.0 < rate < 1.0
    return Quality(
        pairs=count,
        churn_rate=rate,
        auc=auc(scores, churned) if both else None,
        brier=float(np.mean((scores - churned) ** 2)),
        calibration_error=calibration_error(scores, churned),
        lift_quality=lift_quality(scores, churned) if both else None,
    )


def auc(scores: NDArray[np.float64], churned: NDArray[np.bool_]) -> float:
    """Area under the ROC curve by the rank sum, ties at their mid-rank (Mann & Whitney 1947); needs both classes."""
    _, place, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(sizes) - (sizes - 1) / 2.0
    positives = int(churned.sum())
    rank_sum = float(mid_rank[place][churned].sum())
    return (rank_sum - positives * (positives + 1) / 2.0) / (positives * (len(scores) - positives))


def calibration_error(scores: NDArray[np.float64], churned: NDArray[np.bool_]) -> float:
    """Expected calibration error over `BINS` equal-width bins (Naeini, Cooper, Hauskrecht 2015)."""
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(place, weights=scores - churned, minlength=BINS)
    return float(np.abs(gaps).sum() / len(scores))


def lift_quality(scores: NDArray[np.float64], churned: NDArray[np.bool_]) -> float:
    """Average lift over all audience sizes, scaled so that random order is 0 and perfect order is 1.

    Lift at size k is the churn rate among the k highest scores over the overall churn rate; the figure is
    ``(mean lift − 1) / (perfect mean lift − 1)``. Equal scores share their churners evenly. Needs both classes. After
    the measure that Braze publishes for its churn predictions ("Prediction Quality").

    >>> lift_quality(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
    1.0
    >>> lift_quality(np.array([0.5, 0.5, 0.5, 0.5]), np.array([True, True, False, False]))
    0.0
    """
    count, positives = len(scores), int(churned.sum())
    sizes = np.arange(1, count + 1)
    _, place, group = np.unique(-scores, return_inverse=True, return_counts=True)
    shared = np.bincount(place, weights=churned)[np.sort(place)] / np.repeat(group, group)
    found = float((np.cumsum(shared) / sizes).mean())
    perfect = float((np.minimum(sizes, positives) / sizes).mean())
    rate = positives / count
    return (found - rate) / (perfect - rate)
