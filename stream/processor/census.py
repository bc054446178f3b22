"""Where a customer stands in the population, and what is told when that changes. Pure, as everything of the processor."""

from __future__ import annotations

from stream.actions.codec import tier_message
from stream.actions.message import Message
from stream.actions.tier_change import TierChange, change_id
from stream.config import Settings
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS, to_text
from stream.events.money import EXPONENT_OF
from stream.outcome import Outcome
from stream.processor.assessor import Assessor
from stream.processor.ranks import Ranks
from stream.segments.lifecycle import stage_of
from stream.segments.named import PROSPECTS, segment_of
from stream.segments.population import Histograms, Thresholds
from stream.segments.schemes import CORE, FIXED, RANKED, SHARE, SUSPECT, UNSUSPECTED, changes, class_in, tier_in
from stream.segments.shares import SHARE_TIERS
from stream.segments.tiers import HIGH_MONETARY, PROSPECT, missing, tier_of, why
from stream.state.memory import Population
from stream.state.profile import Outlook, Profile, Standing
from stream.state.purchases import Purchases

_PROSPECT = Standing(PROSPECT, PROSPECTS, fixed=PROSPECT)


class Census:
    """The population of one partition, kept current, and the thresholds by which everybody is judged."""

    def __init__(self, settings: Settings) -> None:
        self.histograms = Histograms()
        self.thresholds: Thresholds | None = None
        self.ranks = Ranks(settings)
        self._thresholds_day: str | None = None
        self.currency = settings.currency
        self._major = 10 ** EXPONENT_OF.get(settings.currency, 2)
        self.assessor = Assessor(settings, self.ranks)
        self._primary_scheme = settings.tier_scheme
        self._has_fixed_tiers = settings.tier_scheme == FIXED

    def follow(self, thresholds: Thresholds | None) -> None:
        """Judges by other thresholds from now on."""
        self.thresholds = thresholds
        self.ranks.follow(None if thresholds is None else thresholds.scales)
        self._thresholds_day = None if thresholds is None else to_text(thresholds.day * DAY_MS)[:10]

    def judge(self, profile: Profile) -> Standing:
        """Tier, segment, scores and classes of a customer."""
        if not self.ranks.is_on:
            return self.standing(profile.purchases, profile.day, profile.customer.memory.population)
        return self.standing(
            profile.purchases,
            profile.day,
            profile.customer.memory.population,
            hash64(profile.customer_id),
            profile.last_nps,
            profile.days_since_activity,
        )

    def standing(
        self,
        purchases: Purchases,
        day: int,
        before: Population | None = None,
        customer_hash: int = 0,
        last_nps: float = -1,
        silent_days: int = 0,
    ) -> Standing:
        """Tier, segment, scores and classes as of a UTC day; ``before`` is what the customer was when last counted."""
        last_ms, ranks = purchases.last_ms, self.ranks
        cell, classes = 0, 0 if before is None else before.classes & ranks.kept
        if last_ms is None:
            if not ranks.kept and self._has_fixed_tiers:
                return _PROSPECT
            classes = ranks.classes(0, classes, customer_hash, silent_days, bought=False)
            primary = self._primary(PROSPECT, classes, PROSPECTS)
            return Standing(primary, PROSPECTS, fixed=PROSPECT, classes=classes)
        year = purchases.year(day)
        frequency, monetary_minor = year.frequency, year.monetary_minor
        recency = max(0, day - last_ms // DAY_MS)
        tier = tier_of(recency, frequency, monetary_minor / self._major)
        if ranks.is_on:
            cell = ranks.cell(day - recency, frequency, monetary_minor, last_nps)
            classes = ranks.classes(cell, classes, customer_hash, min(recency, silent_days), bought=True)
        r = f = m = 0
        if self.thresholds is not None:
            r, f, m = self.thresholds.scores(day - recency, frequency, monetary_minor)
        segment = segment_of(r, f, m)
        primary = tier if self._has_fixed_tiers else self._primary(tier, classes, segment)
        return Standing(primary, segment, r, f, m, tier, cell, classes)

    def outlook(self, profile: Profile) -> Outlook:
        """Stage of life, what the tier above asks for, and the classes in other schemes."""
        purchases = profile.purchases
        frequency = profile.frequency_365d
        recency = profile.recency_days if profile.bought else None
        standing = profile.standing
        lacks = missing(standing.fixed, frequency, profile.monetary_365d_minor, HIGH_MONETARY * self._major)
        stage = stage_of(recency, purchases.cycle_days, purchases.gaps, frequency)
        return Outlook(stage, *lacks, class_in(SHARE, standing.classes))

    def tiers(self, profile: Profile) -> dict[str, object]:
        """What a person may want to see of the schemes besides the primary one."""
        standing, position = profile.standing, None
        if standing.cell:
            position = self.ranks.position(standing.cell, hash64(profile.customer_id))
        return {
            "fixed": standing.fixed,
            "share": class_in(SHARE, standing.classes) or None,
            "share_by_rank": SHARE_TIERS[standing.classes & RANKED] or None,
            "rank": None if position is None else round(position, 4),
            "value": profile.value_group or None,
            "loyalty": profile.loyalty_kind or None,
            "lifecycle": profile.lifecycle,
            "core": class_in(CORE, standing.classes) or None,
        }

    def reviewed(self, standing: Standing, classes: int) -> Standing:
        """A customer's standing after a review that has found other classes."""
        return standing._replace(tier=self._primary(standing.fixed, classes, standing.segment), classes=classes)

    def tier_of(self, counted: Population) -> str:
        """The tier in force of a customer as last counted."""
        return self._primary(counted.tier, counted.classes, counted.segment)

    def count(
        self,
        customer_id: str,
        before: Population | None,
        purchases: Purchases,
        standing: Standing,
        as_of_ms: int,
        out: Outcome,
        suspect: str = "",
        profile: Profile | None = None,
    ) -> Population:
        """What the customer contributes from now on, instead of ``before``; tells of changed tiers, segments and classes. With the
        ``profile``, of those that are looked at in reviews too.

        A suspect is in a tier and a segment as everybody, and in nothing that thresholds and ranks are made of.
        """
        day = as_of_ms // DAY_MS
        last_ms = purchases.last_ms
        year = purchases.year(day)
        now = Population(
            0 if last_ms is None else last_ms // DAY_MS,
            year.frequency,
            year.monetary_minor,
            purchases.cycle_days,
            standing.fixed,
            standing.segment,
            standing.cell,
            standing.classes,
        )
        if suspect:
            now = Population(now.last_day, 0, 0, 0.0, now.tier, now.segment, 0, now.classes)
        if before is None:
            self.histograms.count(now, +1)
        elif now == before:
            return before
        else:
            self.histograms.move(before, now)
            if before.tier == now.tier and before.segment == now.segment and before.classes == now.classes:
                return now
        self._tell(customer_id, before, purchases, standing, as_of_ms, out, profile)
        return now

    def suspected(self, profile: Profile, before: str, reason: str, out: Outcome) -> None:
        """Tells that a customer has become a suspect, is one for something else, or is none any more (``reason``: in words)."""
        is_, was = profile.customer.memory.suspect or UNSUSPECTED, before or UNSUSPECTED
        out.messages.append(
            self._change(
                profile.customer_id,
                to_text(profile.as_of_ms),
                (SUSPECT, was, is_),
                profile.standing,
                profile.segment,
                reason,
            )
        )

    def _why(self, scheme: str, customer_id: str, now: Standing, profile: Profile | None, figures: str) -> str:
        if scheme == SHARE:
            return self.ranks.why(customer_id, now, figures)
        return figures if profile is None else self.assessor.why(scheme, profile, figures)

    def _primary(self, fixed: str, classes: int, segment: str) -> str:
        """The tier that counts."""
        return fixed if self._has_fixed_tiers else tier_in(self._primary_scheme, fixed, classes, segment)

    def _tell(
        self,
        customer_id: str,
        before: Population | None,
        purchases: Purchases,
        now: Standing,
        as_of_ms: int,
        out: Outcome,
        profile: Profile | None,
    ) -> None:
        telemetry = out.telemetry
        is_other_tier = before is None or before.tier != now.fixed
        is_other_segment = before is None or before.segment != now.segment
        if is_other_tier:
            telemetry.customers_by_tier[now.fixed] += 1
            if before is not None:
                telemetry.customers_by_tier[before.tier] -= 1
        if is_other_segment:
            telemetry.customers_by_segment[now.segment] += 1
            if before is not None:
                telemetry.customers_by_segment[before.segment] -= 1
        others = changes(before.classes if before else 0, now.classes)
        for scheme, was, is_ in others:
            telemetry.customers_by_class[scheme, is_] += 1
            if was:
                telemetry.customers_by_class[scheme, was] -= 1
                telemetry.class_changes[scheme, was, is_] += 1
        if before is None and now.fixed == PROSPECT:
            return
        day, last_ms = as_of_ms // DAY_MS, purchases.last_ms
        year = purchases.year(day)
        changed_at = to_text(as_of_ms)
        recency = None if last_ms is None else max(0, day - last_ms // DAY_MS)
        reason = why(recency, year.frequency, year.monetary_minor / self._major)
        if is_other_tier or is_other_segment:
            telemetry.tier_changes[(before.tier if before else "", now.fixed)] += 1
            others = ((FIXED, before.tier if before else "", now.fixed), *others)
        for scheme, was, is_ in others:
            if scheme != FIXED and not was:
                continue  # nobody knew: not a change of the customer
            told = self._why(scheme, customer_id, now, profile, reason)
            previous = before.segment if before else None
            change = scheme, was if before else None, is_
            out.messages.append(self._change(customer_id, changed_at, change, now, previous, told))

    def _change(
        self,
        customer_id: str,
        changed_at: str,
        change: tuple[str, str | None, str],
        now: Standing,
        previous_segment: str | None,
        reason: str,
    ) -> Message:
        """The message of a ``change``: scheme, class before, class now."""
        scheme, was, is_ = change
        return tier_message(
            TierChange(
                change_id=change_id(customer_id, changed_at, is_, now.segment if scheme == FIXED else scheme),
                customer_id=customer_id,
                changed_at=changed_at,
                scheme=scheme,
                tier=is_,
                previous_tier=was,
                segment=now.segment,
                previous_segment=previous_segment,
                r=now.r,
                f=now.f,
                m=now.m,
                thresholds_day=self._thresholds_day,
                reason=reason,
            )
        )
