"""Champion and challengers: judged alike, promoted beyond noise only, undone by a person, the same after a restart."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from stream.actions.message import Message, Stream
from stream.churn.contest import LOOKS, RECENCY, TREES, lead_of, sample
from stream.churn.examples import Example, pack
from stream.churn.features import FEATURES
from stream.churn.model import LOGISTIC
from stream.churn.quality import auc
from stream.churn.trainer import Trainer
from stream.config import make_settings
from stream.events.instants import DAY_MS
from stream.processor.epochs import Chosen, Coordinator, DayClosed, Examples
from stream.segments.population import Histograms
from tests.churn.test_trainer import examples

SETTINGS = make_settings(churn_horizon_days=7, churn_contest_labels_per_day=150)
START, DAYS = 10_000, 70


def shop_day(day: int, *, is_line: bool, count: int = 150) -> list[Example]:
    """A day's labels of a shop in which a line tells who stays, or in which only those in the middle do."""
    draw = random.Random(day)
    found = []
    for number in range(count):
        values = [f.centre + f.scale * draw.gauss(0, 1) for f in FEATURES]
        stays = values[5] > 0.9 if is_line else abs(values[0] - 4.0) < 0.8
        churned = draw.random() > (0.85 if stays else 0.15)
        found.append(Example((day - 7) * DAY_MS, f"c{number}", day, churned, 0.5, pack(values)))
    return found


def lived(days: range, *, is_line: bool, trainer: Trainer | None = None) -> Trainer:
    """A trainer that has lived through these days."""
    trainer = trainer or Trainer(SETTINGS)
    for day in days:
        trainer.learn(shop_day(day, is_line=is_line))
    return trainer


@pytest.fixture(scope="module")
def bent() -> Trainer:
    """After seventy days of a shop that no line can tell apart."""
    return lived(range(START, START + DAYS), is_line=False)


def test_a_challenger_that_is_better_is_promoted_once_and_told(bent: Trainer) -> None:
    """Trees, when no line can tell; with an event that says who, why and by how much; and they score from then on."""
    (event,) = [event for event in bent.events if event.kind == "promoted"]
    model = bent.freeze(START + DAYS)

    assert (TREES, LOGISTIC, "contest") == (event.champion, event.previous, event.by)
    assert "standard errors" in event.reason
    assert (TREES, LOGISTIC, False) == (model.kind, model.previous, model.is_pinned)
    assert model.trees
    stands = {contender.name: contender for contender in event.contenders}
    assert (stands[TREES].auc or 0.0) > (stands[LOGISTIC].auc or 0.0) + 0.1
    assert {LOGISTIC, TREES, RECENCY} == {standing.name for standing in model.contenders}


def test_a_model_that_is_right_is_not_replaced() -> None:
    """In a shop that a line can tell apart nobody is promoted; recency, which knows nothing there, is at chance."""
    trainer = lived(range(START, START + DAYS), is_line=True)
    stands = {standing.name: standing for standing in trainer.freeze(START + DAYS).contenders}

    assert [] == [event for event in trainer.events if event.kind == "promoted"]
    assert abs((stands[RECENCY].auc or 0.0) - 0.5) < 0.05
    assert 0 == stands[RECENCY].leads_since < LOOKS


def test_a_person_undoes_a_promotion_and_gives_it_back(bent: Trainer) -> None:
    """The model before scores again and stays however good the other is; a command counts once; then the contest decides again."""
    trainer = Trainer(SETTINGS)
    trainer.restore(bent.checkpoint())
    end = START + DAYS
    trainer.choose(LOGISTIC, "ann", 5, end)
    trainer.choose(LOGISTIC, "ann", 5, end)
    lived(range(end, end + 30), is_line=False, trainer=trainer)
    undone = trainer.freeze(end + 30)
    trainer.choose("", "ann", 6, end + 30)
    trainer.choose(LOGISTIC, "ann", 5, end + 30)  # read again after a restart
    lived(range(end + 30, end + 60), is_line=False, trainer=trainer)

    assert (LOGISTIC, TREES, True) == (undone.kind, undone.previous, undone.is_pinned)
    assert not undone.trees
    assert [("promoted", "ann"), ("released", "ann"), ("promoted", "contest")] == [
        (e.kind, e.by) for e in trainer.events
    ]
    assert TREES == trainer.freeze(end + 60).kind


