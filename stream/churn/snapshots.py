"""A snapshot: what was known of a customer, and what the model said, waiting for the truth.

Both labels come out at the end of the horizon. Releasing "bought again" when it happens would show the model nothing but
returning customers at first (MISSION D1, DESIGN: score first, learn later, only from labels that have matured).
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from stream.churn.calendar import own_horizon_days
from stream.churn.examples import Example, pack, unpack
from stream.churn.features import LAYOUT, cycle_days_of, vector
from stream.churn.model import FrozenModel
from stream.errors import StateError
from stream.events.instants import DAY_MS
from stream.segments.lifecycle import STAGES
from stream.segments.loyalty import LOYALTY_KINDS
from stream.segments.named import WORDS
from stream.segments.value import VALUE_GROUPS
from stream.state.profile import Profile

UNSCORED = -1.0
"""Score of a snapshot that was taken before there was a model."""
MOST_OPEN = 8
"""Open snapshots kept per customer. The calendar opens 4 at most; more: a changed horizon could fill the record."""

_HEAD = struct.Struct("<Hif")
_DAY_BITS = 24
_DAY_MASK = (1 << _DAY_BITS) - 1
"""A day needs no more for the next 45,000 years; the tier's number is in the bits above."""
_FIRST_TIERS = ("prospect", "lost", "low", "medium", "high", "churn_risk", "lapsed")
TIERS = ("", *dict.fromkeys((*_FIRST_TIERS, *VALUE_GROUPS[1:], *LOYALTY_KINDS[1:], *STAGES, *WORDS.values())))
"""Tiers by number, as they are stored: never renumber, 128 at most."""
_TIER_MASK = 0b1111111


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """One look at a customer. ``day`` is the first whole UTC day after it; the label counts purchases on days
    ``day … day + horizon − 1``. ``score`` is P(churn) as the model then said, `UNSCORED` without one."""

    day: int
    score: float
    values: bytes
    layout: int = LAYOUT
    tier: str = ""
    """Which the customer was in; empty in snapshots from before it was kept. The tier of later would know the outcome."""

    def encode(self) -> bytes:
        """Bytes for the customer's record: 10 and 2 per feature."""
        day = self.day | TIERS.index(self.tier) << _DAY_BITS
        return _HEAD.pack(self.layout, day, self.score) + self.values


def decode(data: bytes) -> Snapshot:
    """The snapshot in bytes; `StateError` when there is none."""
    layout, day, score = _head(data)
    return Snapshot(day & _DAY_MASK, score, data[_HEAD.size :], layout, TIERS[day >> _DAY_BITS & _TIER_MASK])


def take(
    profile: Profile, model: FrozenModel | None, horizon_days: int, scored: tuple[Sequence[float], float] | None = None
) -> Snapshot:
    """A snapshot of a customer who has bought, as of the profile's instant. ``scored``: features and P(churn), if known
    already."""
    if scored is None:
        values: Sequence[float] = vector(profile, horizon_days)
        score = UNSCORED if model is None else model.probability(values)
    else:
        values, score = scored
    if model is None or not model.labels:
        score = UNSCORED
    return Snapshot(-(-profile.as_of_ms // DAY_MS), score, pack(values), tier=profile.tier)


def matures_ms(snapshot: Snapshot, horizon_days: int) -> int:
    """The instant from which the label is known: the midnight that ends the horizon."""
    return (snapshot.day + horizon_days) * DAY_MS


def is_open(data: bytes, horizon_days: int, now_ms: int) -> bool:
    """Is the label of the snapshot in bytes not known yet? Most are, so this looks at nothing but its day."""
    return ((_head(data)[1] & _DAY_MASK) + horizon_days) * DAY_MS > now_ms


def mature(
    snapshot: Snapshot,
    customer: str,
    purchase_days: Sequence[int],
    horizon_days: int,
    region: str = "",
    channel: str = "",
    cycles: float = 0.0,
) -> Example | None:
    """The labelled example, once `matures_ms` is reached; ``None`` for a snapshot with another version's features.

    ``purchase_days`` are the UTC days (ascending) on which the customer placed an order, as far as remembered, whatever became of
    it: who orders and gives back hasn't left. With ``cycles`` the label is about the customer's own horizon; it is known then, but released
    with the others, for the same reason.
    """
    if snapshot.layout != LAYOUT:
        return None
    at = bisect_left(purchase_days, snapshot.day)
    days = horizon_days
    if cycles:
        days = own_horizon_days(cycle_days_of(unpack(snapshot.values)), cycles, horizon_days)
    bought = at < len(purchase_days) and purchase_days[at] < snapshot.day + days
    return Example(
        snapshot.day * DAY_MS,
        customer,
        snapshot.day + horizon_days,
        not bought,
        snapshot.score,
        snapshot.values,
        (region, channel, snapshot.tier),
    )


def _head(data: bytes) -> tuple[int, int, float]:
    if len(data) < _HEAD.size:
        raise StateError(f"a churn snapshot of {len(data)} bytes is too short")
    layout, day, score = _HEAD.unpack_from(data)
    return layout, day, score
