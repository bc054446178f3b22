"""Fixed tiers at every edge, and the marketers' segments over the whole grid."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from stream.segments.named import PROSPECTS, SEGMENTS, segment_of
from stream.segments.tiers import HIGH, LOST, LOW, MEDIUM, PROSPECT, TIERS, TURNING_DAYS, tier_of, why


@pytest.mark.parametrize(
    ("recency", "frequency", "monetary", "tier"),
    [
        (0, 12, 500.0, HIGH),
        (7, 12, 500.0, HIGH),
        (8, 12, 500.0, MEDIUM),
        (7, 11, 500.0, MEDIUM),
        (7, 12, 499.99, MEDIUM),
        (7, 5, 10_000.0, LOW),
        (30, 6, 0.01, MEDIUM),
        (31, 6, 10_000.0, LOW),
        (30, 5, 10_000.0, LOW),
        (89, 100, 10_000.0, LOW),
        (90, 100, 10_000.0, LOST),
        (10_000, 0, 0.0, LOST),
        (None, 0, 0.0, PROSPECT),
    ],
)
def test_the_edges_of_the_tiers(recency: int | None, frequency: int, monetary: float, tier: str) -> None:
    """lost: R ≥ 90; else high: R ≤ 7 and F ≥ 12 and M ≥ 500; else medium: R ≤ 30 and F ≥ 6; else low."""
    assert tier == tier_of(recency, frequency, monetary)


def test_silence_only_turns_tiers_on_the_turning_days() -> None:
    """Between two turning days no tier changes, so looking on those days alone misses nothing; it never rises."""
    for frequency, monetary in itertools.product((0, 5, 6, 11, 12, 40), (0.0, 499.99, 500.0)):
        tiers = [tier_of(day, frequency, monetary) for day in range(400)]
        turns = {day for day in range(1, 400) if tiers[day] != tiers[day - 1]}
        assert turns <= set(TURNING_DAYS)
        ranks = [TIERS.index(tier) for tier in tiers]
        assert ranks == sorted(ranks, reverse=True)


def test_the_reason_says_the_figures() -> None:
    """A person reads what decided."""
    assert "last purchase 7 days ago, 12 orders and 500.00 spent in 365 days" == why(7, 12, 500.0)
    assert "last purchase 0 days ago, 1 order and 9.50 spent in 365 days" == why(0, 1, 9.5)
    assert "no purchase that counts" == why(None, 0, 0.0)


def test_named_segments_fill_the_grid() -> None:
    """Every combination of scores has a segment, every segment has a combination, and prospects have none."""
    found = Counter(segment_of(r, f, m) for r, f, m in itertools.product(range(1, 6), repeat=3))

    assert 125 == sum(found.values())
    assert set(SEGMENTS) - {PROSPECTS} == set(found)
    assert "" == segment_of(0, 0, 0)


def test_a_segment_depends_on_recency_and_the_mean_of_the_others() -> None:
    """F and M weigh the same."""
    for r, f, m in itertools.product(range(1, 6), repeat=3):
        assert segment_of(r, f, m) == segment_of(r, m, f)
