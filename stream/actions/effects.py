"""What one arm of a rule's experiment has brought so far (MISSION F2)."""

from __future__ import annotations

import msgspec

from stream.actions.decision import SCHEMA_VERSION
from stream.events.hashing import hex_hash


class Bounds(msgspec.Struct, frozen=True, gc=False):
    """A figure between two that are valid whenever one looks; a bound of ``null`` is none."""

    value: float
    low: float | None
    high: float | None


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The counts of one channel and tier; both are ``all`` of a version that is over and was added up."""

    channel: str
    tier: str
    exposed: int
    converted: int
    orders: int
    revenue_minor: int
    actions: int
    cost_minor: int
    reported: int
    reported_minor: int


class Effects(msgspec.Struct, frozen=True, kw_only=True):
    """All outcomes of an arm up to the end of a UTC day. What it changes is known where others are held out."""

    schema_version: int = SCHEMA_VERSION
    effects_id: str
    day: str
    computed_at: str
    currency: str
    rule_id: str
    version: int
    arm: str
    holdout: bool
    exposed: int
    converted: int
    conversion: float | None
    orders: int
    revenue_minor: int
    actions: int
    cost_minor: int
    reported: int
    reported_minor: int
    verdict: str | None
    text: str | None
    difference: Bounds | None
    uplift: Bounds | None
    extra_revenue_minor: Bounds | None
    roi: Bounds | None
    by_channel_and_tier: tuple[Part, ...]


def effects_id(day: str, rule_id: str, version: int, arm: str) -> str:
    """The deterministic id of an arm's outcomes as of a day."""
    return hex_hash("effects", day, rule_id, str(version), arm)
