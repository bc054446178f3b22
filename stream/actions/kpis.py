"""The programme's figures of one day, for people and for dashboards (MISSION F5)."""

from __future__ import annotations

import msgspec

from stream.actions.decision import SCHEMA_VERSION
from stream.events.hashing import hex_hash


class Rate(msgspec.Struct, frozen=True, gc=False):
    """A share, and what it is a share of."""

    value: float | None
    """``number`` over ``of``; ``None`` of nobody."""
    number: int
    of: int


class TierValue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the buyers of a tier are worth."""

    tier: str
    customers: int
    lifetime_minor: int
    """Spent by all of them, ever."""
    average_minor: int | None
    """Of it, a customer's average."""
    next_year_minor: int | None
    """What a customer of the tier spends in a year, at the pace of those who were in it a period ago; ``None`` before anybody was."""
    expected_year_minor: int | None
    """What a customer of the tier is expected to spend in the year to come, by the models of value; ``None`` before they are fitted."""


class Kpis(msgspec.Struct, frozen=True, kw_only=True):
    """All figures as of the end of a UTC day."""

    schema_version: int = SCHEMA_VERSION
    kpi_id: str
    day: str
    computed_at: str
    horizon_days: int
    period_days: int
    currency: str
    repurchase: Rate
    retention: Rate
    churn: Rate
    recall: Rate
    recall_written: Rate
    recall_unwritten: Rate
    referral: Rate
    participation: Rate
    value_by_tier: tuple[TierValue, ...]


def kpi_id(day: str) -> str:
    """The deterministic id of a day's figures."""
    return hex_hash("kpis", day)