def test_a_restored_contest_decides_the_same() -> None:
    """Checkpointed and restored every third day: the same champion on the same day, the same bytes."""
    first, second = Trainer(SETTINGS), Trainer(SETTINGS)
    told = []
    for day in range(START, START + DAYS):
        batch = shop_day(day, is_line=False)
        first.learn(batch)
        second.learn(random.Random(day).sample(batch, len(batch)))
        told += second.events
        second.events.clear()
        if day % 3 == 0:
            saved = second.checkpoint()
            second = Trainer(SETTINGS)
            second.restore(saved)
    assert first.events == told
    assert first.freeze(START + DAYS) == second.freeze(START + DAYS)
    assert first.checkpoint() == second.checkpoint()


def test_without_a_contest_nobody_else_learns(bent: Trainer) -> None:
    """The logistic regression scores, also after a restart from a version that trees scored; commands do nothing."""
    trainer = Trainer(make_settings(churn_horizon_days=7, churn_contest_labels_per_day=0))
    trainer.restore(bent.checkpoint())
    trainer.choose(TREES, "ann", 9, START + DAYS)

    assert "" == trainer.refused
    assert LOGISTIC == trainer.freeze(START + DAYS).kind
    assert [] == trainer.events


def test_the_lead_is_the_difference_of_areas_and_its_noise_is_that_of_other_samples() -> None:
    """Against areas under the curve computed by themselves, and the spread of a thousand bootstrap samples."""
    draw = np.random.default_rng(1)
    churned = draw.random(600) < 0.7
    ours, theirs = churned + draw.normal(0, 1.5, 600), churned + draw.normal(0, 2.0, 600)
    lead, noise = lead_of(ours, theirs, churned)
    others = []
    for _ in range(1_000):
        chosen = draw.integers(0, 600, 600)
        others.append(auc(ours[chosen], churned[chosen]) - auc(theirs[chosen], churned[chosen]))

    assert abs(lead - (auc(ours, churned) - auc(theirs, churned))) < 1e-12
    assert abs(noise / float(np.std(others)) - 1.0) < 0.1


def test_the_sample_is_the_same_in_any_order() -> None:
    """As many as asked for, drawn by what they are and not by where they come."""
    batch = examples(500, 3)
    shuffled = random.Random(1).sample(batch, len(batch))

    assert 40 == len(sample(batch, 40))
    assert list(sample(batch, 40)) == list(sample(shuffled, 40))
    assert batch[:30] == list(sample(batch[:30], 40))


def commanded() -> list[Message]:
    """What the topics get when a person lets recency score the customers of a young shop, and takes it back."""
    coordinator = Coordinator(SETTINGS, 1)
    found: list[Message] = []
    for day, chosen in enumerate((RECENCY, None, LOGISTIC), start=START):
        coordinator.contribute(Examples(partition=0, day=day, examples=shop_day(day, is_line=True)))
        if chosen is not None:
            coordinator.contribute(Chosen(model=chosen, by="ann", at_ms=day))
        coordinator.contribute(DayClosed(partition=0, day=day, histograms=Histograms()))
        epoch = coordinator.fold()
        assert epoch is not None and epoch.model is not None
        assert (chosen or RECENCY) == epoch.model.kind
        found += coordinator.told
    return found


def test_a_command_is_in_the_next_version_and_on_the_topic() -> None:
    """Whoever is chosen scores from the next day on, and that is told with its day."""
    rows = [msgspec.json.decode(m.value or b"") for m in commanded() if m.stream is Stream.MODELS]

    assert [("promoted", RECENCY), ("promoted", LOGISTIC)] == [(row["kind"], row["champion"]) for row in rows]
    assert ["1997-05-20T00:00:00Z", "1997-05-22T00:00:00Z"] == [row["happened_at"] for row in rows]
