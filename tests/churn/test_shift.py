"""Feature drift: the same however looks are shared out, told once, and kept across restarts."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from stream.churn.examples import unpack
from stream.churn.features import FEATURES, NAMES
from stream.churn.shift import LEAST_LOOKS, Shifts, Totals, add
from stream.churn.trainer import Trainer
from stream.config import Settings
from tests.churn.test_trainer import START, days, examples

MEANS, SPREADS = [f.centre for f in FEATURES], [f.scale for f in FEATURES]
_VECTORS = st.lists(st.lists(st.floats(-50, 50), min_size=len(FEATURES), max_size=len(FEATURES)), max_size=12)


@given(_VECTORS, st.randoms(use_true_random=False))
def test_it_is_the_same_however_looks_are_shared_out(vectors: list[list[float]], chance: Random) -> None:
    """Added up one by one, or by several partitions in any order: to the last bit."""
    at_once: Totals = {}
    parts: list[Totals] = [{}, {}, {}]
    for vector in vectors * LEAST_LOOKS:
        add(at_once, START, vector)
        add(parts[chance.randrange(3)], START, vector)
    one, many = Shifts(30, FEATURES), Shifts(30, FEATURES)
    one.see(START, list(at_once.values()))
    for part in reversed(parts):
        many.see(START, list(part.values()))
    if vectors:  # what is told of late is over
        many.see(START - 30, [(LEAST_LOOKS, [1] * len(FEATURES))])
    assert one.measure(MEANS, SPREADS) == many.measure(MEANS, SPREADS)
    if vectors:
        mean = sum(vector[0] for vector in vectors) / len(vectors)
        assert abs(one.measure(MEANS, SPREADS)["silence"] - (mean - MEANS[0]) / SPREADS[0]) < 1e-3


def test_customers_unlike_those_learnt_from_are_told_once() -> None:
    """Not while they are alike; once when they come to differ, across a restart too; again when they had been alike between."""
    trainer = Trainer(Settings())
    for batch in days(examples(1_000, 3)):
        trainer.learn(batch)
    trainer.events.clear()

    def look(trainer: Trainer, day: int, silence: float) -> list[str]:
        totals: Totals = {}
        for example in examples(200, day):
            vector = list(unpack(example.values))
            vector[0] += silence
            add(totals, day, vector)
        trainer.see(day, [totals[day]])
        told = [event.reason for event in trainer.events]
        trainer.events.clear()
        return told

    assert look(trainer, START + 20, 0.0) == []
    (reason,) = look(trainer, START + 60, 3.0)
    assert "silence by +2." in reason
    assert abs(trainer.freeze(START + 61).shifts["silence"] - 2.5) < 0.3
    heir = Trainer(Settings())
    heir.restore(trainer.checkpoint())
    assert heir.freeze(START + 61) == trainer.freeze(START + 61)
    assert look(heir, START + 61, 3.0) == []
    assert look(heir, START + 100, 0.0) == []
    assert len(look(heir, START + 140, 3.0)) == 1
    assert set(heir.freeze(START + 141).shifts) == set(NAMES)
