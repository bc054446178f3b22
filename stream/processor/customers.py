"""One customer at one instant: what an event changes and causes, and what silence causes. Pure; called by `Partition`.

The order within one instant is fixed: what is due fires before events, and of what is due the calendar of churn snapshots
comes first, then reviews (tier, score, alert), then timer rules by (due, rule).
"""

from __future__ import annotations

from collections.abc import Sequence

from stream.actions.codec import alert_message, decision_message, tier_message
from stream.actions.decision import Cause, Decision
from stream.actions.tier_change import TierChange, change_id
from stream.churn.calendar import next_grid_ms
from stream.config import Settings
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS, day_of, to_text
from stream.events.kinds import Cancellation, Event, Purchase, Refund
from stream.events.money import EXPONENT_OF
from stream.events.record import Record
from stream.outcome import Outcome
from stream.processor.scoring import Scorer
from stream.rules.engine import Case, Engine, Score
from stream.rules.rule import RuleSet
from stream.rules.schedule import Due, Schedule
from stream.segments.named import PROSPECTS, segment_of
from stream.segments.population import Histograms, Thresholds
from stream.segments.reviews import next_review_ms
from stream.segments.tiers import PROSPECT, tier_of, why
from stream.state.customer import Customer
from stream.state.memory import Population
from stream.state.orders import Applied
from stream.state.profile import Profile

HISTORY_HOLD_MS = 3_600_000
"""How long after the last imported record of a customer its past is taken as complete. Shorter: a slow import of unsorted
files would have labels closed before the purchases arrive that contradict them; longer: the model learns later."""

_ORDER_KINDS = (Purchase, Refund, Cancellation)


