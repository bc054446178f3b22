"""A shop that turns round overnight: noticed once, forgotten faster, and the trainer goes on from its checkpoint to the last bit."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from stream.churn.drift import latest_change
from stream.churn.examples import Example, pack, unpack
from stream.churn.features import NAMES
from stream.churn.learner import Learner
from stream.churn.model import sigmoid
from stream.churn.quality import auc
from stream.churn.trainer import Trainer
from stream.config import Settings, make_settings
from stream.events.instants import DAY_MS

A_DAY = 100
"""Labels."""
TURN, DAYS = 60, 75
"""Days after which what spoke for churn speaks against it, and days in all."""


def days_of_labels(trainer: Trainer, turn: int, seed: int = 1) -> Iterator[int]:
    """Plays a shop day by day: scored by the trainer's version, then learnt; gives each day when it is over."""
    chance = random.Random(seed)
    for day in range(DAYS):
        model = trainer.freeze(day)
        batch = []
        for number in range(A_DAY):
            values = [0.0] * len(NAMES)
            values[0], values[5] = chance.gauss(4.0, 1.2), chance.gauss(0.9, 0.8)
            score = model.probability(values) if model.labels else -1.0
            batch.append(
                Example(
                    day * DAY_MS + number,
                    f"c{number}",
                    day + 90,
                    _churns(values, day >= turn, chance),
                    score,
                    pack(values),
                )
            )
        trainer.learn(batch)
        yield day


def _churns(values: list[float], turned: bool, chance: random.Random) -> bool:
    log_odds = 1.5 * (values[0] - 4.0) - 1.5 * (values[5] - 0.9)
    return chance.random() < sigmoid(-log_odds if turned else log_odds)


def worth(trainer: Trainer, turned: bool) -> float:
    """AUC of the trainer's version with fresh customers."""
    chance = random.Random(99)
    model, scores, outcomes = trainer.freeze(0), [], []
    for _ in range(3_000):
        values = [0.0] * len(NAMES)
        values[0], values[5] = chance.gauss(4.0, 1.2), chance.gauss(0.9, 0.8)
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
    monkeypatch.setattr(Learner, "loosen", lambda _: None)
    stubborn, _ = recovered_after()

    assert trainer.drifts in (1, 2)
    assert labels <= 1_000 < stubborn


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
