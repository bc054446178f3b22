"""The figures of quality, against scikit-learn and by their definitions."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from stream.churn.quality import UNKNOWN, WINDOW, Prequential, lift_quality, measure

PAIRS = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=2, max_size=60)


@given(pairs=PAIRS.filter(lambda pairs: len({churned for _, churned in pairs}) == 2))
def test_auc_and_brier_are_scikit_learns(pairs: list[tuple[float, bool]]) -> None:
    """With ties and any sizes, AUC and Brier score equal the reference's."""
    scores, churned = np.array([s for s, _ in pairs]), np.array([c for _, c in pairs])
    quality = measure(scores, churned)
    assert quality.auc is not None and quality.brier is not None
    assert math.isclose(roc_auc_score(churned, scores), quality.auc, abs_tol=1e-12)
    assert math.isclose(brier_score_loss(churned, scores), quality.brier, abs_tol=1e-12)


def test_calibration_error_is_the_mean_distance_of_the_bins() -> None:
    """Two bins of two pairs, off by 0.05 and by 0.45, give their mean."""
    quality = measure(np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, False, True, False]))
    assert math.isclose((0.05 + 0.45) / 2, quality.calibration_error or 0.0)


def test_lift_quality_of_the_worst_order_is_negative_and_of_constant_scores_zero() -> None:
    """Perfect order is 1, no order 0, and the reverse of perfect below 0."""
    churned = np.array([True] * 3 + [False] * 7)
    best = np.linspace(1, 0, 10)
    assert 1.0 == lift_quality(best, churned)
    assert math.isclose(0.0, lift_quality(np.full(10, 0.3), churned), abs_tol=1e-12)
    assert lift_quality(-best, churned) < 0.0


def test_one_class_alone_has_no_auc() -> None:
    """Without both outcomes ranking figures are unknown, not 0.5; without pairs all are."""
    assert measure(np.array([0.2, 0.4]), np.array([True, True])).auc is None
    assert UNKNOWN == Prequential().measure()


def test_the_window_forgets_the_oldest_and_survives_a_restart() -> None:
    """Beyond `WINDOW` pairs only the newest count, and bytes bring back the same figures."""
    window = Prequential((0.25, False) for _ in range(WINDOW))
    for number in range(WINDOW):
        window.add(0.75 if number % 2 else 0.5, bool(number % 2))
    assert (WINDOW, 1.0) == (window.measure().pairs, window.measure().auc)
    assert window.measure() == Prequential.from_bytes(*window.to_bytes()).measure()
