"""Has the shop changed under the model? ADWIN over the losses of the judged scores, and how far the customers have moved.

ADWIN (Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", 2007) keeps a window of a stream and drops its
older part when the means of two parts differ by more than chance allows. It is River's, run anew over the window of judged
scores at the end of every day: 0.4 us each, nothing of it has to be stored, and a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DELTA = 1e-4
"""Chance of a false alarm, per look. Larger: the model forgets for nothing; smaller: a real change is noticed some hundred
labels later."""
LEAST_RISE = 0.02
"""How much the mean squared error must rise by to be worth forgetting for. Smaller: seasons, which come and go by themselves, count;
larger: only a catastrophe does."""


class Change(NamedTuple):
    """The latest change of the loss in a window of judged scores."""

    ago: int
    """Scores judged since."""
    rise: float
    """Mean loss since, less mean loss before; above 0: worse."""

    @property
    def is_drift(self) -> bool:
        """The model has become worse, and by enough to act upon."""
        return self.rise >= LEAST_RISE


def latest_change(scores: Sequence[float], outcomes: Sequence[bool]) -> Change | None:
    """The latest change in what scores were worth, oldest first; ``None`` when they were all alike.

    >>> good, bad = [0.9, 0.1] * 500, [0.1, 0.9] * 100
    >>> latest_change(good, [True, False] * 500) is None
    True
    >>> change = latest_change(good + bad, [True, False] * 600)
    >>> change.is_drift, 150 < change.ago < 400
    (True, True)
    """
    # Whoever only follows versions never asks, and goes without River and the seconds that it takes to import.
    from river.drift import ADWIN

    losses: NDArray[np.float64] = (np.asarray(scores, dtype=np.float64) - np.asarray(outcomes, dtype=np.float64)) ** 2
    detector, kept = ADWIN(delta=DELTA), 0  # type: ignore[no-untyped-call]
    for number, loss in enumerate(losses.tolist(), start=1):
        detector.update(loss)  # type: ignore[no-untyped-call]
        if detector.drift_detected:
            kept = number - int(detector.width)
    if not kept:
        return None
    return Change(len(losses) - kept, float(losses[kept:].mean() - losses[:kept].mean()))
