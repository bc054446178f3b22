"""Scores and thresholds from histograms against exact figures of the same population."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.segments.cells import cell_of
from stream.segments.histogram import add, bucket_of, quantile, score, score_bounds, value_of
from stream.segments.population import LIVING_DAYS, Histograms, thresholds
from stream.state.memory import Population

populations = st.lists(st.integers(0, 60), min_size=1, max_size=300)


def exact_scores(values: Sequence[int]) -> list[int]:
    """Score by mid-rank, straight from its definition: 1 + floor(5 × (smaller + half of the equal) ÷ all), at most 5."""
    array = np.asarray(values)
    below = (array[None, :] < array[:, None]).sum(axis=1)
    equal = (array[None, :] == array[:, None]).sum(axis=1)
    return [int(x) for x in np.minimum(5, 1 + (5 * (2 * below + equal)) // (2 * len(array)))]


@given(populations)
def test_scores_are_mid_ranks(values: list[int]) -> None:
    """For every population, every member's score is that of the definition."""
    bounds = score_bounds(Counter(values))

    assert bounds is not None
    assert exact_scores(values) == [score(value, bounds) for value in values]


@given(populations, st.integers(-5, 70))
def test_scores_rise_with_the_value(values: list[int], other: int) -> None:
    """Any value, also one that nobody has, is scored between 1 and 5, never above a greater one."""
    bounds = score_bounds(Counter(values))

    assert bounds is not None
    assert list(bounds) == sorted(bounds)
    assert 1 <= score(other, bounds) <= score(other + 1, bounds) <= 5


def test_nobody_and_one_body() -> None:
    """Nobody gives no bounds; everybody alike is in the middle."""
    assert score_bounds({}) is None
    assert quantile({}, 0.5) is None
    bounds = score_bounds({4: 1000})
    assert bounds is not None
    assert 3 == score(4, bounds)


@given(st.lists(st.floats(1.5, 1e12), min_size=1, max_size=200), st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.95, 1.0]))
def test_quantiles_are_within_a_percent(values: list[float], q: float) -> None:
    """The histogram's quantile is within 1 % of the exact one."""
    bucket = quantile(Counter(bucket_of(value) for value in values), q)
    exact = float(np.quantile(np.asarray(values), q, method="lower"))

    assert bucket is not None
    assert exact == pytest.approx(value_of(bucket), rel=0.0101)


@given(st.floats(0, 1e13), st.floats(0, 1e13))
def test_buckets_keep_the_order(one: float, other: float) -> None:
    """A smaller value is never in a higher bucket."""
    low, high = sorted((one, other))

    assert bucket_of(low) <= bucket_of(high)


contributions = st.builds(
    Population,
    last_day=st.integers(19_000, 20_000),
    frequency=st.integers(0, 5),
    monetary_minor=st.integers(0, 10**12),
    cycle_days=st.sampled_from([0.0, 1.0, 29.5, 400.0]),
    tier=st.sampled_from(["high", "low", "prospect"]),
    segment=st.sampled_from(["", "Loyal"]),
    cell=st.sampled_from([0, cell_of(20_000, 1, 100, 1), cell_of(19_999, 7, 9_000, 2)]),
    classes=st.integers(0, 3),
)


@given(st.lists(contributions, max_size=60), st.integers(1, 5), st.randoms(use_true_random=False))
def test_merging_is_exact_in_any_order(people: list[Population], partitions: int, rng: random.Random) -> None:
    """However customers are spread over partitions, and in whatever order those report, the thresholds are the same."""
    whole = Histograms()
    parts = [Histograms() for _ in range(partitions)]
    for person in people:
        whole.count(person, +1)
        rng.choice(parts).count(person, +1)
    rng.shuffle(parts)

    assert whole == Histograms.merged(parts)
    assert thresholds(20_001, whole) == thresholds(20_001, Histograms.merged(parts))


@given(st.lists(contributions, max_size=20), st.lists(contributions, min_size=2, max_size=20))
def test_a_customer_who_changes_is_taken_out_and_put_in(others: list[Population], one: list[Population]) -> None:
    """Moving somebody through any figures ends where only the last ones are counted."""
    moved, counted = Histograms(), Histograms()
    for person in others:
        moved.count(person, +1)
        counted.count(person, +1)
    moved.count(one[0], +1)
    for before, now in pairwise(one):
        moved.move(before, now)
    counted.count(one[-1], +1)

    assert moved == counted


@given(st.lists(contributions, max_size=40), st.lists(contributions, max_size=40))
def test_taking_out_undoes_putting_in(stay: list[Population], leave: list[Population]) -> None:
    """Who is counted and taken out again leaves no trace, not even an empty bucket."""
    alone, both = Histograms(), Histograms()
    for person in stay:
        alone.count(person, +1)
    for person in leave + stay:
        both.count(person, +1)
    for person in leave:
        both.count(person, -1)

    assert alone == both


def test_add_forgets_what_is_empty() -> None:
    """A bucket that nobody is in doesn't exist."""
    counts = {3: 1}
    add(counts, 3, -1)
    add(counts, 4, 2)

    assert {4: 2} == counts


def test_thresholds_are_of_the_living() -> None:
    """Buyers silent for a year no longer score the recency of others; people who never bought score nothing."""
    people = Histograms()
    for last_day, frequency in ((20_000, 3), (20_000 - LIVING_DAYS + 1, 1), (20_000 - LIVING_DAYS, 1), (0, 0)):
        people.count(Population(last_day, frequency, 100 * frequency, 0.0, "low", ""), +1)
    found = thresholds(20_000, people)

    assert found is not None
    assert 2 == found.buyers
    assert 0.0 == found.median_cycle_days
    assert thresholds(20_000, Histograms()) is None
    assert (4, 5, 5) == found.scores(20_000, 3, 300)


@pytest.mark.parametrize("seed", range(3))
def test_money_scores_of_a_lognormal_shop(seed: int) -> None:
    """On money as shops have it, bucketed scores differ from exact ones only where a boundary is within a bucket."""
    rng = random.Random(seed)
    money = [int(rng.lognormvariate(8, 1.2)) for _ in range(2_000)]
    people = Histograms()
    for amount in money:
        people.count(Population(20_000, 1, amount, 0.0, "low", ""), +1)
    found = thresholds(20_001, people)
    assert found is not None
    scored = [found.scores(20_000, 1, amount)[2] for amount in money]
    exact = exact_scores(money)

    wrong = [amount for amount, got, wanted in zip(money, scored, exact, strict=True) if got != wanted]
    edges = [np.quantile(money, share) for share in (0.2, 0.4, 0.6, 0.8)]
    assert all(min(abs(amount / edge - 1) for edge in edges) < 0.021 for amount in wrong)
    assert len(wrong) < 0.03 * len(money)
