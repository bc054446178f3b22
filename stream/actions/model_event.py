"""Something that happened to the churn model: another one scores the customers, or the shop has changed under it (MISSION D5)."""

from __future__ import annotations

from typing import Literal

import msgspec

from stream.actions.decision import SCHEMA_VERSION
from stream.events.hashing import hex_hash

Happening = Literal["promoted", "pinned", "released", "drifted"]
"""What can happen to the churn model; consumers switch by it, so another one is a new schema version."""


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """How a model stood when it happened, over the same ``judged`` labels as all others; ``None`` where it isn't known."""

    name: str
    judged: int
    auc: float | None
    brier: float | None
    calibration_error: float | None


class ModelEvent(msgspec.Struct, frozen=True, kw_only=True):
    """``kind``: ``promoted`` (``champion`` scores the customers from ``happened_at`` on, ``previous`` did before), ``pinned`` and
    ``released`` (a person has said that it stays so, or no longer), ``drifted`` (its errors have grown, so it forgets faster; or, by ``feature drift``, customers are
    unlike those whose labels it has learnt)."""

    schema_version: int = SCHEMA_VERSION
    event_id: str
    kind: Happening
    happened_at: str
    champion: str
    previous: str | None
    by: str
    """Who decided or found it: ``contest``, ``drift detector``, ``feature drift``, or a person by name."""
    reason: str
    contenders: tuple[Contender, ...] = ()


def model_event_id(kind: Happening, happened_at: str, champion: str, found_by: str = "") -> str:
    """The deterministic id of an event. ``found_by`` tells two drifts of one day apart."""
    return hex_hash("model", kind, happened_at, champion, *([found_by] if found_by else []))
