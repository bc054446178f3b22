"""A mergeable, subtractable histogram with logarithmic buckets, and scores by mid-rank from it.

The bucketing is DDSketch's (Masson, Rim, Lee 2019): relative error at most ±1 %. The PyPI package can't take a value out
again, which a rolling population needs, so these are the few lines that can. Counts are exact, so merging partitions in any
order gives the same thresholds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from math import ceil, log
from typing import TypeVar

_Bucket = TypeVar("_Bucket", int, str)

GAMMA = 1.01 / 0.99
"""Ratio of neighbouring bucket bounds for ±1 %. Larger: coarser thresholds; smaller: more buckets to send each day."""
_LOG_GAMMA = log(GAMMA)

SCORES = 5
"""RFM scores run from 1 to 5 (Hughes 1994)."""


def bucket_of(value: float) -> int:
    """The bucket of a non-negative value; 0 holds everything up to 1.

    >>> bucket_of(0), bucket_of(1), bucket_of(100) < bucket_of(103)
    (0, 0, True)
    """
    return 0 if value <= 1 else ceil(log(value) / _LOG_GAMMA)


def value_of(bucket: int) -> float:
    """A value in the middle of a bucket, within 1 % of everything that fell into it.

    >>> abs(value_of(bucket_of(12345)) / 12345 - 1) < 0.0101
    True
    """
    return 0.0 if bucket == 0 else 2 * GAMMA**bucket / (GAMMA + 1)


def add(counts: dict[_Bucket, int], bucket: _Bucket, n: int) -> None:
    """Adds ``n`` (negative: takes out) and forgets empty buckets."""
    left = counts.get(bucket, 0) + n
    if left:
        counts[bucket] = left
    else:
        counts.pop(bucket, None)


def move(counts: dict[_Bucket, int], left: _Bucket, entered: _Bucket) -> None:
    """As to take one out of a bucket and to add one to another.

    >>> counts = {3: 1, 5: 1}; move(counts, 3, 5); counts
    {5: 2}
    """
    n = counts.get(left, 0) - 1
    if n:
        counts[left] = n
    else:
        del counts[left]
    n = counts.get(entered, 0) + 1
    if n:
        counts[entered] = n
    else:
        del counts[entered]


def quantile(counts: Mapping[int, int], q: float) -> int | None:
    """The bucket that holds quantile ``q`` (lower), ``None`` of nothing.

    >>> quantile({1: 1, 5: 2, 9: 1}, 0.5)
    5
    """
    rank = q * (sum(counts.values()) - 1)
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen > rank:
            return bucket
    return None


def score_bounds(counts: Mapping[int, int]) -> tuple[int, ...] | None:
    """Upper bucket of scores 1 to 4, by mid-rank; ``None`` of nothing.

    A bucket's mid-rank is the share below it plus half its own share; score = 1 + floor(5 × mid-rank). So the half of a
    shop's customers who bought once share one middle score instead of being torn apart by a tie.

    >>> score_bounds({1: 50, 2: 20, 3: 20, 4: 10})
    (0, 1, 1, 2)
    >>> [score(bucket, (0, 1, 1, 2)) for bucket in (1, 2, 3, 4)]
    [2, 4, 5, 5]
    """
    total = sum(counts.values())
    if not total:
        return None
    bounds = [min(counts) - 1] * (SCORES - 1)
    below = 0
    for bucket in sorted(counts):
        n = counts[bucket]
        got = min(SCORES, 1 + (SCORES * (2 * below + n)) // (2 * total))
        for at in range(got - 1, SCORES - 1):
            bounds[at] = bucket
        below += n
    return tuple(bounds)


def score(bucket: int, bounds: tuple[int, ...]) -> int:
    """The score of a bucket under bounds of `score_bounds`."""
    return bisect_left(bounds, bucket) + 1
