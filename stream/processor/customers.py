"""One customer at one instant: what an event changes and causes, and what silence causes. Pure; called by `Partition`.

The order within one instant is fixed: what is due fires before events, and of what is due the calendar of churn snapshots
comes first, then reviews (tier, score, alert), then timer rules by (due, rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from stream.actions.codec import alert_message, decision_message
from stream.actions.decision import Cause, Decision
from stream.config import Settings
from stream.decisions.engine import Case, Engine
from stream.decisions.journeys import ENDED
from stream.events.hashing import digest64
from stream.events.instants import to_text
from stream.events.kinds import (
    KINDS,
    Cancellation,
    CartAdded,
    CartRemoved,
    CartViewed,
    ComplaintOpened,
    ComplaintResolved,
    Event,
    Identified,
    Purchase,
    Refund,
    Reviewed,
)
from stream.events.record import Record
from stream.feedback.hearing import Hearing
from stream.kpis.look import Looking
from stream.outcome import Outcome
from stream.processor.census import Census
from stream.processor.deadlines import Deadlines
from stream.processor.residents import UNKNOWN_MS, Resident
from stream.processor.scoring import Scorer
from stream.processor.watch import Watch
from stream.products.basket import Baskets
from stream.rules.occasions import decided_until_ms
from stream.rules.rule import RuleSet
from stream.rules.schedule import NEVER_MS
from stream.state.memory import Memory
from stream.state.messages import Seen
from stream.state.orders import Applied
from stream.state.profile import Profile, Standing

HISTORY_HOLD_MS = 3_600_000
"""How long after the last imported record of a customer its past is taken as complete. Shorter: a slow import of unsorted
files would have labels closed before the purchases arrive that contradict them; longer: the model learns later."""


class _Kind(NamedTuple):
    """What an event of a kind may change and cause."""

    orders: bool
    purchase: bool
    cart: bool
    asked: bool
    """A rule is triggered by it, or a journey may wait for it."""
    moves_occasions: bool
    """What it says of the person may move when calendars and complaints make something due."""


_CHANGED = Applied.CHANGED
"""Names of this module are found three times as fast as members of an `enum.Enum`."""
_ORDERS = (Purchase, Refund, Cancellation)
_COMPLAINTS = (ComplaintOpened, ComplaintResolved)
_CARTS = (Purchase, CartAdded, CartRemoved, CartViewed)


class CustomerWork:
    """Everything that happens to single customers, under one shop's settings and rules.

    ``history_released_ms`` is when the last import said that it was complete.
    """

    def __init__(self, settings: Settings, rules: RuleSet, partitions: int = 1) -> None:
        self.census = Census(settings)
        self.history_released_ms = 0
        self.scorer = Scorer(settings)
        self.looking = Looking(settings)
        self.quality = Watch(settings)
        self.valuing = self.census.assessor.valuing
        self.hearing = Hearing(settings.sentiment_texts_per_day)
        self.baskets = Baskets(settings.product_orders_per_day)
        self._settings = settings
        self.census.assessor.churn_of = self._churn_of
        self.census.assessor.cluster_of = self.scorer.cluster_of
        self.engine = Engine(rules, settings, partitions)
        self._go_by(rules)

    def adopt_rules(self, rules: RuleSet) -> None:
        """Other rules hold from now on. What was found out about due instants holds no longer."""
        self.engine.adopt(rules)
        self._go_by(rules)

    def _go_by(self, rules: RuleSet) -> None:
        self.deadlines = Deadlines(self._settings, rules)
        self.timed_by = timed_by(rules, self._settings)
        """What the due instants of this shop depend on besides the customer."""
        occasions = self.deadlines.schedule.occasions
        self._kinds = {
            kind: _Kind(
                orders=issubclass(kind, _ORDERS),
                purchase=issubclass(kind, Purchase),
                cart=issubclass(kind, _CARTS),
                asked=kind.kind in rules.on_event or kind.kind in rules.awaited,
                moves_occasions=(occasions.by_traits and issubclass(kind, Identified))
                or (occasions.by_complaints and issubclass(kind, _COMPLAINTS)),
            )
            for kind in KINDS
        }

    def profile(self, resident: Resident, as_of_ms: int) -> Profile:
        """The customer as of an instant, with tier, segment and scores."""
        census = self.census
        profile = Profile(resident.id, resident.customer, as_of_ms, resident.bought, census.judge, census.outlook)
        profile.stand_ins = self.quality.stand_ins
        profile.assessor = census.assessor
        profile.shop_zone, profile.category_name = self._settings.time_zone, self.engine.associations.category
        return profile

    def may_answer(self, event: Event) -> bool:
        """Whether a rule may answer an event, as far as the event itself tells."""
        return self.engine.may_answer(event, None)

    def is_told_by_event(self, kind: str) -> bool:
        """Whether `may_answer` tells most events of a kind apart."""
        return self.engine.is_told_by_event(kind)

    def refused(self, resident: Resident, event: Event) -> None:
        """An event was not taken. Looking at it may have moved what waits in the order book, nothing else."""
        if self._kinds[type(event)].orders:
            resident.forget()

    def happened(
        self, resident: Resident, event: Event, applied: Applied | Seen, record: Record, now_ms: int, out: Outcome
    ) -> int:
        """What follows from an event that has just been folded into the customer's facts.

        Returns when something about the customer is due next, 0 for never.
        """
        orders, is_purchase, moves_cart, asked, moves_occasions = self._kinds[type(event)]
        time_ms = event.time_ms
        as_of_ms = max(now_ms, time_ms)
        customer = resident.customer
        memory = customer.memory
        profile: Profile | None = None
        if orders:
            resident.purchases = None
            profile = self.profile(resident, as_of_ms)
            self._count(profile, out)
        elif not memory.is_counted:
            profile = self.profile(resident, as_of_ms)
            self._count(profile, out)
        if (
            is_purchase
            and self.baskets.is_on
            and not memory.suspect
            and applied is _CHANGED
            and type(event) is Purchase
            and event.lines
        ):
            self.baskets.add(event, digest64(event.message_id), customer.messages.baskets)
        if self.hearing.is_on and not memory.suspect and applied is _CHANGED and type(event) is Reviewed and event.text:
            self.hearing.hear(event, digest64(event.message_id), memory)
        if event.backfill:
            memory.history_until_ms = max(memory.history_until_ms, now_ms)
            resident.settled = False
        else:
            out.telemetry.lateness_ms.append(now_ms - time_ms)
            asked = (
                asked
                and applied is _CHANGED
                and (self.engine.may_answer(event, customer.messages) or self.engine.is_awaited(event, memory))
            )
            judged = (
                is_purchase
                and profile is not None
                and not self.scorer.is_settled(profile.recency_days, memory.alert_armed)
            )
            if judged or asked:
                if profile is None:
                    profile = self.profile(resident, as_of_ms)
                case = Case(profile, as_of_ms, self.scorer.score)
                pending_ms = memory.pending_ms
                if judged:
                    self._alert(case, out)
                if asked:
                    self._ask_rules(case, event, record, now_ms, out)
                if memory.pending_ms != pending_ms:
                    resident.settled = False
        if (
            resident.settled
            and as_of_ms >= resident.as_of_ms
            and resident.created_ms == customer.person.created_ms
            and not self.deadlines.by_activity
            and not moves_occasions
        ):
            if not (
                orders or moves_cart or (resident.cart_due_ms and resident.forgotten_ms != customer.messages.floor_ms)
            ):
                resident.as_of_ms = as_of_ms
                return resident.due_ms
            if (resident.orders_due_ms if orders else customer.rest_due_ms) != UNKNOWN_MS:
                return self._moved_due_ms(resident, profile or self.profile(resident, as_of_ms), orders)
        return self.next_due_ms(resident, profile or self.profile(resident, as_of_ms))

    def due(self, resident: Resident, now_ms: int, out: Outcome) -> int:
        """Does everything that is due about a customer up to ``now_ms``; returns when something is due next."""
        memory = resident.customer.memory
        profile = self.profile(resident, now_ms)
        customer_hash = resident.hash
        decided_ms = decided_until_ms(resident.customer.rest_due_ms, resident.customer.next_due_ms, now_ms)
        before_ms = memory.grid_ms
        held_until_ms = self._held_until_ms(memory)
        if now_ms >= held_until_ms:
            self.catch_up_calendar(resident, profile, out)
        case = Case(profile, now_ms, self.scorer.score)
        purchases = profile.purchases
        review_ms = self.deadlines.review_ms(purchases, memory, customer_hash)
        is_visit, is_review = before_ms != memory.grid_ms, review_ms <= now_ms
        if is_review:
            out.telemetry.timer_delay_ms.append(now_ms - review_ms)
        if is_visit or is_review:
            standing = profile.standing
            classes = self.census.assessor.reviewed(profile, memory.reviewed_ms, is_visit=is_visit)
            reviewed = self.census.reviewed(standing, classes)
            if reviewed.tier != standing.tier:
                profile.standing = standing._replace(tier=reviewed.tier)  # what is decided now goes by it
            memory.reviewed_ms = now_ms
            self._count(profile, out, reviewed)
            self._alert(case, out)
            review_ms = self.deadlines.review_ms(purchases, memory, customer_hash)
        grid_ms = max(self.deadlines.grid_ms(purchases, memory, customer_hash), held_until_ms)
        # Both are to come, and most timers and festivals lie behind the sooner one: they aren't looked at.
        visit_ms = min(review_ms, grid_ms)
        timers, timer_ms, cart_ms = self.deadlines.schedule.due(
            profile, memory, customer_hash, now_ms, decided_ms, visit_ms
        )
        if timers:
            out.telemetry.timer_delay_ms.extend([now_ms - timer.due_ms for timer in timers])
            self._publish(self.engine.on_due(case, timers), out)
        if 0 < memory.pending_ms <= now_ms:
            self._publish(self.engine.on_pending(case), out)
        ahead_ms = self._settle(resident, now_ms)
        resident.orders_due_ms = UNKNOWN_MS
        resident.cart_due_ms = UNKNOWN_MS if resident.customer.messages.carts else 0
        rest_ms = resident.customer.rest_due_ms = min(timer_ms, ahead_ms, memory.pending_ms or NEVER_MS)
        earliest_ms = min(rest_ms, cart_ms)
        resident.due_ms = 0 if earliest_ms == NEVER_MS else earliest_ms
        return resident.due_ms

    def next_due_ms(self, resident: Resident, profile: Profile) -> int:
        """When something about the customer is due next, 0 for never; found out anew."""
        customer = resident.customer
        memory, person = customer.memory, customer.person
        resident.other_due_ms = memory.pending_ms or NEVER_MS
        if self.deadlines.schedule.on_person.any:
            instants = (person.created_ms, person.last_activity_ms)
            person_ms = self.deadlines.schedule.on_person.next_ms(instants, profile, memory, resident.hash)
            resident.other_due_ms = min(resident.other_due_ms, person_ms)
        ahead_ms = self._settle(resident, profile.as_of_ms)
        due_ms = self._moved_due_ms(resident, profile, True)
        return due_ms if ahead_ms == NEVER_MS else min(due_ms or NEVER_MS, ahead_ms)

    def catch_up_calendar(self, resident: Resident, profile: Profile, out: Outcome) -> None:
        """Closes churn snapshots whose horizon is over and takes new ones, at each instant of the customer's calendar up
        to the profile's.

        After downtime, or in imported history, several instants may have passed: each is done as of its own time.
        """
        memory = resident.customer.memory
        while (grid_ms := self.deadlines.grid_ms(profile.purchases, memory, resident.hash)) <= profile.as_of_ms:
            at = profile if grid_ms == profile.as_of_ms else self.profile(resident, grid_ms)
            memory.grid_ms = grid_ms
            before = len(self.scorer.matured)
            suspect = memory.suspect
            if (reason := self.quality.look(at, memory, grid_ms, out)) is not None:
                self.census.suspected(at, suspect, reason, out)
            self.scorer.visit(at, memory, grid_ms)
            if memory.suspect:
                del self.scorer.matured[before:]
            history = self.valuing.visit(at, memory)
            self.looking.look(resident.customer, at.purchases, grid_ms, self.valuing.ahead_minor(history))
            for example in self.scorer.matured[before:]:
                out.telemetry.labels[("churned" if example.churned else "bought",)] += 1

    # -- inside

    def _settle(self, resident: Resident, as_of_ms: int) -> int:
        """Notes whether what is found out about due instants now will hold for the events to come.

        Returns when something that is dated ahead of the clock comes into view, `NEVER_MS` when nothing is: a worker whose
        clock was behind looks again then, also at a customer of whom it hears nothing more.
        """
        customer = resident.customer
        memory = customer.memory
        resident.created_ms = customer.person.created_ms
        resident.as_of_ms = as_of_ms
        resident.forgotten_ms = customer.messages.floor_ms
        ahead_ms = customer.messages.next_ms(as_of_ms) or NEVER_MS
        # What an import brought may be released at any time: then the next event has to look again.
        resident.settled = ahead_ms == NEVER_MS and memory.history_until_ms <= self.history_released_ms
        customer.timed_by = self.timed_by if resident.settled and not memory.history_until_ms else 0
        return ahead_ms

    def _moved_due_ms(self, resident: Resident, profile: Profile, orders: bool) -> int:
        """As `next_due_ms`, when nothing can have moved but what hangs on the cart and, perhaps, on orders."""
        messages = resident.customer.messages
        memory = resident.customer.memory
        resident.as_of_ms = profile.as_of_ms
        resident.forgotten_ms = messages.floor_ms
        cart_ms = NEVER_MS
        if messages.carts and profile.cart_open:
            cart_ms = self.deadlines.schedule.on_cart.next_ms(
                (profile.cart_changed_ms,), profile, memory, resident.hash
            )
        resident.cart_due_ms = 0 if cart_ms == NEVER_MS else cart_ms
        if orders:
            resident.orders_due_ms = self._orders_due_ms(resident, profile)
            resident.customer.rest_due_ms = min(resident.orders_due_ms, resident.other_due_ms)
        earliest_ms = min(cart_ms, resident.customer.rest_due_ms)
        resident.due_ms = 0 if earliest_ms == NEVER_MS else earliest_ms
        return resident.due_ms

    def _orders_due_ms(self, resident: Resident, profile: Profile) -> int:
        """When something that hangs on the customer's purchases or on occasions is due."""
        memory = resident.customer.memory
        orders_ms = self.deadlines.on_orders_ms(profile.purchases, memory, resident.hash, self._held_until_ms(memory))
        if not self.deadlines.schedule.occasions.any:
            return orders_ms
        customer = resident.customer
        decided_ms = decided_until_ms(customer.rest_due_ms, customer.next_due_ms, profile.as_of_ms)
        return self.deadlines.occasions_ms(
            resident.id, resident.hash, customer.person, profile.purchases, memory, decided_ms, orders_ms
        )

    def _ask_rules(self, case: Case, event: Event, record: Record, now_ms: int, out: Outcome) -> None:
        decisions = self.engine.on_event(case, event, lambda: _cause(event, record))
        if decisions:
            self._publish(decisions, out)
            if record.timestamp_ms >= 0:
                out.telemetry.event_to_decision_ms.append(now_ms - record.timestamp_ms)

    def _held_until_ms(self, memory: Memory) -> int:
        """Until when an import may still bring purchases of this customer's past."""
        history_ms = memory.history_until_ms
        return history_ms + HISTORY_HOLD_MS if history_ms > self.history_released_ms else 0

    def _churn_of(self, profile: Profile) -> float | None:
        facts = self.scorer.score(profile).facts
        return None if facts.abstained else facts.probability

    def _count(self, profile: Profile, out: Outcome, reviewed: Standing | None = None) -> None:
        """Brings the customer's share of the population up to date, and tells of a changed tier, segment or class."""
        memory = profile.customer.memory
        before, standing = memory.population, reviewed or profile.standing
        now = self.census.count(
            profile.customer_id,
            before,
            profile.purchases,
            standing,
            profile.as_of_ms,
            out,
            memory.suspect,
            profile if reviewed else None,
        )
        if now is not before:
            memory.population = now

    def _alert(self, case: Case, out: Outcome) -> None:
        """Judges the new score; raises the alert when its conditions hold, and asks the rules that answer it."""
        thresholds = self.census.thresholds
        cycle = 0.0 if thresholds is None else thresholds.median_cycle_days
        profile = case.profile
        alert = self.scorer.alert(case, profile.customer.memory, cycle)
        if alert is None:
            return
        out.telemetry.alerts[(alert.kind,)] += 1
        out.messages.append(alert_message(alert))
        self._publish(self.engine.on_alert(case, "churn", f"{profile.last_order_name}@{profile.day}"), out)

    def _publish(self, decisions: Sequence[Decision], out: Outcome) -> None:
        for decision in decisions:
            out.messages.append(decision_message(decision))
            if decision.verdict == ENDED:
                out.telemetry.journeys[(decision.rule.id, decision.reason or "")] += 1
            elif decision.verdict == "deferred":
                out.telemetry.deferred[(decision.rule.id, decision.reason or "")] += 1
            elif decision.reason is None:
                out.telemetry.actions[(decision.rule.id, decision.kind)] += 1
            else:
                out.telemetry.suppressed[(decision.rule.id, decision.reason)] += 1


def _cause(event: Event, record: Record) -> Cause:
    from_kafka = record.offset >= 0
    return Cause(
        kind=event.kind,
        at=to_text(event.time_ms),
        message_id=event.message_id,
        topic=record.topic if from_kafka else None,
        partition=record.partition if from_kafka else None,
        offset=record.offset if from_kafka else None,
    )


_TIMING = 1
"""To be raised with any change of how due instants are found: then they are found anew for everybody."""


def timed_by(rules: RuleSet, settings: Settings) -> int:
    """Never 0, which stands for none."""
    timing: tuple[object, ...] = (
        _TIMING,
        rules.version,
        settings.timer_spread_ms,
        settings.churn_horizon_days,
        settings.time_zone,
    )
    if rules.live_from_ms:
        timing += (sorted(rules.live_from_ms.items()),)
    return crc32(repr(timing).encode()) or 1
