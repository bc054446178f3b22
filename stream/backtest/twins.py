"""Customers under two sets of rules: what happens to them is played once, what is decided about them twice.

No rule changes what a customer did, how the population stands or what the churn model learns, so all of that is the same
whatever the rules (tests/backtest/test_twins.py plays both ways and compares). What each version has of its own is its engine, the
memory of its decisions, and when its timers are due. The order within one instant is that of
`stream.processor.customers.CustomerWork`; here are only events in order of time, each customer's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stream.backtest.brief import UNTOLD, BriefEngine
from stream.backtest.lives import Life, Own
from stream.backtest.recorder import Recorder
from stream.churn.alerts import is_too_early
from stream.config import Settings
from stream.decisions.engine import Case
from stream.events.hashing import digest64
from stream.events.instants import DAY_MS
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
from stream.feedback.hearing import Hearing
from stream.outcome import Outcome
from stream.processor.census import Census
from stream.processor.deadlines import Deadlines
from stream.processor.scoring import Scorer
from stream.processor.watch import Watch
from stream.products.basket import Baskets
from stream.rules.occasions import decided_until_ms
from stream.rules.rule import RuleSet
from stream.rules.schedule import NEVER_MS, Due, Known
from stream.state.memory import Memory
from stream.state.messages import Seen
from stream.state.orders import Applied
from stream.state.profile import Profile, Standing
from stream.state.purchases import Purchases

_CHANGED = Applied.CHANGED
_FOLDED = (Applied.CHANGED, Applied.UPDATED, Applied.SUPERSEDED)
_REPEATED = (Seen.DUPLICATE, Applied.DUPLICATE)
AHEAD_MS = 45 * DAY_MS
"""How far ahead calendars are looked through at least. More: who buys again soon is looked through for nothing; less: it is looked
through again after every timer."""

FAR_AHEAD_MS = 180 * DAY_MS
"""The same once something was due of a customer who has been silent. They mostly stay so, and to look again is a visit of its own."""


class _Kind(NamedTuple):
    """What an event of a kind may change in the facts."""

    orders: bool
    purchase: bool
    cart: bool


_KINDS = {
    kind: _Kind(
        orders=issubclass(kind, Purchase | Refund | Cancellation),
        purchase=issubclass(kind, Purchase),
        cart=issubclass(kind, Purchase | CartAdded | CartRemoved | CartViewed),
    )
    for kind in KINDS
}


class _Version:
    """One set of rules."""

    def __init__(self, settings: Settings, rules: RuleSet, recorder: Recorder) -> None:
        self.engine = BriefEngine(rules, settings)
        self.deadlines = Deadlines(settings, rules)
        self.schedule = self.deadlines.schedule
        self.recorder = recorder
        self.asked = frozenset(kind for kind in KINDS if kind.kind in rules.on_event or kind.kind in rules.awaited)
        occasions = self.schedule.occasions
        self.moved_by = frozenset(
            kind
            for kind in KINDS
            if self.deadlines.by_activity
            or (occasions.by_traits and issubclass(kind, Identified))
            or (occasions.by_complaints and issubclass(kind, ComplaintOpened | ComplaintResolved))
        )
        """Kinds besides orders that move when something is due."""


class _Quiet(Census):
    """A census that tells nobody of changed tiers."""

    newcomers = 0

    def _tell(self, customer_id: str, before: Any, *_: Any) -> None:
        self.newcomers += before is None


class Twins:
    """What happens to customers and what two versions decide about them. Told of events and instants by whoever keeps the time."""

    def __init__(self, settings: Settings, rules: Sequence[RuleSet], recorders: Sequence[Recorder]) -> None:
        self._settings = settings
        self.census = _Quiet(settings)
        self.scorer = Scorer(settings)
        self.quality = Watch(settings)
        self.valuing = self.census.assessor.valuing
        self.hearing = Hearing(settings.sentiment_texts_per_day)
        self.census.assessor.churn_of = self._churn_of
        self.census.assessor.cluster_of = self.scorer.cluster_of
        self.baskets = Baskets(settings.product_orders_per_day)
        self.versions = [_Version(settings, each, recorder) for each, recorder in zip(rules, recorders, strict=True)]
        self._deadlines = self.versions[0].deadlines  # reviews and snapshots are the same in all
        self._nobody = Outcome()

    def happens(self, life: Life, event: Event) -> bool:
        """Folds an event in, with what follows from it; whether it is part of history: not, when it was refused."""
        now_ms = event.time_ms
        while life.next_ms <= now_ms:
            self.falls_due(life, life.next_ms)
        facts, kind = life.facts, type(event)
        moves_orders, is_purchase, moves_cart = _KINDS[kind]
        applied = facts.apply(event, self._settings)
        if applied not in _FOLDED:
            if moves_orders:
                life.purchases, life.settled = None, False
            return applied in _REPEATED
        self.versions[0].recorder.counts["events"] += 1
        if applied is _CHANGED and not facts.memory.suspect:
            self._learn_from(life, event)
        profile: Profile | None = None
        memory, crossed = facts.memory, False
        if moves_orders or not memory.is_counted:
            if moves_orders:
                life.purchases = None
            profile = self._profile(life, now_ms)
            self._count(profile)
            if is_purchase and not self.scorer.is_settled(profile.recency_days, memory.alert_armed):
                crossed = self.scorer.crosses(profile, memory, self._cycle_days)
        is_new = not life.settled or life.created_ms != facts.person.created_ms
        anew = is_new or moves_orders
        if anew:
            self._find_due(life, life.bought().until(now_ms // DAY_MS))
        floor_ms = facts.messages.floor_ms
        forgets = floor_ms != life.floor_ms
        life.floor_ms = floor_ms
        for version, own in zip(self.versions, life.own, strict=True):
            asked = (
                kind in version.asked
                and applied is _CHANGED
                and (
                    version.engine.may_answer(event, facts.messages)
                    or version.engine.is_awaited(event, own.customer.memory)
                )
            )
            if crossed or asked:
                profile = profile or self._profile(life, now_ms)
                case = self._case(profile, own)
                if crossed:
                    self._alert(version, case)
                if asked:
                    version.recorder.decided(now_ms, version.engine.on_event(case, event, _untold))
            if anew or kind in version.moved_by:
                self._find_timers(version, life, own, now_ms, is_new)
            if anew or moves_cart or (forgets and own.cart_ms != NEVER_MS):
                self._find_cart(version, life, own, now_ms)
            own.settle()
        life.settle()
        return True

    def falls_due(self, life: Life, due_ms: int) -> None:
        """Does everything that is due about a customer at an instant, or, if it became so only then, at the last event."""
        facts = life.facts
        newest_ms = facts.messages.newest_ms()
        now_ms = max(due_ms, newest_ms)
        profile = self._profile(life, now_ms)
        shared_ms, crossed = life.due_ms, False
        if shared_ms <= now_ms:
            crossed = self._review(life, profile)
        for version, own in zip(self.versions, life.own, strict=True):
            if own.due_ms > now_ms and shared_ms > newest_ms and not crossed:
                continue
            rest_ms = min(shared_ms, own.rest_ms)
            timers = self._due(version, life, own, profile, rest_ms)
            memory = own.customer.memory
            if crossed or timers or 0 < memory.pending_ms <= now_ms:
                case, decided = self._case(profile, own), version.recorder.decided
                if crossed:
                    self._alert(version, case)
                if timers:
                    decided(now_ms, version.engine.on_due(case, timers))
                if 0 < memory.pending_ms <= now_ms:
                    decided(now_ms, version.engine.on_pending(case))
            own.settle()
        life.settle()

    # -- inside

    def _learn_from(self, life: Life, event: Event) -> None:
        """What a new event teaches of products and words."""
        facts = life.facts
        if type(event) is Purchase:
            if self.baskets.is_on and event.lines:
                self.baskets.add(event, digest64(event.message_id), facts.messages.baskets)
        elif type(event) is Reviewed and self.hearing.is_on and event.text:
            self.hearing.hear(event, digest64(event.message_id), facts.memory)
            for own in life.own:
                own.customer.memory.sentiments = facts.memory.sentiments

    def _profile(self, life: Life, as_of_ms: int) -> Profile:
        census = self.census
        profile = Profile(life.id, life.facts, as_of_ms, life.bought, census.judge, census.outlook)
        profile.stand_ins = self.quality.stand_ins
        profile.shop_zone = self._settings.time_zone
        profile.category_name = self.versions[0].engine.associations.category
        profile.assessor = census.assessor
        return profile

    def _case(self, profile: Profile, own: Own) -> Case:
        """The customer as a version sees it: what has been read of the profile needn't be read again."""
        if profile.customer is not own.customer:
            mine = Profile.__new__(Profile)
            mine.__dict__.update(profile.__dict__)
            mine.__dict__.pop("views_of_product", None)  # whatever the other version has asked about
            mine.customer = own.customer
            # What a customer is in the population is known of the facts alone, and hangs on what it was before.
            mine.__dict__["_judge"] = lambda _, of_facts=profile: of_facts.standing
            profile = mine
        return Case(profile, profile.as_of_ms, self.scorer.score)

    @property
    def _cycle_days(self) -> float:
        thresholds = self.census.thresholds
        return 0.0 if thresholds is None else thresholds.median_cycle_days

    def _churn_of(self, profile: Profile) -> float | None:
        facts = self.scorer.score(profile).facts
        return None if facts.abstained else facts.probability

    def _count(self, profile: Profile, reviewed: Standing | None = None) -> None:
        memory = profile.customer.memory
        before = memory.population
        now = self.census.count(
            profile.customer_id,
            before,
            profile.purchases,
            reviewed or profile.standing,
            profile.as_of_ms,
            self._nobody,
            memory.suspect,
        )
        if now is not before:
            memory.population = now

    def _review(self, life: Life, profile: Profile) -> bool:
        """The customer's calendar, and tier and score where they are looked at; whether there is an alert."""
        memory, purchases, now_ms = life.facts.memory, profile.purchases, profile.as_of_ms
        deadlines, visited_ms, crossed = self._deadlines, memory.grid_ms, False
        while (grid_ms := deadlines.grid_ms(purchases, memory, life.hash)) <= now_ms:
            at = profile if grid_ms == now_ms else self._profile(life, grid_ms)
            memory.grid_ms = grid_ms
            before = len(self.scorer.matured)
            self.quality.look(at, memory, grid_ms, self._nobody)
            self.scorer.visit(at, memory, grid_ms)
            if memory.suspect:
                del self.scorer.matured[before:]
            self.valuing.visit(at, memory)
            for own in life.own:
                own.customer.memory.suspect = memory.suspect
        is_visit = visited_ms != memory.grid_ms
        if is_visit or deadlines.review_ms(purchases, memory, life.hash) <= now_ms:
            classes = self.census.assessor.reviewed(profile, memory.reviewed_ms, is_visit=is_visit)
            memory.reviewed_ms = now_ms
            reviewed = self.census.reviewed(profile.standing, classes)
            if reviewed.tier != profile.tier:
                profile.standing = profile.standing._replace(tier=reviewed.tier)
            self._count(profile, reviewed)
            crossed = not self._is_settled(profile, memory) and self.scorer.crosses(profile, memory, self._cycle_days)
        life.due_ms = min(grid_ms, deadlines.review_ms(purchases, memory, life.hash))
        return crossed

    def _is_settled(self, profile: Profile, memory: Memory) -> bool:
        """Whether no score could alert or disarm the customer. Live scores all the same, as an alert tells of the score before it."""
        usual_days = profile.cycle_days or self._cycle_days or float(self._settings.churn_horizon_days)
        return memory.alert_armed and profile.bought and is_too_early(profile.recency_days, usual_days, self._settings)

    def _alert(self, version: _Version, case: Case) -> None:
        profile = case.profile
        occurrence = f"{profile.last_order_name}@{profile.day}"
        version.recorder.decided(case.now_ms, version.engine.on_alert(case, "churn", occurrence))

    def _find_due(self, life: Life, purchases: Purchases) -> None:
        memory, deadlines = life.facts.memory, self._deadlines
        life.settled, life.created_ms = True, life.facts.person.created_ms
        life.due_ms = min(
            deadlines.review_ms(purchases, memory, life.hash), deadlines.grid_ms(purchases, memory, life.hash)
        )

    def _due(self, version: _Version, life: Life, own: Own, profile: Profile, rest_ms: int) -> list[Due]:
        """What timers and calendars have made due by the profile's instant, and when they do so next. ``rest_ms``: when anything
        but the cart's timers was due."""
        memory, schedule, now_ms = own.customer.memory, version.schedule, profile.as_of_ms
        found: list[Due] = []
        purchases = profile.purchases
        if own.orders_ms <= now_ms:
            found, own.orders_ms = schedule.on_orders.due(_ordered(purchases), purchases, memory, life.hash, now_ms)
        if own.person_ms <= now_ms:
            person = life.facts.person
            instants = (person.created_ms, person.last_activity_ms)
            more, own.person_ms = schedule.on_person.due(instants, purchases, memory, life.hash, now_ms)
            found += more
        if own.cart_ms <= now_ms:
            own.cart_ms = NEVER_MS
            if life.facts.messages.carts and profile.cart_open:
                changed_ms = (profile.cart_changed_ms,)
                more, own.cart_ms = schedule.on_cart.due(changed_ms, purchases, memory, life.hash, now_ms)
                found += more
        # What has been due since before the last event is looked for anew: the event may have changed what calendars ask.
        if own.occasion_ms <= now_ms or rest_ms <= life.facts.messages.newest_ms():
            decided_ms = decided_until_ms(rest_ms, min(rest_ms, own.cart_ms), now_ms)
            known = self._known(version, life, purchases)
            more, own.occasion_ms = schedule.occasions.due(
                known, memory, decided_ms, now_ms, max(now_ms + FAR_AHEAD_MS, _ahead_ms(own, now_ms))
            )
            found += more
        found.sort()
        return found

    def _find_timers(self, version: _Version, life: Life, own: Own, now_ms: int, is_new: bool) -> None:
        person, purchases, schedule = life.facts.person, life.bought().until(now_ms // DAY_MS), version.schedule
        memory = own.customer.memory
        own.orders_ms = NEVER_MS
        if purchases.last_ms is not None:
            own.orders_ms = schedule.on_orders.next_ms(_ordered(purchases), purchases, memory, life.hash)
        if is_new or version.deadlines.by_activity:
            instants = (person.created_ms, person.last_activity_ms)
            own.person_ms = schedule.on_person.next_ms(instants, purchases, memory, life.hash)
        if schedule.occasions.any:
            known = self._known(version, life, purchases)
            own.occasion_ms = schedule.occasions.next_ms(known, memory, now_ms, _ahead_ms(own, now_ms))

    def _known(self, version: _Version, life: Life, purchases: Purchases) -> Known:
        zone = version.schedule.occasions.shop_zone
        return Known(life.id, life.hash, life.facts.person, purchases.first_ms, purchases.last_ms, zone)

    def _find_cart(self, version: _Version, life: Life, own: Own, now_ms: int) -> None:
        messages = life.facts.messages
        own.cart_ms = NEVER_MS
        if messages.carts and version.schedule.on_cart.any:
            cart = messages.cart(now_ms)
            if cart.items > 0:
                own.cart_ms = version.schedule.on_cart.next_ms(
                    (cart.changed_ms,), life.bought(), own.customer.memory, life.hash
                )


def _ahead_ms(own: Own, now_ms: int) -> int:
    """How far ahead it is looked for what calendars make due: as far as the next timer at least."""
    return max(now_ms + AHEAD_MS, min(own.orders_ms, own.person_ms))


def _ordered(purchases: Purchases) -> tuple[int, int, int]:
    """The instants of `stream.rules.schedule.ON_ORDERS`, 0 where there is none."""
    expected_day = purchases.expected_next_day
    return purchases.last_ms or 0, purchases.first_ms or 0, 0 if expected_day is None else expected_day * DAY_MS


def _untold() -> Any:
    return UNTOLD
