"""Going through all customers of a partition for those that somebody asks for, without holding the stream up (MISSION B7).

The head of a record tells of what a customer is counted in; only who fits is opened. A customer is what was last told on the tiers
topic and counted in the metrics, so that lists, topic and metrics agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from stream.segments.schemes import SCHEMES, class_in
from stream.segments.wanted import Wanted
from stream.state.customer import head
from stream.state.memory import Population

SLICE = 200
"""Customers that are looked at before others get a turn. More: decisions wait for somebody's list (2 us each, and 200 for one who
fits); fewer: a list of a million takes longer."""


def found_in(
    store: Mapping[bytes, bytes],
    who: Wanted,
    after: str,
    brief: Callable[[bytes], dict[str, Any] | None],
    tier_of: Callable[[Population], str],
) -> Iterator[dict[str, Any] | None]:
    """The customers that are asked for, in the order of the store, from the one after ``after`` on (empty: the first).

    Yields ``None`` now and then: somebody else may have a turn. ``brief`` tells of one who fits as far as the head shows, or
    ``None`` who doesn't after all; ``tier_of`` is the tier in force.
    """
    # One in memory can't be gone through while it changes; one on disk is, without all keys in memory.
    keys: Iterable[bytes] = list(store) if isinstance(store, dict) else store
    waiting = after.encode("utf-8", "surrogatepass")
    looked_at = 0
    for key in keys:
        looked_at += 1
        if looked_at % SLICE == 0:
            yield None
        if waiting:
            if key == waiting:
                waiting = b""
            continue
        value = None if key.startswith(b"\0") else store.get(key)  # the partition's own record begins like that
        counted = None if value is None else head(value).population
        if counted is None:
            continue
        tier = tier_of(counted)
        if not who.has(tier, counted.tier, counted.segment, counted.classes):
            continue
        if who.suspect and counted.frequency:
            continue  # who counts in thresholds is no suspect
        line = brief(key)
        if line is not None:
            yield {**line, "tier": tier, "segment": counted.segment or None, "tiers": _tiers(counted)}
            looked_at = SLICE - 1  # to open one takes as long as many looks


def _tiers(counted: Population) -> dict[str, str | None]:
    return {"fixed": counted.tier, **{scheme: class_in(scheme, counted.classes) or None for scheme in SCHEMES}}
