"""A churn alert: a customer's probability of not coming back has crossed the threshold upward (MISSION D1)."""

from __future__ import annotations

import msgspec

from stream.actions.decision import SCHEMA_VERSION, Explanation, ScoreRef, StateRef
from stream.events.hashing import hex_hash


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert, with the reasons in words and as signed contributions."""

    schema_version: int = SCHEMA_VERSION
    alert_id: str
    kind: str
    customer_id: str
    decided_at: str
    probability: float
    previous_probability: float | None
    threshold: float
    horizon_days: int
    state: StateRef
    score: ScoreRef
    explanation: Explanation


def alert_id(kind: str, customer_id: str, occurrence: str) -> str:
    """The deterministic id of an alert."""
    return hex_hash("alert", kind, customer_id, occurrence)
