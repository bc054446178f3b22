"""Has the shop changed under the model? ADWIN over the losses of the judged scores. Of the customers themselves: `stream.churn.shift`.

ADWIN (Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", 2007) keeps a window of a stream and drops its
older part when the means of two parts differ by more than chance allows. It is River's, run anew over the window of judged
scores at the end of every day: 0.4 us each, nothing of it has to be stored, and a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.churn.quality import auc

DELTA = 1e-4
"""Chance of a false alarm, per look. Larger: the model forgets for nothing; smaller: a real change is noticed some hundred
labels later."""
LEAST_RISE = 0.02
"""How much the mean squared error must rise by to be worth forgetting for. Smaller: seasons, which come and go by themselves, count;
larger: only a catastrophe does."""


LEAST_FALL = 0.05
"""How much the AUC must fall by for a change to be one of who is at risk. Smaller: chance; larger: what was turned round is defended."""
_SIGMAS = 3.0
_LEAST_OF_EACH = 10
"""Churners and buyers on each side of a change. Fewer: an AUC of them is chance."""


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


def ranks_worse(scores: Sequence[float], outcomes: Sequence[bool], ago: int) -> bool:
    """Has it become harder to tell who is at risk, since so many scores, or have only more (or fewer) customers left?

    A season, a holiday or a sale changes how many leave. The scores are off then, and the level has to be learnt again; but who leaves
    first stays the same, and a model that forgets this as well is worse for months. By the AUC before and after, which no level moves,
    and its standard error (Hanley & McNeil, "The meaning and use of the area under a ROC curve", 1982).

    >>> high, low = [0.9, 0.1] * 200, [True, False] * 200
    >>> ranks_worse(high + high, low + [False, True] * 200, 400)
    True
    >>> ranks_worse(high + [0.9, 0.9, 0.9, 0.1] * 100, low + [True, True, True, False] * 100, 400)
    False
    """
    told: NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    truth: NDArray[np.bool_] = np.asarray(outcomes, dtype=np.bool_)
    if not 0 < ago < len(truth):
        return False
    sides = []
    for side in (slice(None, -ago), slice(-ago, None)):
        churned = int(truth[side].sum())
        bought = len(truth[side]) - churned
        if min(churned, bought) < _LEAST_OF_EACH:
            return False
        area = auc(told[side], truth[side])
        both_churned, both_bought = area / (2.0 - area), 2.0 * area * area / (1.0 + area)
        spread = (
            area * (1.0 - area)
            + (churned - 1) * (both_churned - area * area)
            + (bought - 1) * (both_bought - area * area)
        )
        sides.append((area, spread / (churned * bought)))
    (before, noise_before), (after, noise_after) = sides
    noise = float(noise_before + noise_after) ** 0.5
    return bool(before - after > max(LEAST_FALL, _SIGMAS * noise))
