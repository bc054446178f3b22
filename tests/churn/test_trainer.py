"""The trainer: as good as a batch fit, exact across restarts, honest about what it doesn't know yet."""

from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from stream.churn.examples import Example, pack, unpack
from stream.churn.features import FEATURES, NAMES, PRIOR
from stream.churn.learner import BIAS_VARIANCE, PRIOR_VARIANCE, Learner
from stream.churn.model import sigmoid
from stream.churn.trainer import Checkpoint, Trainer
from stream.config import Settings, make_settings

SETTINGS = Settings()
START = 10_000
_REPEATS = NAMES.index("repeats")


def examples(count: int, seed: int, *, day: int = START, strength: float = 1.0) -> list[Example]:
    """Customers whose churn depends on silence and repeats only; each day has 100 of them."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        values = [f.centre + f.scale * draw.gauss(0, 1) for f in FEATURES]
        log_odds = strength * (1.2 * (values[0] - 4.0) / 1.2 - 0.8 * (values[_REPEATS] - 0.9) / 0.8) + 0.5
        churned = draw.random() < sigmoid(log_odds)
        matured = day + number // 100
        found.append(Example((matured - 90) * 86_400_000, f"c{number}", matured, churned, 0.6, pack(values)))
    return found


def days(batch: list[Example]) -> list[list[Example]]:
    """The examples day by day."""
    found: dict[int, list[Example]] = {}
    for example in batch:
        found.setdefault(example.matured_day, []).append(example)
    return [found[day] for day in sorted(found)]


def trained(batch: list[Example], config: Settings = SETTINGS) -> Trainer:
    """A trainer that has lived through these examples."""
    trainer = Trainer(config)
    for day in days(batch):
        trainer.learn(day)
    return trainer


@pytest.fixture(scope="module")
def taught() -> Trainer:
    """A trainer with 3,000 labels."""
    return trained(examples(3_000, 1))


@settings(deadline=None)
@given(numbers=st.lists(st.floats(-20, 70), min_size=len(FEATURES), max_size=len(FEATURES)))
def test_the_frozen_model_says_what_river_says(taught: Trainer, numbers: list[float]) -> None:
    """For any vector the exported arithmetic and River's own pipeline give the same probability."""
    told = taught._learner.probability(numbers)
    assert math.isclose(told, taught.freeze(START).probability(numbers), rel_tol=1e-9, abs_tol=1e-12)


@settings(deadline=None)
@given(numbers=st.lists(st.floats(-20, 70), min_size=len(FEATURES), max_size=len(FEATURES)))
def test_contributions_sum_to_the_log_odds_exactly(taught: Trainer, numbers: list[float]) -> None:
    """Baseline and contributions, summed in any order, are the log-odds, to the last bit."""
    model = taught.freeze(START)
    parts = [model.baseline, *model.contributions(numbers)]
    assert model.log_odds(numbers) == math.fsum(parts) == math.fsum(reversed(parts))


def test_one_pass_is_as_good_as_a_batch_fit() -> None:
    """After one pass the weights are those of a batch fit of the same labels with the same prior, within the posterior's errors."""
    batch = examples(6_000, 2)
    scaled = np.array(
        [[*((v - f.centre) / f.scale for v, f in zip(unpack(e.values), FEATURES, strict=True)), 1.0] for e in batch]
    )
    churned = np.array([e.churned for e in batch])
    prior, variances = np.array(PRIOR), np.array([*[PRIOR_VARIANCE] * len(FEATURES), BIAS_VARIANCE])

    def loss(weights: NDArray[np.float64]) -> float:
        margins = np.where(churned, 1.0, -1.0) * (scaled @ weights)
        return float(np.logaddexp(0.0, -margins).sum() + ((weights - prior) ** 2 / variances).sum() / 2.0)

    fit = minimize(loss, prior, method="BFGS").x
    learner = Learner(90)
    for example in batch:
        learner.learn(unpack(example.values), example.churned)
    errors = np.sqrt(learner.covariance.diagonal())
    assert np.max(np.abs(np.array(learner.weights) - fit) / errors) < 1.0


