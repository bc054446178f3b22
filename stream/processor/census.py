"""Where a customer stands in the population, and what is told when that changes. Pure, as everything of the processor."""

from __future__ import annotations

from stream.actions.codec import tier_message
from stream.actions.tier_change import TierChange, change_id
from stream.config import Settings
from stream.events.instants import DAY_MS, to_text
from stream.events.money import EXPONENT_OF
from stream.outcome import Outcome
from stream.segments.lifecycle import stage_of
from stream.segments.named import PROSPECTS, segment_of
from stream.segments.population import Histograms, Thresholds
from stream.segments.tiers import HIGH_MONETARY, PROSPECT, missing, tier_of, why
from stream.state.memory import Population
from stream.state.profile import Outlook, Profile, Standing
from stream.state.purchases import Purchases

_PROSPECT = Standing(PROSPECT, PROSPECTS)


class Census:
    """The population of one partition, kept current, and the thresholds by which everybody is judged."""

    def __init__(self, settings: Settings) -> None:
        self.histograms = Histograms()
        self.thresholds: Thresholds | None = None
        self._thresholds_day: str | None = None
        self._major = 10 ** EXPONENT_OF.get(settings.currency, 2)

    def follow(self, thresholds: Thresholds | None) -> None:
        """Judges by other thresholds from now on."""
        self.thresholds = thresholds
        self._thresholds_day = None if thresholds is None else to_text(thresholds.day * DAY_MS)[:10]

    def standing(self, purchases: Purchases, day: int) -> Standing:
        """Tier, segment and scores as of a UTC day."""
        last_ms = purchases.last_ms
        if last_ms is None:
            return _PROSPECT
        year = purchases.year(day)
        frequency, monetary_minor = year.frequency, year.monetary_minor
        recency = max(0, day - last_ms // DAY_MS)
        tier = tier_of(recency, frequency, monetary_minor / self._major)
        if self.thresholds is None:
            return Standing(tier)
        r, f, m = self.thresholds.scores(day - recency, frequency, monetary_minor)
        return Standing(tier, segment_of(r, f, m), r, f, m)

    def outlook(self, profile: Profile) -> Outlook:
        """Stage of life and what the tier above asks for."""
        purchases = profile.purchases
        frequency = profile.frequency_365d
        recency = profile.recency_days if profile.bought else None
        lacks = missing(profile.tier, frequency, profile.monetary_365d_minor, HIGH_MONETARY * self._major)
        return Outlook(stage_of(recency, purchases.cycle_days, purchases.gaps, frequency), *lacks)

    def count(
        self,
        customer_id: str,
        before: Population | None,
        purchases: Purchases,
        standing: Standing,
        as_of_ms: int,
        out: Outcome,
    ) -> Population:
        """What the customer contributes from now on, instead of ``before``; tells of a changed tier or segment."""
        day = as_of_ms // DAY_MS
        last_ms = purchases.last_ms
        year = purchases.year(day)
        now = Population(
            0 if last_ms is None else last_ms // DAY_MS,
            year.frequency,
            year.monetary_minor,
            purchases.cycle_days,
            standing.tier,
            standing.segment,
        )
        if before is None:
            self.histograms.count(now, +1)
        elif now == before:
            return before
        else:
            self.histograms.move(before, now)
            if before.tier == now.tier and before.segment == now.segment:
                return now
        self._tell(customer_id, before, purchases, standing, as_of_ms, out)
        return now

    def _tell(
        self,
        customer_id: str,
        before: Population | None,
        purchases: Purchases,
        now: Standing,
        as_of_ms: int,
        out: Outcome,
    ) -> None:
        telemetry = out.telemetry
        if before is None or before.tier != now.tier:
            telemetry.customers_by_tier[now.tier] += 1
            if before is not None:
                telemetry.customers_by_tier[before.tier] -= 1
        if before is None or before.segment != now.segment:
            telemetry.customers_by_segment[now.segment] += 1
            if before is not None:
                telemetry.customers_by_segment[before.segment] -= 1
        if before is None and now.tier == PROSPECT:
            return
        telemetry.tier_changes[(before.tier if before else "", now.tier)] += 1
        day, last_ms = as_of_ms // DAY_MS, purchases.last_ms
        year = purchases.year(day)
        changed_at = to_text(as_of_ms)
        recency = None if last_ms is None else max(0, day - last_ms // DAY_MS)
        out.messages.append(
            tier_message(
                TierChange(
                    change_id=change_id(customer_id, changed_at, now.tier, now.segment),
                    customer_id=customer_id,
                    changed_at=changed_at,
                    tier=now.tier,
                    previous_tier=before.tier if before else None,
                    segment=now.segment,
                    previous_segment=before.segment if before else None,
                    r=now.r,
                    f=now.f,
                    m=now.m,
                    thresholds_day=self._thresholds_day,
                    reason=why(recency, year.frequency, year.monetary_minor / self._major),
                )
            )
        )
