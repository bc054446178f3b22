"""The days on which silence is looked at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.segments.reviews import LAST_REVIEW_DAY, TURNING_REVIEWS, WATCHED_REVIEWS, next_review_ms
from stream.segments.tiers import TURNING_DAYS

DAY = 86_400_000


def test_every_turning_day_is_reviewed() -> None:
    """No tier turns unseen."""
    assert set(TURNING_DAYS) <= set(TURNING_REVIEWS) <= set(WATCHED_REVIEWS)


@given(
    st.integers(0, 20_000 * DAY),
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 3_600_000, DAY]),
    st.booleans(),
)
def test_reviews_go_on_to_the_end(last_ms: int, customer_hash: int, spread_ms: int, watched: bool) -> None:
    """Asked again and again, each review is later than the one before, and all days come, each once."""
    seen = []
    after = last_ms
    while (due := next_review_ms(last_ms, after, customer_hash, spread_ms, watched=watched)) is not None:
        assert due > after
        seen.append(due)
        after = due
    days = WATCHED_REVIEWS if watched else TURNING_REVIEWS
    share = customer_hash % spread_ms if spread_ms else 0

    assert [last_ms // DAY * DAY + day * DAY + share for day in days] == seen
    assert LAST_REVIEW_DAY == days[-1]
