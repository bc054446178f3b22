"""A change of tier, segment or class, with its reason (MISSION C5)."""

from __future__ import annotations

import msgspec

from stream.actions.decision import SCHEMA_VERSION
from stream.events.hashing import hex_hash


class TierChange(msgspec.Struct, frozen=True, kw_only=True):
    """From where to where, when, and why. ``thresholds_day`` names the version of the population's thresholds.

    ``tier`` and ``previous_tier`` are classes of the ``scheme``: of ``fixed``, the tiers by fixed thresholds, which tells of named
    segments too; of ``suspect``, what a customer is suspected for to be no person, ``none`` for nothing.
    """

    schema_version: int = SCHEMA_VERSION
    change_id: str
    customer_id: str
    changed_at: str
    scheme: str
    tier: str
    previous_tier: str | None
    segment: str
    previous_segment: str | None
    r: int
    f: int
    m: int
    thresholds_day: str | None
    reason: str


def change_id(customer_id: str, changed_at: str, tier: str, segment: str) -> str:
    """The deterministic id of a change; ``segment``: or the scheme, of other schemes."""
    return hex_hash("tier", customer_id, changed_at, tier, segment)
