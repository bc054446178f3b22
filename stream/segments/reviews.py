"""When silence alone can change what a customer is: the days after a purchase on which tier and churn are looked at again."""

from __future__ import annotations

from bisect import bisect_right

from stream.events.instants import DAY_MS
from stream.segments.tiers import TURNING_DAYS

LAST_REVIEW_DAY = 365
"""No review later than this after a purchase: the windows are empty and the tier is lost for good."""

TURNING_REVIEWS: tuple[int, ...] = (*TURNING_DAYS, LAST_REVIEW_DAY)
"""Days since the last purchase on which everybody is looked at: wherever silence can turn a tier. (Besides, every visit of
the churn calendar is a review too, so nobody goes unseen for longer than its period.)"""

WATCHED_REVIEWS: tuple[int, ...] = tuple(sorted({*TURNING_REVIEWS, *range(8, 85, 7)} - {29}))
"""The same for a customer whose churn score is below the threshold: weekly for a quarter, because the score may cross it.
Denser: more work for a silent base; sparser: the alert comes up to that much later."""


def next_review_ms(
    last_purchase_ms: int, after_ms: int, customer_hash: int, spread_ms: int, *, watched: bool
) -> int | None:
    """The first review after ``after_ms``, at a UTC day's start plus the customer's share of the spread.

    >>> [next_review_ms(0, 8 * DAY_MS + 5, 5, 1, watched=watched) // DAY_MS for watched in (True, False)]
    [15, 31]
    """
    days = WATCHED_REVIEWS if watched else TURNING_REVIEWS
    start = last_purchase_ms // DAY_MS * DAY_MS + (customer_hash % spread_ms if spread_ms else 0)
    at = bisect_right(days, (after_ms - start) // DAY_MS)
    while at < len(days):
        due = start + days[at] * DAY_MS
        if due > after_ms:
            return due
        at += 1
    return None
