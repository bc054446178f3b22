"""Groups by hashing: of the right size, independent, and stable."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stream.experiments.assignment import arm_of
from stream.rules.experiment import CONTROL, Experiment, Variant

MANY = [f"customer-{number}" for number in range(20_000)]


def plan(holdout: float, *weights: int, salt: str = "") -> Experiment:
    """Variants v0, v1, … of these weights."""
    variants = tuple(Variant(f"v{n}", weight, "t", "email", None, 0) for n, weight in enumerate(weights))
    return Experiment(variants=variants, holdout_share=holdout, salt=salt, window_ms=1)


def shares(experiment: Experiment, rule: str = "r") -> dict[str, float]:
    """Of many customers."""
    counted = Counter(arm_of(rule, 1, customer, experiment) for customer in MANY)
    return {arm: number / len(MANY) for arm, number in counted.items()}


@given(st.floats(0.02, 0.5), st.lists(st.integers(1, 9), min_size=2, max_size=5), st.text(max_size=5))
def test_groups_have_the_size_that_was_asked_for(holdout: float, weights: list[int], salt: str) -> None:
    """Within five standard deviations of 20,000 draws."""
    found = shares(plan(holdout, *weights, salt=salt))
    wanted = {CONTROL: holdout} | {f"v{n}": (1 - holdout) * w / sum(weights) for n, w in enumerate(weights)}

    for arm, share in wanted.items():
        assert abs(found.get(arm, 0) - share) < 5 * (share * (1 - share) / len(MANY)) ** 0.5, arm


def test_rules_versions_and_salts_draw_independently() -> None:
    """Of those held out of one rule, the same share is held out of another as of everybody."""
    base = [customer for customer in MANY if arm_of("r", 1, customer, plan(0.3)) == CONTROL]
    others = (("s", 1, plan(0.3)), ("r", 2, plan(0.3)), ("r", 1, plan(0.3, salt="autumn")))
    for rule, version, experiment in others:
        held = sum(arm_of(rule, version, customer, experiment) == CONTROL for customer in base) / len(base)
        assert abs(held - 0.3) < 0.03


def test_a_bandits_weights_move_nobody_into_or_out_of_the_hold_out() -> None:
    """And a variant that gains weight keeps those whom it had."""
    experiment = plan(0.2, 1, 1)
    for customer in MANY[:2_000]:
        even, moved = arm_of("r", 1, customer, experiment), arm_of("r", 1, customer, experiment, (0.9, 0.1))
        assert (even == CONTROL) == (moved == CONTROL)
        assert even != "v0" or moved == "v0"
    assert {"v0"} == {arm_of("r", 1, customer, plan(0.0, 1, 1), (1.0, 0.0)) for customer in MANY[:500]}