class CustomerWork:
    """Everything that happens to single customers, under one shop's settings and rules.

    ``histograms`` is the partition's population, kept current here; ``thresholds`` is set with each epoch;
    ``history_released_ms`` is when the last import said that it was complete.
    """

    def __init__(self, settings: Settings, rules: RuleSet, histograms: Histograms) -> None:
        self.thresholds: Thresholds | None = None
        self.history_released_ms = 0
        self.histograms = histograms
        self.scorer = Scorer(settings)
        self._settings = settings
        self._engine = Engine(rules, settings)
        self._schedule = Schedule(rules, settings)
        self._major = 10 ** EXPONENT_OF.get(settings.currency, 2)

    def profile(self, customer_id: str, customer: Customer, as_of_ms: int) -> Profile:
        """The customer as of an instant, with tier, segment and scores."""
        profile = Profile(customer_id, customer, as_of_ms)
        recency = profile.recency_days if profile.bought else None
        profile.tier = tier_of(recency, profile.frequency_365d, profile.monetary_365d_minor / self._major)
        if recency is None:
            profile.segment = PROSPECTS
        elif self.thresholds is not None:
            profile.r, profile.f, profile.m = self.thresholds.scores(
                profile.day - recency, profile.frequency_365d, profile.monetary_365d_minor
            )
            profile.segment = segment_of(profile.r, profile.f, profile.m)
        return profile

    def happened(
        self,
        customer_id: str,
        customer: Customer,
        event: Event,
        applied: Applied,
        record: Record,
        now_ms: int,
        out: Outcome,
    ) -> int:
        """What follows from an event that has just been folded into the customer's facts.

        Returns when something about the customer is due next, 0 for never.
        """
        as_of_ms = max(now_ms, event.time_ms)
        profile = self.profile(customer_id, customer, as_of_ms)
        if isinstance(event, _ORDER_KINDS) or customer.memory.population is None:
            self._count(profile, customer, out)
        if event.backfill:
            customer.memory.history_until_ms = max(customer.memory.history_until_ms, now_ms)
        else:
            out.telemetry.lateness_ms.append(now_ms - event.time_ms)
            score = _LazyScore(self.scorer, profile)
            case = Case(customer_id=customer_id, customer=customer, profile=profile, now_ms=as_of_ms, score=score)
            if isinstance(event, Purchase):
                self._alert(case, profile, out)
            if applied is Applied.CHANGED:
                self._ask_rules(case, event, record, now_ms, out)
        return self.next_due_ms(profile, customer)

    def due(self, customer_id: str, customer: Customer, now_ms: int, out: Outcome) -> int:
        """Does everything that is due about a customer up to ``now_ms``; returns when something is due next."""
        memory = customer.memory
        profile = self.profile(customer_id, customer, now_ms)
        visited_ms = memory.grid_ms
        if now_ms >= self._held_until_ms(customer):
            self.catch_up_calendar(profile, customer, out)
        score = _LazyScore(self.scorer, profile)
        case = Case(customer_id=customer_id, customer=customer, profile=profile, now_ms=now_ms, score=score)
        customer_hash = hash64(customer_id)
        review_ms = self._next_review(profile, customer, customer_hash)
        if review_ms is not None and review_ms <= now_ms:
            out.telemetry.timer_delay_ms.append(now_ms - review_ms)
            visited_ms = -1
        if visited_ms != memory.grid_ms:
            memory.reviewed_ms = now_ms
            self._count(profile, customer, out)
            self._alert(case, profile, out)
        waiting = self._schedule.waiting(profile, memory, customer_hash)
        timers = [timer for timer in waiting if timer.due_ms <= now_ms]
        if timers:
            out.telemetry.timer_delay_ms.extend(now_ms - timer.due_ms for timer in timers)
            self._publish(self._engine.on_due(case, timers), out)
        return self._earliest(profile, customer, customer_hash, waiting[len(timers) :])

    def next_due_ms(self, profile: Profile, customer: Customer) -> int:
        """When something about the customer is due next, 0 for never."""
        customer_hash = hash64(profile.customer_id)
        return self._earliest(
            profile, customer, customer_hash, self._schedule.waiting(profile, customer.memory, customer_hash)
        )

    def catch_up_calendar(self, profile: Profile, customer: Customer, out: Outcome) -> None:
        """Closes churn snapshots whose horizon is over and takes new ones, at each instant of the customer's calendar up
        to the profile's.

        After downtime, or in imported history, several instants may have passed: each is done as of its own time.
        """
        customer_hash = hash64(profile.customer_id)
        memory = customer.memory
        while (
            grid_ms := self._next_grid(profile, customer, customer_hash)
        ) is not None and grid_ms <= profile.as_of_ms:
            at = profile if grid_ms == profile.as_of_ms else self.profile(profile.customer_id, customer, grid_ms)
            memory.grid_ms = grid_ms
            before = len(self.scorer.matured)
            self.scorer.visit(at, memory, grid_ms)
            for example in self.scorer.matured[before:]:
                out.telemetry.labels[("churned" if example.churned else "bought",)] += 1

    # -- inside

    def _earliest(self, profile: Profile, customer: Customer, customer_hash: int, waiting: Sequence[Due]) -> int:
        times = [waiting[0].due_ms] if waiting else []
        if profile.bought:
            review_ms = self._next_review(profile, customer, customer_hash)
            if review_ms is not None:
                times.append(review_ms)
            grid_ms = self._next_grid(profile, customer, customer_hash)
            if grid_ms is not None:
                times.append(max(grid_ms, self._held_until_ms(customer)))
        return min(times, default=0)

    def _ask_rules(self, case: Case, event: Event, record: Record, now_ms: int, out: Outcome) -> None:
        from_kafka = record.offset >= 0
        cause = Cause(
            kind=event.kind,
            at=to_text(event.time_ms),
            message_id=event.message_id,
            topic=record.topic if from_kafka else None,
            partition=record.partition if from_kafka else None,
            offset=record.offset if from_kafka else None,
        )
        decisions = self._engine.on_event(case, event, cause)
        self._publish(decisions, out)
        if decisions and record.timestamp_ms >= 0:
            out.telemetry.event_to_decision_ms.append(now_ms - record.timestamp_ms)

    def _held_until_ms(self, customer: Customer) -> int:
        """Until when an import may still bring purchases of this customer's past."""
        history_ms = customer.memory.history_until_ms
        return history_ms + HISTORY_HOLD_MS if history_ms > self.history_released_ms else 0

    def _next_review(self, profile: Profile, customer: Customer, customer_hash: int) -> int | None:
        last_ms = profile.last_purchase_ms
        if last_ms is None:
            return None
        memory = customer.memory
        after_ms = max(memory.reviewed_ms, memory.history_until_ms, last_ms)
        spread_ms = self._settings.timer_spread_ms
        return next_review_ms(last_ms, after_ms, customer_hash, spread_ms, watched=memory.alert_armed)

    def _next_grid(self, profile: Profile, customer: Customer, customer_hash: int) -> int | None:
        first_ms, last_ms = profile.first_purchase_ms, profile.last_purchase_ms
        if first_ms is None or last_ms is None:
            return None
        after_ms = max(customer.memory.grid_ms, first_ms)
        grid_ms = next_grid_ms(customer_hash, after_ms, self.scorer.period_ms)
        if not customer.memory.snapshots and grid_ms > last_ms + self.scorer.interest_ms:
            return None
        return grid_ms

    def _count(self, profile: Profile, customer: Customer, out: Outcome) -> None:
        """Brings the customer's share of the population up to date, and tells of a changed tier or segment."""
        before = customer.memory.population
        last_ms = profile.last_purchase_ms
        now = Population(
            last_day=0 if last_ms is None else day_of(last_ms),
            frequency=profile.frequency_365d,
            monetary_minor=profile.monetary_365d_minor,
            cycle_days=profile.cycle_days,
            tier=profile.tier,
            segment=profile.segment,
        )
        if now == before:
            return
        customer.memory.population = now
        if before is not None:
            self.histograms.count(before, -1)
        self.histograms.count(now, +1)
        telemetry = out.telemetry
        if before is None or before.tier != now.tier:
            telemetry.customers_by_tier[now.tier] += 1
            if before is not None:
                telemetry.customers_by_tier[before.tier] -= 1
        if before is None or before.segment != now.segment:
            telemetry.customers_by_segment[now.segment] += 1
            if before is not None:
                telemetry.customers_by_segment[before.segment] -= 1
        if (before.tier, before.segment) == (now.tier, now.segment) if before else now.tier == PROSPECT:
            return
        telemetry.tier_changes[(before.tier if before else "", now.tier)] += 1
        changed_at = to_text(profile.as_of_ms)
        recency = profile.recency_days if profile.bought else None
        out.messages.append(
            tier_message(
                TierChange(
                    change_id=change_id(profile.customer_id, changed_at, now.tier, now.segment),
                    customer_id=profile.customer_id,
                    changed_at=changed_at,
                    tier=now.tier,
                    previous_tier=before.tier if before else None,
                    segment=now.segment,
                    previous_segment=before.segment if before else None,
                    r=profile.r,
                    f=profile.f,
                    m=profile.m,
                    thresholds_day=None if self.thresholds is None else to_text(self.thresholds.day * DAY_MS)[:10],
                    reason=why(recency, profile.frequency_365d, profile.monetary_365d_minor / self._major),
                )
            )
        )

    def _alert(self, case: Case, profile: Profile, out: Outcome) -> None:
        """Judges the new score; raises the alert when its conditions hold, and asks the rules that answer it."""
        cycle = self.thresholds.median_cycle_days if self.thresholds is not None else 0.0
        alert = self.scorer.alert(profile, case.customer.memory, case.score(), cycle, case.now_ms)
        if alert is None:
            return
        out.telemetry.alerts[(alert.kind,)] += 1
        out.messages.append(alert_message(alert))
        self._publish(self._engine.on_alert(case, "churn", f"{profile.last_order_name}@{profile.day}"), out)

    def _publish(self, decisions: Sequence[Decision], out: Outcome) -> None:
        for decision in decisions:
            out.messages.append(decision_message(decision))
            if decision.reason is None:
                out.telemetry.actions[(decision.rule.id, decision.kind)] += 1
            else:
                out.telemetry.suppressed[(decision.rule.id, decision.reason)] += 1


class _LazyScore:
    """The score of a profile, computed once and only when asked for."""

    __slots__ = ("_profile", "_score", "_scorer")

    def __init__(self, scorer: Scorer, profile: Profile) -> None:
        self._scorer, self._profile = scorer, profile
        self._score: Score | None = None

    def __call__(self) -> Score:
        if self._score is None:
            self._score = self._scorer.score(self._profile)
        return self._score