def test_a_restored_trainer_goes_on_to_the_last_bit() -> None:
    """Checkpointed and restored after every day, a trainer publishes the same versions as an undisturbed one."""
    batch = examples(1_000, 3)
    disturbed = Trainer(SETTINGS)
    for day in days(batch):
        disturbed.learn(day)
        kept = disturbed.checkpoint()
        disturbed = Trainer(SETTINGS)
        disturbed.restore(kept)
    undisturbed = trained(batch)
    assert undisturbed.freeze(START + 20) == disturbed.freeze(START + 20)
    assert undisturbed.checkpoint() == disturbed.checkpoint()


def test_the_order_in_which_partitions_report_does_not_matter() -> None:
    """A day's examples in any order give the same model."""
    batch = examples(300, 4)
    shuffled = random.Random(5).sample(batch, len(batch))
    assert trained(batch).checkpoint() == trained(shuffled).checkpoint()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"river_version": "0.1"}, "the model was learnt with River 0.1, this is River"),
        ({"columns": ("silence",)}, "the model was learnt with other features"),
        ({"horizon_days": 30}, "the model was learnt for 30 days, the horizon is now 90"),
        ({"horizon_cycles": 2.5}, "the model was learnt for 2.5 own cycles, they are now 0"),
    ],
)
def test_a_checkpoint_of_another_version_starts_afresh_and_says_so(
    taught: Trainer, change: dict[str, object], why: str
) -> None:
    """Numbers that would mean something else are not used; the trainer learns again and tells why."""
    saved = msgspec.structs.replace(msgspec.msgpack.decode(taught.checkpoint(), type=Checkpoint), **change)
    trainer = Trainer(SETTINGS)
    trainer.restore(msgspec.msgpack.encode(saved))
    assert trainer.refused.startswith(why)
    assert "0 of 200 labels matured" == trainer.freeze(START).abstained


def test_a_damaged_checkpoint_starts_afresh_and_says_so() -> None:
    """Bytes that are no checkpoint do not stop the trainer."""
    trainer = Trainer(SETTINGS)
    trainer.restore(b"\xc1 not ours")
    assert trainer.refused.startswith("the model's checkpoint can't be read: ")


def test_it_abstains_until_both_kinds_of_customer_are_known() -> None:
    """Too few labels, too few who came back and too few who stayed away are each told in words; then it stops."""
    batch = examples(400, 6)
    bought = [e for e in batch if not e.churned]
    churned = [e for e in batch if e.churned]
    enough = make_settings(churn_min_labels=100)
    assert "57 of 100 labels matured" == trained(batch[:57], enough).abstains()
    assert (
        "only 3 of 103 customers bought again, 5 are needed" == trained(churned[:100] + bought[:3], enough).abstains()
    )
    assert "only 2 of 102 customers stayed away, 5 are needed" == trained(bought[:100] + churned[:2], enough).abstains()
    assert "" == trained(batch, enough).abstains()
    assert 0.0 < trained(batch[:57], enough).freeze(START).probability(unpack(batch[0].values)) < 1.0


def test_scores_are_judged_only_if_there_was_a_model(taught: Trainer) -> None:
    """A snapshot from before the first model teaches, but says nothing about the model's quality."""
    early = [msgspec.structs.replace(example, score=-1.0) for example in examples(100, 7)]
    assert 0 == trained(early).freeze(START).quality.pairs
    assert 3_000 == taught.freeze(START).quality.pairs


def test_it_recovers_when_customers_change_their_ways() -> None:
    """After an abrupt reversal, within 3,000 labels the model is right about the new customers again."""
    trainer = trained(examples(5_000, 8))
    for day in days(examples(3_000, 9, day=START + 50, strength=-1.0)):
        trainer.learn(day)
    model = trainer.freeze(START + 80)
    silence = model.names.index("silence")
    assert model.weights[silence] < 0.0


def test_a_feature_that_is_always_the_same_has_no_say() -> None:
    """In a shop without browsing events nobody's score depends on browsing."""
    quiet = []
    for example in examples(1_000, 10):
        values = [v if f.theme != "browsing" else 0.0 for v, f in zip(unpack(example.values), FEATURES, strict=True)]
        quiet.append(msgspec.structs.replace(example, values=pack(values)))
    model = trained(quiet).freeze(START)
    contributions = dict(zip(NAMES, model.contributions(unpack(quiet[0].values)), strict=True))
    assert 0.0 == contributions["views"] == contributions["visits"]
