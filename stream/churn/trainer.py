"""The one trainer: folds matured examples in canonical order into the model, day by day, and publishes frozen versions.

A pure fold: the same examples give the same weights, wherever and however often it is restored in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.churn.drift import latest_change
from stream.churn.examples import Example, unpack
from stream.churn.features import COLUMNS, FEATURES, LAYOUT, NAMES
from stream.churn.model import FrozenModel
from stream.churn.quality import Prequential
from stream.config import Settings

if TYPE_CHECKING:
    from stream.churn.learner import Learner

RARE_SHARE = 20
"""One in this many of ``churn_min_labels`` must be of the rarer class before a score is trusted: with 200, that is 10
customers who came back. Fewer: their accidents are the model; more: shops with few returners wait for ever."""


class Checkpoint(msgspec.Struct, kw_only=True):
    """All of a trainer's state. Plain numbers: reading one can't run anything."""

    river_version: str
    columns: tuple[str, ...]
    horizon_days: int
    weights: tuple[float, ...]
    covariance: bytes
    """float64, row by row."""
    means: tuple[float, ...]
    variances: tuple[float, ...]
    labels: int
    churned: int
    learnt_day: int
    scores: bytes
    outcomes: bytes
    judged: int = 0
    drifted_at: int = 0
    drifts: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Checkpoint)


class _Moments:
    """Running mean and variance of each feature, by Welford's recurrence, as in River's ``StandardScaler``.

    Not that itself: importing it brings scikit-learn and its like along, which took 3 s of every worker's start.
    """

    def __init__(self) -> None:
        self.count = 0
        self.means: NDArray[np.float64] = np.zeros(len(NAMES))
        self.variances: NDArray[np.float64] = np.zeros(len(NAMES))

    def learn(self, vector: Sequence[float]) -> None:
        """One more example."""
        values = np.asarray(vector, dtype=np.float64)
        self.count += 1
        before = values - self.means
        self.means += before / self.count
        self.variances += (before * (values - self.means) - self.variances) / self.count


class Trainer:
    """Learns examples, tells how good the scores were, and freezes versions."""

    def __init__(self, settings: Settings) -> None:
        self._horizon_days = settings.churn_horizon_days
        self._min_labels = settings.churn_min_labels
        self.refused = ""
        """Why the last `restore` started afresh, empty when it didn't. For the log: the model learns again."""
        self._made: Learner | None = None
        self._moments = _Moments()
        self._quality = Prequential()
        self._learnt_day = 0
        self.labels = 0
        """Labels learnt."""
        self.churned = 0
        """How many of them were "churned"."""
        self._judged = 0
        self._drifted_at = 0
        """How many scores had been judged when the latest drift began that the model was loosened for."""
        self.drifts = 0
        """How often the shop has changed under the model."""

    def learn(self, examples: Iterable[Example]) -> None:
        """Learns a day's examples, in canonical order whatever the order they come in.

        A score that was given with the snapshot is judged before its label is learnt.
        """
        batch = sorted(examples, key=_canonical)
        if not batch:
            return
        day = max(example.matured_day for example in batch)
        if self.labels:
            self._learner.forget(day - self._learnt_day)
        self._learnt_day = max(day, self._learnt_day)
        for example in batch:
            vector = unpack(example.values)
            if example.score >= 0.0:
                self._quality.add(example.score, example.churned)
                self._judged += 1
            self._learner.learn(vector, example.churned)
            self._moments.learn(vector)
            self.labels += 1
            self.churned += example.churned
        self._look_for_drift()

    def freeze(self, day: int) -> FrozenModel:
        """The version that holds from the start of UTC day ``day``."""
        *scaled, bias = self._learner.weights if self.labels else (0.0,) * len(COLUMNS)
        weights = [weight / feature.scale for weight, feature in zip(scaled, FEATURES, strict=True)]
        means = self._moments.means.tolist()
        average = [(mean - feature.centre) for mean, feature in zip(means, FEATURES, strict=True)]
        baseline = bias + sum(weight * mean for weight, mean in zip(weights, average, strict=True))
        return FrozenModel(
            day=day,
            layout=LAYOUT,
            horizon_days=self._horizon_days,
            names=NAMES,
            means=tuple(means),
            spreads=tuple(variance**0.5 for variance in self._moments.variances.tolist()),
            weights=tuple(weights),
            baseline=baseline,
            labels=self.labels,
            churned=self.churned,
            quality=self._quality.measure(),
            abstained=self.abstains(),
            river_version=river_version(),
            drifts=self.drifts,
            judged_since_drift=self._judged - self._drifted_at if self.drifts else 0,
        )

    def abstains(self) -> str:
        """Why the model's scores must not be acted upon yet, in words; empty when they may.

        >>> Trainer(Settings()).abstains()
        '0 of 200 labels matured'
        """
        if self.labels < self._min_labels:
            return f"{self.labels} of {self._min_labels} labels matured"
        least = max(5, self._min_labels // RARE_SHARE)
        bought = self.labels - self.churned
        if bought < least:
            return f"only {bought} of {self.labels} customers bought again, {least} are needed"
        if self.churned < least:
            return f"only {self.churned} of {self.labels} customers stayed away, {least} are needed"
        return ""

    def checkpoint(self) -> bytes:
        """Everything needed to go on, for the epochs topic."""
        scores, outcomes = self._quality.to_bytes()
        return _encoder.encode(
            Checkpoint(
                river_version=river_version(),
                columns=COLUMNS,
                horizon_days=self._horizon_days,
                weights=self._learner.weights,
                covariance=self._learner.covariance.astype("<f8").tobytes(),
                means=tuple(self._moments.means.tolist()),
                variances=tuple(self._moments.variances.tolist()),
                labels=self.labels,
                churned=self.churned,
                learnt_day=self._learnt_day,
                scores=scores,
                outcomes=outcomes,
                judged=self._judged,
                drifted_at=self._drifted_at,
                drifts=self.drifts,
            )
        )

    def restore(self, checkpoint: bytes) -> None:
        """Goes on exactly where a checkpoint was made.

        One from another version of River, of the features or of the horizon is not used: its numbers would mean
        something else. The trainer then starts afresh and says so in `refused`; open snapshots teach it again.
        """
        self._forget_all()
        try:
            saved = _decoder.decode(checkpoint)
        except msgspec.DecodeError as error:
            self.refused = f"the model's checkpoint can't be read: {error}"
            return
        self.refused = self._mismatch(saved)
        if self.refused:
            return
        size = len(COLUMNS)
        self._learner.restore(saved.weights, np.frombuffer(saved.covariance, dtype="<f8").reshape(size, size))
        self._moments.count = saved.labels
        self._moments.means = np.array(saved.means)
        self._moments.variances = np.array(saved.variances)
        self._quality = Prequential.from_bytes(saved.scores, saved.outcomes)
        self.labels, self.churned, self._learnt_day = saved.labels, saved.churned, saved.learnt_day
        self._judged, self._drifted_at, self.drifts = saved.judged, saved.drifted_at, saved.drifts

    # -- inside

    def _look_for_drift(self) -> None:
        """Loosens the model once for each drift. Before it is trusted there is nothing to drift from."""
        if self.abstains():
            return
        change = latest_change(*self._quality.window)
        # The same change is found again as long as the window holds it, a little earlier or later.
        if change is not None and change.is_drift and self._judged - change.ago > self._drifted_at:
            self._learner.loosen()
            self._drifted_at = self._judged
            self.drifts += 1

    @property
    def _learner(self) -> Learner:
        if self._made is None:
            # River takes 2 s of CPU to import, which history without a label does without.
            from stream.churn.learner import Learner

            self._made = Learner(self._horizon_days)
        return self._made

    def _forget_all(self) -> None:
        self._made = None
        self._moments = _Moments()
        self._quality = Prequential()
        self._learnt_day = 0
        self.labels = self.churned = 0
        self._judged = self._drifted_at = self.drifts = 0

    def _mismatch(self, saved: Checkpoint) -> str:
        if saved.river_version != river_version():
            return f"the model was learnt with River {saved.river_version}, this is River {river_version()}"
        if saved.columns != COLUMNS:
            return "the model was learnt with other features"
        if saved.horizon_days != self._horizon_days:
            return f"the model was learnt for {saved.horizon_days} days, the horizon is now {self._horizon_days}"
        return ""


def _canonical(example: Example) -> tuple[int, str]:
    return example.time_ms, example.customer


def river_version() -> str:
    """Version of the installed River."""
    return metadata.version("river")
