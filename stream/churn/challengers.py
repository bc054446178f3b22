"""The models that learn beside the logistic regression, from a sample of each day's labels: trees, and the silence alone.

Whoever goes by nothing but the silence is the baseline that any model has to be worth more than. It forgets as the others do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from stream.churn.contest import RECENCY, TREES
from stream.churn.examples import Example, unpack
from stream.churn.features import FEATURES
from stream.churn.learner import Learner
from stream.churn.model import Formula
from stream.churn.trees import Trees

_SILENCE: Final = FEATURES[:1]


class Challengers:
    """All models but the logistic regression: learn, formulas out, out and in again as bytes."""

    def __init__(self, horizon_days: int) -> None:
        self._trees = Trees(horizon_days)
        self._recency = Learner(horizon_days, _SILENCE)

    def learn(self, examples: Sequence[Example], days: int) -> None:
        """Learns a sample of a day's labels, so many days after the last one."""
        self._trees.forget(days)
        self._recency.forget(days)
        known = [(f"{e.time_ms}:{e.customer}", unpack(e.values), e.churned) for e in examples]
        self._trees.learn(known)
        for _, vector, churned in known:
            self._recency.learn(vector[:1], churned)

    def loosen(self, *, level_only: bool = False) -> None:
        """The shop has changed: what was learnt is worth less than what is to come; or only how many leave."""
        self._trees.loosen(level_only=level_only)
        self._recency.loosen(level_only=level_only)

    def formulas(self) -> Mapping[str, Formula]:
        """What each says, by name."""
        trees, shift = self._trees.freeze()
        (silence,), (scaled, bias) = _SILENCE, self._recency.weights
        weight = scaled / silence.scale
        alone = (weight, *[0.0] * (len(FEATURES) - 1))
        return {TREES: Formula(shift, (), trees), RECENCY: Formula(bias - weight * silence.centre, alone)}

    def state(self) -> bytes:
        """Everything needed to go on."""
        recency = self._recency.weights, self._recency.covariance.tolist()
        return msgspec.msgpack.encode([self._trees.state(), *recency])

    def restore(self, state: bytes) -> None:
        """Goes on from the state of others."""
        trees, weights, covariance = msgspec.msgpack.decode(state)
        self._trees.restore(trees)
        self._recency.restore(weights, np.array(covariance))
