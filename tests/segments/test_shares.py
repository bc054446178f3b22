"""Tiers by population share: against exact shares, near borders, and through silence."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events.hashing import hash64
from stream.segments.cells import NOBODY, ORDER_BINS, Cell, attitude_of, cell_of, minor_in, orders_in, taken_apart
from stream.segments.scales import Scales, scales_of, value_as_written
from stream.segments.shares import CUTS, SHARE_TIERS, lowered, position_of, tier_at

DAY = 20_400
WEIGHTS = (300, 250, 250, 200)
CELLS = st.builds(
    cell_of, st.integers(DAY - 364, DAY), st.integers(1, 500), st.integers(0, 10**9), st.sampled_from((0, 1, 2))
)


def shop(customers: int, seed: int) -> list[int]:
    """The cells of a shop as most are: half have bought once, few are half of the money, one in ten has answered."""
    chance = np.random.default_rng(seed)
    frequency = np.minimum(300, chance.pareto(1.1, customers) + 1).astype(int)
    last_day = DAY - np.minimum(364, chance.exponential(150 / frequency**0.5)).astype(int)
    minor = (chance.lognormal(8, 0.8, customers) * frequency).astype(int)
    nps = np.where(chance.random(customers) < 0.1, chance.integers(0, 11, customers), -1)
    return [
        cell_of(last, orders, spent, attitude_of(said))
        for last, orders, spent, said in zip(
            last_day.tolist(), frequency.tolist(), minor.tolist(), nps.tolist(), strict=True
        )
    ]


def scaled(cells: list[int]) -> Scales:
    """The scales of a population."""
    scales = scales_of(DAY + 1, Counter(cells), WEIGHTS, (400, 300, 300, 0), 100)
    assert scales is not None
    return scales


def test_shares_are_those_that_are_asked_for() -> None:
    """Of 60,000 customers, most of whom tie with many, each tier has its share within half a percentage point."""
    cells = shop(60_000, 7)
    scales = scaled(cells)
    steps = {cell: scales.loyalty.step(scales.composite(taken_apart(cell))) for cell in set(cells)}
    tiers = Counter(
        tier_at(position_of(*steps[cell], hash64(f"customer-{n}")), 0, 0.02) for n, cell in enumerate(cells)
    )

    for name, share in (("churn_risk", 0.15), ("low", 0.4), ("medium", 0.3), ("high", 0.15)):
        assert share == pytest.approx(tiers[SHARE_TIERS.index(name)] / len(cells), abs=0.005)


@given(st.lists(CELLS, min_size=1, max_size=60))
def test_a_cell_s_place_is_that_of_the_definition(cells: list[int]) -> None:
    """Ranks are mid-ranks, and a cell's stretch of the ranking holds all who are equal and nobody else, by the figures of one cell
    alone: those who fold a day and those who rank a customer compute the same bits."""
    scales = scaled(cells)
    apart = [taken_apart(cell) for cell in cells]
    for figure_of, ranking in (
        (scales.composite, scales.loyalty),
        (scales.value, scales.index),
        (scales.value_as_written, scales.written),
    ):
        figures = [figure_of(cell) for cell in apart]
        for figure in figures:
            below, equal = sum(other < figure for other in figures), figures.count(figure)

            assert (below / len(cells), equal / len(cells)) == pytest.approx(ranking.step(figure), abs=1e-12)
    for at, weeks in enumerate(cell.week for cell in apart):
        all_weeks = [cell.week for cell in apart]
        middle = sum(other < weeks for other in all_weeks) + all_weeks.count(weeks) / 2

        assert middle / len(cells) == pytest.approx(scales.shares(apart[at])[0])


@given(CELLS, st.integers(0, 2))
def test_more_is_never_less(cell: int, attitude: int) -> None:
    """Who bought later, more often, for more, or says better things, is never ranked lower for it."""
    scales = scaled(shop(500, 1))
    place = taken_apart(cell)
    better = Cell(
        place.week + 1, min(len(ORDER_BINS) - 1, place.orders + 1), place.money + 1, max(attitude, place.attitude)
    )

    assert scales.composite(place) <= scales.composite(better)
    assert NOBODY != cell


@given(st.integers(1, 5_000), st.integers(2, 10**12))
def test_a_bin_stands_for_what_is_in_it(orders: int, minor: int) -> None:
    """What a cell is taken for is near what is in it: money within a quarter, orders within half."""
    place = taken_apart(cell_of(DAY, orders, minor, 1))

    assert place.money == 0 or 0.78 < minor_in(place.money) / minor < 1.28
    assert orders > 400 or 0.5 < orders_in(place.orders) / orders < 1.6


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.sampled_from((0.0, 0.02, 0.1)))
def test_only_who_goes_beyond_the_margin_changes(positions: list[float], margin: float) -> None:
    """A tier is left only from beyond its borders and the margin, and then for the one that the rank says; so no step of less than
    twice the margin to and fro ever changes anything twice."""
    held = 0
    for position in positions:
        before, held = held, tier_at(position, held, margin)
        if held != before:
            assert held == tier_at(position, 0, margin)
            lows, highs = (0.0, *CUTS), (*CUTS, 1.0)
            assert before == 0 or not lows[before - 3] - margin <= position < highs[before - 3] + margin


def test_being_away_raises_the_index_as_written_and_lowers_that_of_ranks() -> None:
    """So by the documents' formula nobody who was silent for half a year is among the lowest 10 %, where maintenance looks for
    them; by ranks some are."""
    cells = shop(20_000, 3)
    scales = scaled(cells)
    silent = [place for cell in cells if (place := taken_apart(cell)).week * 7 < DAY - 190]

    assert not [place for place in silent if sum(scales.written.step(scales.value_as_written(place))) < 0.1]
    assert len([place for place in silent if sum(scales.index.step(scales.value(place))) < 0.1]) > 1_000


@given(st.integers(0, 10_000), st.integers(0, 10**6), st.floats(0, 1e300))
def test_the_index_as_written_is_always_a_number(recency: int, frequency: int, monetary: float) -> None:
    """However much is spent."""
    assert math.isfinite(value_as_written(recency, frequency, monetary, (1_000, 1_000, 1_000, 0)))


def test_silence_takes_a_tier_each_three_months() -> None:
    """Whatever the rank says; but who isn't ranked has nothing to lose."""
    assert ["high", "high", "medium", "low", "churn_risk", "churn_risk"] == [
        SHARE_TIERS[lowered(SHARE_TIERS.index("high"), days)] for days in (0, 89, 90, 180, 270, 1_000_000)
    ]
    assert "prospect" == SHARE_TIERS[lowered(SHARE_TIERS.index("prospect"), 500)]
