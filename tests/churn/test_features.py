"""The feature vector: complete, bounded, and unbothered by what is missing."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stream.churn.examples import pack, unpack
from stream.churn.features import FEATURES, NAMES, markdown_table, vector
from stream.events.instants import DAY_MS
from stream.state.profile import Profile
from tests.churn.shop import customer_with

DOCS = Path(__file__).parents[2] / "docs" / "churn.md"


def named(orders: list[tuple[int, int]], day: int, horizon_days: int = 90) -> dict[str, float]:
    """The features by name as of midnight of a UTC day."""
    profile = Profile("c", customer_with(orders), day * DAY_MS)
    return dict(zip(NAMES, vector(profile, horizon_days), strict=True))


@given(
    days=st.lists(st.integers(8_000, 12_000), min_size=1, max_size=400, unique=True).map(sorted),
    minor=st.integers(1, 10**12),
    later=st.integers(0, 4_000),
    horizon_days=st.integers(7, 365),
)
def test_whatever_a_customer_did_every_feature_is_near_its_centre(
    days: list[int], minor: int, later: int, horizon_days: int
) -> None:
    """No history, however long, sparse or expensive, takes a feature further than 25 scales from its centre."""
    profile = Profile("c", customer_with([(day, minor) for day in days]), (days[-1] + later) * DAY_MS)
    values = vector(profile, horizon_days)
    assert len(FEATURES) == len(values)
    distances = [abs(value - f.centre) / f.scale for value, f in zip(values, FEATURES, strict=True)]
    assert all(math.isfinite(distance) and distance < 25 for distance in distances)
    assert all(
        math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3) for a, b in zip(values, unpack(pack(values)), strict=True)
    )


def test_a_customer_whose_orders_left_the_memory_is_not_taken_for_a_one_time_buyer() -> None:
    """Orders beyond the memory still count as repeats, and silence and tenure stay right."""
    customer = customer_with([(10_000 + 10 * i, 1_000) for i in range(300)])
    figures = dict(zip(NAMES, vector(Profile("c", customer, 13_400 * DAY_MS), 90), strict=True))
    assert (math.log1p(299), 0.0) == (figures["repeats"], figures["single"])
    assert math.isclose(math.log1p(13_400 - 12_990), figures["silence"])


def test_the_anniversary_counts_the_horizon_that_begins_today_a_year_ago() -> None:
    """A purchase 365 days ago up to the day before the horizon's end counts, its neighbours don't."""
    inside, outside = [10_000, 10_029], [9_999, 10_030]
    assert 2.0 == named([(day, 500) for day in inside], 10_365, 30)["anniversary"]
    assert 0.0 == named([(day, 500) for day in outside], 10_365, 30)["anniversary"]


def test_overdue_is_zero_at_the_usual_gap_and_grows_with_the_ratio() -> None:
    """A monthly buyer is overdue like a weekly one in proportion, not in days."""
    monthly = [(10_000 + 30 * i, 900) for i in range(5)]
    weekly = [(10_000 + 7 * i, 900) for i in range(5)]
    assert 0.0 == named(monthly, 10_150)["overdue"] == named(weekly, 10_035)["overdue"]
    assert 0.0 < named(monthly, 10_200)["overdue_beyond"] < named(weekly, 10_200)["overdue_beyond"]


def test_the_docs_have_the_current_table_of_features() -> None:
    """`docs/churn.md` holds exactly the table that the code generates."""
    assert markdown_table() in DOCS.read_text(encoding="utf-8"), "put stream.churn.features.markdown_table() into docs"
