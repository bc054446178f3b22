"""The programme's figures from the looks of the last period. SEMANTICS "Figures of the programme"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream.actions.kpis import Kpis, Rate, TierValue, kpi_id
from stream.config import Settings
from stream.events.instants import DAY_MS, to_text
from stream.kpis.look import Counts, Look, Looking
from stream.segments.tiers import PROSPECT, TIERS

YEAR_DAYS = 365
BUYERS = tuple(tier for tier in TIERS if tier != PROSPECT)
"""Tiers of those who have bought."""


def kpis(looks: Iterable[Look], day: int, settings: Settings) -> Kpis | None:
    """As of the end of a UTC day, of the looks of a period up to then; ``None`` of nobody."""
    by_tier: dict[str, Counts] = {tier: Counts() for tier in BUYERS}
    everybody = Counts()
    for look in looks:
        by_tier.setdefault(look.at[1], Counts()).add(look.counts)
        everybody.add(look.counts)
    if not everybody.buyers:
        return None
    looking = Looking(settings)
    at = to_text((day + 1) * DAY_MS)
    named = to_text(day * DAY_MS)[:10]
    c = everybody
    return Kpis(
        kpi_id=kpi_id(named),
        day=named,
        computed_at=at,
        horizon_days=looking.horizon_days,
        period_days=looking.period_days,
        currency=settings.currency,
        repurchase=rate(c.again, c.buyers),
        retention=rate(c.retained, c.active),
        churn=rate(c.active - c.retained, c.active),
        recall=rate(c.recalled, c.silent),
        recall_written=rate(c.written_recalled, c.written),
        recall_unwritten=rate(c.recalled - c.written_recalled, c.silent - c.written),
        referral=rate(c.referred, c.new),
        participation=rate(c.engaged, c.shopping),
        value_by_tier=tuple(_value(tier, counts, looking.period_days) for tier, counts in by_tier.items()),
    )


def rate(number: int, of: int) -> Rate:
    """A share.

    >>> rate(1, 3), rate(0, 0).value
    (Rate(value=0.333333, number=1, of=3), None)
    """
    return Rate(round(number / of, 6) if of else None, number, of)


def rates(found: Kpis) -> Mapping[str, Rate]:
    """The shares by name."""
    return {name: value for name in Kpis.__struct_fields__ if isinstance(value := getattr(found, name), Rate)}


def _value(tier: str, counts: Counts, period_days: int) -> TierValue:
    year_minor = counts.spent_minor * YEAR_DAYS // (counts.before * period_days) if counts.before else None
    return TierValue(
        tier=tier,
        customers=counts.buyers,
        lifetime_minor=counts.lifetime_minor,
        average_minor=counts.lifetime_minor // counts.buyers if counts.buyers else None,
        next_year_minor=year_minor,
        expected_year_minor=counts.ahead_minor // counts.valued if counts.valued else None,
    )
