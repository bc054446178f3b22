"""The one trainer: folds matured examples in canonical order into the model, day by day, and publishes frozen versions.

A pure fold: the same examples give the same weights, wherever and however often it is restored in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import metadata
from operator import mul
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.actions.model_event import Contender, Happening, ModelEvent, model_event_id
from stream.churn.calendar import period_ms
from stream.churn.contest import Contest, State, sample
from stream.churn.drift import latest_change, ranks_worse
from stream.churn.examples import Example, unpack
from stream.churn.features import COLUMNS, FEATURES, LAYOUT, NAMES
from stream.churn.frozen_trees import root_log_odds
from stream.churn.model import LOGISTIC, UNLEARNT, Formula, FrozenModel, linear
from stream.churn.quality import Prequential
from stream.churn.shift import Shifts, Sums
from stream.churn.shift import State as ShiftState
from stream.config import Settings
from stream.events.instants import DAY_MS, to_text

if TYPE_CHECKING:
    from stream.churn.challengers import Challengers
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
    level_only: bool = False
    horizon_cycles: float = 0.0
    contest: State | None = None
    challengers: bytes = b""
    shifts: ShiftState = ShiftState()


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
        self._horizon_cycles = settings.churn_horizon_cycles
        self._min_labels = settings.churn_min_labels
        self.refused = ""
        """Why the last `restore` started afresh, empty when it didn't. For the log: the model learns again."""
        self._contest_labels = settings.churn_contest_labels_per_day
        self._made: Learner | None = None
        self._others: Challengers | None = None
        self._contest = self._fresh_contest()
        self.events: list[ModelEvent] = []
        """What has happened to the model since somebody emptied this."""
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
        self._level_only = False
        """By the latest drift nothing but the level has been loosened."""
        self.drifts = 0
        """How often the shop has changed under the model."""
        self._shifts = self._fresh_shifts()
        self._shifted: dict[str, float] = {}

    def learn(self, examples: Iterable[Example]) -> None:
        """Learns a day's examples, in canonical order whatever the order they come in.

        A score that was given with the snapshot is judged before its label is learnt.
        """
        batch = sorted(examples, key=_canonical)
        if not batch:
            return
        day = max(example.matured_day for example in batch)
        drawn = sample(batch, self._contest_labels)
        self._contest.judge(drawn)
        passed = day - self._learnt_day if self.labels else 0
        if passed:
            self._learner.forget(passed)
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
        if drawn:
            self._challengers.learn(drawn, passed)
        self._look_for_drift()
        if self._contest_labels:
            if self._contest.wants_versions(day + 1):
                self._contest.keep_versions(day + 1, self._formulas())
            self._look_at_contenders(day)

    def see(self, day: int, seen: Sequence[Sums]) -> None:
        """What customers were like who were looked at on a UTC day: tells when they are unlike those whose labels were learnt."""
        self._shifts.see(day, seen)
        if not self.labels:
            return
        self._shifted = self._shifts.measure(self._moments.means.tolist(), self._spreads())
        if self.abstains():
            return
        news = self._shifts.news(self._shifted)
        if news:
            by = ", ".join(f"{name} by {self._shifted[name]:+.1f}" for name in news)
            why = f"customers are unlike those learnt from, in standard deviations: {by}"
            self._tell("drifted", day + 1, None, "feature drift", why)

    def choose(self, name: str, by: str, at_ms: int, day: int) -> None:
        """A person's command: from UTC day ``day`` on ``name`` scores the customers and stays, or with an empty one the contest decides.

        Followed once, whatever is read twice; one that names nobody who takes part changes nothing.
        """
        if not self._contest_labels or not self._contest.follow(name, at_ms):
            return
        if not name:
            self._tell("released", day, None, by, "the contest decides again who scores the customers")
        elif name == self._contest.champion:
            self._tell("pinned", day, None, by, "stays until it is released")
        else:
            previous = self._contest.champion
            self._contest.crown(name, day)
            self._tell("promoted", day, previous, by, "chosen by a person, and stays until it is released")

    def freeze(self, day: int) -> FrozenModel:
        """The version that holds from the start of UTC day ``day``."""
        means = self._moments.means.tolist() if self.labels else [feature.centre for feature in FEATURES]
        kind = self._contest.champion if self.labels else LOGISTIC
        formula = self._logistic() if kind == LOGISTIC else self._challengers.formulas()[kind]
        weights = formula.weights or (0.0,) * len(NAMES)
        # Of an average customer; of trees, of somebody of whom nothing is known.
        baseline = formula.constant + sum(map(mul, weights, means))
        if formula.trees:
            baseline += root_log_odds(formula.trees)
        return FrozenModel(
            day=day,
            layout=LAYOUT,
            horizon_days=self._horizon_days,
            names=NAMES,
            means=tuple(means),
            spreads=tuple(self._spreads()),
            weights=weights,
            baseline=baseline,
            labels=self.labels,
            churned=self.churned,
            quality=self._quality.measure(),
            abstained=self.abstains(),
            river_version=river_version(),
            drifts=self.drifts,
            judged_since_drift=self._judged - self._drifted_at if self.drifts else 0,
            horizon_cycles=self._horizon_cycles,
            kind=kind,
            previous=self._contest.previous,
            is_pinned=self._contest.is_pinned,
            trees=formula.trees,
            contenders=self._contest.standings,
            shifts=self._shifted,
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
                level_only=self._level_only,
                horizon_cycles=self._horizon_cycles,
                contest=self._contest.state() if self._contest_labels else None,
                challengers=b"" if self._others is None else self._others.state(),
                shifts=self._shifts.state(),
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
        self._level_only = saved.level_only
        self._shifts.restore(saved.shifts)
        self._shifted = self._shifts.measure(self._moments.means.tolist(), self._spreads()) if self.labels else {}
        # Whoever has switched the contest off is scored by the logistic regression again.
        if self._contest_labels and saved.contest is not None:
            self._contest.restore(saved.contest)
            if saved.challengers:
                self._challengers.restore(saved.challengers)

    # -- inside

    def _spreads(self) -> list[float]:
        return [float(variance**0.5) for variance in self._moments.variances.tolist()]

    def _logistic(self) -> Formula:
        return linear(self._learner.weights) if self.labels else UNLEARNT

    def _formulas(self) -> dict[str, Formula]:
        return {LOGISTIC: self._logistic(), **self._challengers.formulas()}

    def _look_at_contenders(self, day: int) -> None:
        """Promotes whoever has been better for long enough. Nobody is while no score is to be trusted."""
        name = self._contest.look(day)
        if not name or self.abstains():
            return
        previous = self._contest.champion
        (led,) = [standing for standing in self._contest.standings if standing.name == name]
        why = f"its AUC is higher by {led.lead:.4f}, {led.lead / max(led.noise, 1e-9):.1f} standard errors, over {led.judged} labels"
        self._contest.crown(name, day + 1)
        self._tell("promoted", day + 1, previous, "contest", why)

    def _tell(self, kind: Happening, day: int, previous: str | None, by: str, reason: str) -> None:
        happened_at = to_text(day * DAY_MS)
        contenders = tuple(
            [
                Contender(name=s.name, judged=s.judged, auc=s.auc, brier=s.brier, calibration_error=s.calibration_error)
                for s in self._contest.standings
            ]
        )
        self.events.append(
            ModelEvent(
                event_id=model_event_id(kind, happened_at, self._contest.champion, by if kind == "drifted" else ""),
                kind=kind,
                happened_at=happened_at,
                champion=self._contest.champion,
                previous=previous,
                by=by,
                reason=reason,
                contenders=contenders,
            )
        )

    def _look_for_drift(self) -> None:
        """Loosens the model once for each drift. Before it is trusted there is nothing to drift from."""
        if self.abstains():
            return
        window = self._quality.window
        change = latest_change(*window)
        # The same change is found again as long as the window holds it, a little earlier or later.
        if change is None or not change.is_drift:
            return
        if self._judged - change.ago > self._drifted_at:
            self._loosen(level_only=not ranks_worse(*window, change.ago))
            self._drifted_at = self._judged
            self.drifts += 1
            why = f"the mean squared error rose by {change.rise:.3f}, {change.ago} scores ago"
            self._tell("drifted", self._learnt_day + 1, None, "drift detector", why)
        elif self._level_only and ranks_worse(*window, self._judged - self._drifted_at):
            # Noticed too early to tell what it was.
            self._loosen(level_only=False)

    def _loosen(self, *, level_only: bool) -> None:
        self._level_only = level_only
        self._learner.loosen(level_only=level_only)
        if self._others is not None:
            self._others.loosen(level_only=level_only)

    @property
    def _learner(self) -> Learner:
        if self._made is None:
            # River takes 2 s of CPU to import, which history without a label does without.
            from stream.churn.learner import Learner

            self._made = Learner(self._horizon_days)
        return self._made

    @property
    def _challengers(self) -> Challengers:
        if self._others is None:
            from stream.churn.challengers import Challengers

            self._others = Challengers(self._horizon_days)
        return self._others

    def _fresh_contest(self) -> Contest:
        return Contest(self._horizon_days, period_ms(self._horizon_days) // DAY_MS)

    def _fresh_shifts(self) -> Shifts:
        return Shifts(period_ms(self._horizon_days) // DAY_MS, FEATURES)

    def _forget_all(self) -> None:
        self._shifts, self._shifted = self._fresh_shifts(), {}
        self._made = self._others = None
        self._contest = self._fresh_contest()
        self._moments = _Moments()
        self._quality = Prequential()
        self._learnt_day = 0
        self.labels = self.churned = 0
        self._judged = self._drifted_at = self.drifts = 0
        self._level_only = False

    def _mismatch(self, saved: Checkpoint) -> str:
        if saved.river_version != river_version():
            return f"the model was learnt with River {saved.river_version}, this is River {river_version()}"
        if saved.columns != COLUMNS:
            return "the model was learnt with other features"
        if saved.horizon_days != self._horizon_days:
            return f"the model was learnt for {saved.horizon_days} days, the horizon is now {self._horizon_days}"
        if saved.horizon_cycles != self._horizon_cycles:
            return (
                f"the model was learnt for {saved.horizon_cycles:g} own cycles, they are now {self._horizon_cycles:g}"
            )
        return ""


def _canonical(example: Example) -> tuple[int, str]:
    return example.time_ms, example.customer


def river_version() -> str:
    """Version of the installed River."""
    return metadata.version("river")
