"""A shop that turns round overnight: noticed once, forgotten faster, and the trainer goes on from its checkpoint to the last bit."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.churn.drift import latest_change
from stream.churn.examples import Example, pack, unpack
from stream.churn.features import NAMES
from stream.churn.learner import Learner
from stream.churn.model import sigmoid
from stream.churn.quality import auc
from stream.churn.trainer import Trainer
from stream.config import Settings, make_settings
from stream.events.instants import DAY_MS

_REPEATS = NAMES.index("repeats")
A_DAY = 100
"""Labels."""
TURN, DAYS = 60, 75
"""Days after which what spoke for churn speaks against it, and days in all."""


def days_of_labels(trainer: Trainer, turn: int, seed: int = 1, *, season: bool = False) -> Iterator[int]:
    """Plays a shop day by day: scored by the trainer's version, then learnt; gives each day when it is over.

    At the turn the opposite holds, or, with ``season``, the same but for many more leaving than the few before.
    """
    chance = random.Random(seed)
    for day in range(DAYS):
        model = trainer.freeze(day)
        batch = []
        for number in range(A_DAY):
            values = [0.0] * len(NAMES)
            values[0], values[_REPEATS] = chance.gauss(4.0, 1.2), chance.gauss(0.9, 0.8)
            score = model.probability(values) if model.labels else -1.0
            batch.append(
                Example(
                    day * DAY_MS + number,
                    f"c{number}",
                    day + 90,
                    _churns(values, day >= turn and not season, chance, _level(day >= turn, season=season)),
                    score,
                    pack(values),
                )
            )
        trainer.learn(batch)
        yield day


def _level(turned: bool, *, season: bool) -> float:
    return (-1.0 if turned else 3.0) if season else 0.0


def _churns(values: list[float], turned: bool, chance: random.Random, fewer: float = 0.0) -> bool:
    log_odds = 1.5 * (values[0] - 4.0) - 1.5 * (values[_REPEATS] - 0.9) - fewer
    return chance.random() < sigmoid(-log_odds if turned else log_odds)


def worth(trainer: Trainer, turned: bool) -> float:
    """AUC of the trainer's version with fresh customers."""
    chance = random.Random(99)
    model, scores, outcomes = trainer.freeze(0), [], []
    for _ in range(3_000):
        values = [0.0] * len(NAMES)
        values[0], values[_REPEATS] = chance.gauss(4.0, 1.2), chance.gauss(0.9, 0.8)
        scores.append(model.probability(unpack(pack(values))))
        outcomes.append(_churns(values, turned, chance))
    return auc(np.array(scores), np.array(outcomes))


def recovered_after(turn: int = TURN) -> tuple[int, Trainer]:
    """Labels after the turn until the model is worth as much as before, and the trainer at the end."""
    trainer = Trainer(Settings())
    found = 0
    for day in days_of_labels(trainer, turn):
        if day == turn - 1:
            before = worth(trainer, turned=False)
        if day >= turn and not found and worth(trainer, turned=True) >= before - 0.03:
            found = (day - turn + 1) * A_DAY
    return found or DAYS * A_DAY, trainer


def test_the_model_recovers_from_an_abrupt_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 1,000 labels of the turn; without loosening it takes longer."""
    labels, trainer = recovered_after()
    monkeypatch.setattr(Learner, "loosen", lambda _, **__: None)
    stubborn, _ = recovered_after()

    assert trainer.drifts in (1, 2)
    assert labels <= 1_000 < stubborn


def test_a_season_has_the_level_learnt_again_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many more leave, but who leaves first is the same: the drift is noticed, and the evidence on everything but the level stays."""
    loosened: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    whole = Learner.loosen

    def loosen(learner: Learner, *, level_only: bool = False) -> None:
        before = learner.covariance.diagonal().copy()
        whole(learner, level_only=level_only)
        loosened.append((before, learner.covariance.diagonal().copy()))

    monkeypatch.setattr(Learner, "loosen", loosen)
    trainer = Trainer(make_settings(churn_contest_labels_per_day=0))
    for _ in days_of_labels(trainer, TURN, season=True):
        pass

    assert trainer.drifts == len(loosened) > 0
    for before, after in loosened:
        assert (before[:-1] == after[:-1]).all()
        assert after[-1] > before[-1]


def test_a_shop_that_stays_as_it_is_never_drifts() -> None:
    """Ten shops, 7,500 labels each."""
    for seed in range(10):
        trainer = Trainer(make_settings(churn_contest_labels_per_day=0))
        for _ in days_of_labels(trainer, DAYS, seed):
            pass
        assert 0 == trainer.drifts


def test_a_restored_trainer_notices_the_same() -> None:
    """From a checkpoint of any day on: the same drifts, and the same version to the last bit."""
    first, second = Trainer(Settings()), Trainer(Settings())
    for day, _ in zip(days_of_labels(first, TURN), days_of_labels(second, TURN), strict=True):
        if day % 7 == 5:
            saved = second.checkpoint()
            second.restore(saved)
    assert first.freeze(DAYS) == second.freeze(DAYS)
    assert first.checkpoint() == second.checkpoint()
    assert first.drifts


def test_becoming_better_is_no_drift() -> None:
    """A change there is, but nothing to forget for."""
    change = latest_change([0.1, 0.9] * 500 + [0.9, 0.1] * 300, [True, False] * 800)

    assert change is not None
    assert not change.is_drift
