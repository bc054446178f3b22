"""From a trigger to decisions: which rules apply to a customer at an instant, what they decide, and why.

Rules that are triggered together go by priority, so the frequency cap falls to the least important one. What governance
holds back becomes a decision too, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from stream.actions.association import Association
from stream.actions.decision import (
    Cause,
    Contribution,
    Decision,
    Experiment,
    Explanation,
    Matched,
    RuleRef,
    ScoreRef,
    StateRef,
    action_id,
)
from stream.config import Settings
from stream.decisions.journeys import ENDED, Journeys
from stream.decisions.measuring import Measuring
from stream.events.instants import to_text
from stream.events.kinds import Event
from stream.experiments.assignment import arm_of
from stream.governance.asked import Asked, Controls
from stream.governance.judge import Judgement, judge, remember, remember_held_out, settle_channel
from stream.governance.ledger import Ledger
from stream.governance.policy import make_policy
from stream.products.associations import MOST_BOUGHT, Associations, habit, in_words
from stream.rules.condition import ConditionError
from stream.rules.experiment import CONTROL, DEFAULT
from stream.rules.facts import NOTHING, event_facts, product_of
from stream.rules.journey import END
from stream.rules.offer import Offer
from stream.rules.rule import Rule, RuleSet, unknown_rule
from stream.rules.schedule import Due, is_current
from stream.rules.vocabulary import OF_EVENTS, Channel, ChurnFacts, EventFacts
from stream.state.memory import Memory
from stream.state.messages import MessageLog, basket_codes, basket_orders
from stream.state.plans import Pending
from stream.state.profile import Profile
from stream.state.running import Running


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A churn score with all that decisions say of it. Reasons cost more than the score, so they come when asked for."""

    facts: ChurnFacts
    ref: ScoreRef
    explain: Callable[[], tuple[Contribution, ...]] = tuple


class Case:
    """One customer at one instant, as the engine is asked about them."""

    __slots__ = ("_score", "_score_of", "now_ms", "profile")

    def __init__(self, profile: Profile, now_ms: int, score_of: Callable[[Profile], Score]) -> None:
        self.profile = profile
        self.now_ms = now_ms
        self._score_of = score_of
        self._score: Score | None = None

    def score(self) -> Score:
        """The churn score, computed when it is first needed."""
        if self._score is None:
            self._score = self._score_of(self.profile)
        return self._score


NO_RULE = -1
"""Stands for a number of views where no rule asks for any."""


class Way(NamedTuple):
    """What an action of a rule is in one arm of its experiment."""

    arm: Experiment
    channel: Channel
    channels: tuple[Channel, ...]
    """To choose from; empty: there is the one above only."""
    template: str
    offer: dict[str, Any] | None
    cost_minor: int


def _ways(rule: Rule) -> dict[str, Way]:
    """By arm; whoever is held out would have had what `then` says."""
    plain = Way(Experiment(), rule.channel, rule.channels, rule.template, _plain(rule.offer), rule.cost_minor)
    ways = {DEFAULT: plain, CONTROL: plain._replace(arm=Experiment(arm=CONTROL, holdout=True))}
    for v in rule.experiment.variants:
        ways[v.id] = Way(Experiment(arm=v.id), v.channel, v.channels, v.template, _plain(v.offer), v.cost_minor)
    return ways


def _plain(offer: Offer | None) -> dict[str, Any] | None:
    return None if offer is None else msgspec.to_builtins(offer)


class Ready:
    """A rule with what its decisions have in common."""

    __slots__ = (
        "least_discount", "least_views", "needs_event", "needs_more", "needs_score", "needs_views", "of_event", "ref", "rule", "ways"
    )  # fmt: skip

    def __init__(self, rule: Rule, rules_version: str) -> None:
        self.rule = rule
        self.ref = RuleRef(id=rule.id, version=rule.version, rules_version=rules_version)
        self.ways = _ways(rule)
        roots = {name.partition(".")[0] for name in rule.condition.variables}
        self.needs_views = _VIEWS in rule.condition.variables
        self.needs_event = "event" in roots or self.needs_views
        """Also later, when it was put off: which product was viewed is what the views are counted of."""
        self.needs_score = "churn" in roots
        self.needs_more = bool(roots - {"event"})
        """More than the event."""
        self.of_event = rule.condition.part(OF_EVENTS)
        """What the condition asks of the event alone, ``None``: nothing."""
        self.least_views = rule.condition.at_least.get(_VIEWS, 0)
        self.least_discount = rule.condition.at_least.get(_DISCOUNT, 0)
        """Minor units off the price without which the condition can't hold: told before there are facts."""


class Engine:
    """The rules of one shop, ready to decide."""

    def __init__(self, rules: RuleSet, settings: Settings, partitions: int = 1) -> None:
        self.ledger = Ledger()
        """What this partition has spent and done lately."""
        self.ledger_touched = False
        """The ledger has changed since somebody last set this back."""
        self.controls = Controls()
        """What people have switched."""
        self.weights: Mapping[str, tuple[float, ...]] = {}
        """Rule with a bandit → the weights of its variants, as the epoch has them."""
        self._useless: Mapping[str, str] = {}
        """Rule → what was shown, of those that are held back because they do no good."""
        self.associations = Associations()
        """What is known of products."""
        self.measuring = Measuring(settings.timer_spread_ms)
        self._settings = settings
        self._policy = make_policy(settings, partitions)
        self._journeys = Journeys(self)
        self._silent_days = settings.churn_horizon_days
        self.adopt(rules)

    def adopt(self, rules: RuleSet) -> None:
        """Decides by these rules from now on; what was spent, switched and learnt stays."""
        self.rules = rules
        self._retired = {rule.id: Ready(rule, rules.version) for rule in rules.retired}
        self._ready = {rule.id: Ready(rule, rules.version) for rule in rules.rules}
        self._journeys.forget()
        self._on_event = {kind: self._all_of(triggered) for kind, triggered in rules.on_event.items()}
        self._on_alert = {kind: self._all_of(triggered) for kind, triggered in rules.on_alert.items()}

    def follow(self, weights: Mapping[str, Mapping[str, float]], stopped: Mapping[str, tuple[int, str]]) -> None:
        """Takes over what outcomes have taught: the bandits' weights, and the rules that do no good.

        A rule is only held back for it when its file says so.
        """
        drawn = {}
        for rule in self.rules.rules:
            known = weights.get(rule.id, {})
            if rule.experiment.choose == "bandit" and all(v.id in known for v in rule.experiment.variants):
                drawn[rule.id] = tuple([known[variant.id] for variant in rule.experiment.variants])
        self.weights = drawn
        self._useless = {
            rule.id: stopped[rule.id][1]
            for rule in self.rules.rules
            if rule.experiment.pause_without_effect and stopped.get(rule.id, (0,))[0] == rule.version
        }

    def least_views(self, kind: str) -> int:
        """How many views of its product an event of a kind takes before any rule on it can hold.

        0 when that hangs on other things too, `NO_RULE` when there is no rule on the kind.
        """
        triggered = self._on_event.get(kind)  # type: ignore[call-overload]
        if not triggered:
            return NO_RULE
        return min(ready.least_views if ready.needs_more else 0 for ready in triggered)

    def looks_at_events(self, kind: str) -> bool:
        """Whether there are rules on a kind of event, and none of them looks at anything but the event."""
        triggered = self._on_event.get(kind)  # type: ignore[call-overload]
        return bool(triggered) and not any(ready.needs_more for ready in triggered)

    def is_told_by_event(self, kind: str) -> bool:
        """Whether each rule on a kind of event, if there is any, asks something of the event alone: then `may_answer` tells
        most events apart without the customer."""
        return all(ready.of_event is not None for ready in self._on_event.get(kind, ()))  # type: ignore[call-overload]

    def may_answer(self, event: Event, messages: MessageLog | None) -> bool:
        """Whether any rule on this kind of event may hold, told with little work: most events end here.

        Where `looks_at_events`, the messages don't matter.
        """
        facts = None
        for ready in self._on_event.get(event.kind, ()):  # type: ignore[call-overload]
            if ready.least_discount > 0 and getattr(event, "discount_minor", 0) < ready.least_discount:
                continue
            if ready.of_event is not None:
                facts = facts or event_facts(event)
                try:
                    if not ready.of_event(None, facts, None):
                        continue
                except ConditionError:
                    pass  # to be told of
            if (
                not ready.needs_more
                or ready.least_views <= 0
                or messages is None
                or ((product := product_of(event)) and messages.may_have_views_of(product, ready.least_views))
            ):
                return True
        return False

    def is_awaited(self, event: Event, memory: Memory) -> bool:
        """Whether a journey of this customer waits for an event."""
        if event.kind not in self.rules.awaited or not memory.pending_ms:
            return False
        return self._journeys.is_awaited(event, memory.plan().journeys)

    def on_event(self, case: Case, event: Event, cause: Callable[[], Cause]) -> list[Decision]:
        """What the rules on this kind of event decide, after the journeys that have waited for it."""
        decisions: list[Decision] = []
        if event.kind in self.rules.awaited and case.profile.customer.memory.pending_ms:
            self._journeys.hear(case, event, decisions)
        triggered = self._on_event.get(event.kind)  # type: ignore[call-overload]
        if triggered is None:
            return decisions
        facts = NOTHING
        for ready in triggered:
            if ready.needs_views and (product := product_of(event)):
                case.profile.views_of_product = case.profile.views_of(product)
            if ready.needs_event and facts is NOTHING:
                facts = event_facts(event)
            occurrence = getattr(event, "order_id", "") or event.message_id
            self._answer(ready, case, facts, occurrence, event.time_ms, cause, decisions)
        return decisions

    def on_due(self, case: Case, due: Iterable[Due]) -> list[Decision]:
        """What the timer rules that are due decide; each occurrence is marked as decided, whatever the outcome."""
        decisions: list[Decision] = []
        fired = case.profile.customer.memory.fired
        for timer in due:
            ready = self._ready[timer.rule_id]
            fired[timer.rule_id] = (timer.occurrence, timer.due_ms)
            self._answer(ready, case, NOTHING, timer.occurrence, timer.due_ms, partial(_of_timer, timer), decisions)
        return decisions

    def on_alert(self, case: Case, kind: str, occurrence: str) -> list[Decision]:
        """What the rules on an alert decide."""
        decisions: list[Decision] = []
        for ready in self._on_alert.get(kind, ()):  # type: ignore[call-overload]
            cause = Cause(kind=f"{kind}_alert", at=to_text(case.now_ms))
            self._answer(ready, case, NOTHING, occurrence, case.now_ms, lambda cause=cause: cause, decisions)  # type: ignore[misc]
        return decisions

    def on_pending(self, case: Case) -> list[Decision]:
        """What becomes of decisions that were put off until now, and of journeys that go on now.

        Of those whose decision window closes, the first in priority that goes out, or would but for the hour, beats the others of
        its contest.
        """
        memory = case.profile.customer.memory
        plans = memory.plan()
        self.measuring.settle(case.profile, plans, case.now_ms)
        due: list[Pending | Running] = [*plans.take_due(case.now_ms), *plans.take_journeys(case.now_ms)]
        winners: dict[str, str] = {}
        decisions: list[Decision] = []
        for pending in sorted(due, key=lambda p: (-self.priority(p.rule_id), p.due_ms, p.rule_id, p.occurrence)):
            if isinstance(pending, Running):
                self._journeys.go_on(case, pending, decisions)
                continue
            ready = self._ready.get(pending.rule_id)
            if ready is None or ready.rule.journey is not None:
                decisions.append(self._called_off(case, pending))
                continue
            contest = pending.contest
            decision = self._again(ready, case, pending, winners.get(contest, ""))
            decisions.append(decision)
            if contest and contest not in winners and decision.verdict != "suppressed":
                winners[contest] = ready.rule.id
        memory.pending_ms = plans.next_ms
        return decisions

    # -- inside

    def _all_of(self, rules: Iterable[Rule]) -> tuple[Ready, ...]:
        return tuple(self._ready[rule.id] for rule in rules)

    def _asked(self, ready: Ready, case: Case, event: EventFacts) -> str | None:
        """``None`` when the rule's condition doesn't hold, which most askings end with; else empty, or why it can't be told."""
        churn = case.score().facts if ready.needs_score else None
        try:
            return "" if ready.rule.condition.holds(case.profile, event, churn) else None
        except ConditionError as failure:
            return str(failure)

    def _answer(
        self,
        ready: Ready,
        case: Case,
        event: EventFacts,
        occurrence: str,
        since_ms: int,
        cause: Callable[[], Cause],
        decisions: list[Decision],
    ) -> None:
        """Asks a rule, and adds what it decides; a rule in a contest waits for the others first."""
        error = self._asked(ready, case, event)
        if error is None:
            return
        rule = ready.rule
        if rule.journey is not None:
            self._journeys.begin(rule, case, event, occurrence, since_ms, cause(), error, decisions)
            return
        if not rule.contest or not self._policy.window_ms:
            decisions.append(self._decide(ready, case, event, occurrence, since_ms, cause(), error=error))
            return
        memory = case.profile.customer.memory
        open_ms = [p.due_ms for p in (memory.plan().pending if memory.pending_ms else ()) if p.contest == rule.contest]
        closes_ms = open_ms[0] if open_ms else case.now_ms + self._policy.window_ms
        self._put_off(rule, case, event, occurrence, since_ms, cause(), closes_ms, rule.contest)

    def _again(self, ready: Ready, case: Case, pending: Pending, outranked_by: str) -> Decision:
        event = _decode_event(pending.event) if pending.event else NOTHING
        if ready.needs_views and event.product_id:
            case.profile.views_of_product = case.profile.views_of(event.product_id)
        error = self._asked(ready, case, event)
        return self._decide(
            ready,
            case,
            event,
            pending.occurrence,
            pending.since_ms,
            pending.cause,
            error=error or "",
            holds=error is not None and is_current(ready.rule, pending.occurrence, case.profile),
            outranked_by=outranked_by,
            is_first=bool(pending.contest),
            arm=pending.arm,
        )

    def _called_off(self, case: Case, pending: Pending) -> Decision:
        """What a rule has left that is gone, or a journey now: it is told, so that nothing is lost without a word."""
        ready = self._ready.get(pending.rule_id) or self._retired.get(pending.rule_id)
        if ready is None:
            ready = self._retired[pending.rule_id] = Ready(unknown_rule(pending.rule_id), self.rules.version)
        event = _decode_event(pending.event) if pending.event else NOTHING
        cause, since_ms = pending.cause, pending.since_ms
        return self._decide(
            ready,
            case,
            event,
            pending.occurrence,
            since_ms,
            cause,
            error="",
            holds=False,
            is_first=False,
            arm=pending.arm,
        )

    def make_ready(self, rule: Rule) -> Ready:
        """A rule, or a step of a journey as if it were one, ready to decide."""
        return Ready(rule, self.rules.version)

    def decide_step(
        self,
        ready: Ready,
        case: Case,
        event: EventFacts,
        occurrence: str,
        step: str,
        since_ms: int,
        cause: Cause,
        *,
        told: str,
        is_first: bool,
        arm: str,
    ) -> Decision:
        """What becomes of an action of a journey. One that is put off is for the journey to ask about again."""
        return self._decide(
            ready, case, event, occurrence, since_ms, cause, error="", is_first=is_first, arm=arm, step=step, told=told
        )

    def told_of_end(self, rule: Rule | None, case: Case, running: Running, state: str, text: str) -> Decision:
        """The record of a journey's end, in the form of a decision about nothing."""
        profile = case.profile
        at = to_text(case.now_ms)
        name = f"{running.occurrence}/{END}"
        version = running.version if rule is None else rule.version
        return Decision(
            action_id=action_id(running.rule_id, profile.customer_id, name),
            verdict=ENDED,
            reason=state,
            kind="" if rule is None else rule.action,
            customer_id=profile.customer_id,
            rule=RuleRef(id=running.rule_id, version=version, rules_version=self.rules.version),
            occurrence=name,
            channel="none",
            template="",
            offer=None,
            priority=0 if rule is None else rule.priority,
            decided_at=at,
            not_before=at,
            expires_at=at,
            experiment=Experiment(arm=running.arm or DEFAULT, holdout=running.arm == CONTROL),
            state=state_ref(profile, self._settings.currency),
            score=case.score().ref,
            explanation=Explanation(text=text),
            governance=(),
            cause=running.cause,
        )

    def _way(self, ready: Ready, case: Case) -> Way:
        rule, customer_id = ready.rule, case.profile.customer_id
        if not rule.experiment.window_ms:
            return ready.ways[DEFAULT]
        memory = case.profile.customer.memory
        if rule.id in self.weights and memory.pending_ms:
            # A bandit's groups move with what it learns: who counts in one stays there while that is watched.
            exposure = memory.plan().exposed(rule.id, rule.version, case.now_ms)
            if exposure is not None and exposure.arm in ready.ways:
                return ready.ways[exposure.arm]
        arm = arm_of(rule.id, rule.version, customer_id, rule.experiment, self.weights.get(rule.id))
        return ready.ways[arm]

    def priority(self, rule_id: str) -> int:
        """Of a rule, 0 of one that is gone."""
        ready = self._ready.get(rule_id)
        return 0 if ready is None else ready.rule.priority

    def _put_off(
        self,
        rule: Rule,
        case: Case,
        event: EventFacts,
        occurrence: str,
        since_ms: int,
        cause: Cause,
        until_ms: int,
        contest: str = "",
        arm: str = "",
        *,
        paused: bool = False,
    ) -> None:
        memory = case.profile.customer.memory
        plans = memory.plan()
        known = b"" if event is NOTHING else _encode_event(event)
        plans.put_off(Pending(until_ms, rule.id, occurrence, since_ms, contest, cause, arm, known, paused))
        memory.pending_ms = plans.next_ms

    def _decide(
        self,
        ready: Ready,
        case: Case,
        event: EventFacts,
        occurrence: str,
        since_ms: int,
        cause: Cause,
        *,
        error: str,
        holds: bool = True,
        outranked_by: str = "",
        is_first: bool = True,
        arm: str = "",
        step: str = "",
        told: str = "",
    ) -> Decision:
        """``step`` is of a journey, which then looks after what is put off; ``told`` is added to the explanation."""
        rule, profile = ready.rule, case.profile
        customer_id, customer = profile.customer_id, profile.customer
        way = ready.ways[arm] if arm in ready.ways else self._way(ready, case)
        expires_ms = since_ms + rule.expires_after_ms
        asked = Asked(
            rule=rule,
            channel=way.channel,
            customer_id=customer_id,
            customer=customer,
            tier=profile.tier,
            cost_minor=way.cost_minor,
            held_out=way.arm.holdout,
            useless=self._useless.get(rule.id, ""),
            now_ms=case.now_ms,
            expires_ms=expires_ms,
            policy=self._policy,
            ledger=self.ledger,
            controls=self.controls,
            error=error,
            holds=holds,
            outranked_by=outranked_by,
        )
        if way.channels:
            settle_channel(asked, way.channels)
            way = way._replace(channel=asked.channel)
        if self._policy.channel_costs:
            asked.cost_minor += self._policy.channel_costs.get(way.channel, 0)
        judged = self._judge(asked)
        answer, reason, retry_ms, _ = judged
        name = f"{occurrence}/{step}" if step else f"{occurrence}#{rule.rearm}" if rule.rearm else occurrence
        if rule.experiment.window_ms:
            if is_first and judged.is_exposed:
                self.measuring.expose(rule, way.arm.arm, way.channel, profile, case.now_ms)
            action, published = action_id(rule.id, customer_id, name), answer == "publish"
            self.measuring.decided(
                rule, action, asked.cost_minor, customer.memory.plans, case.now_ms, published=published
            )
        if answer == "publish":
            self.ledger_touched |= remember(asked)
            if profile.bought and profile.recency_days >= self._silent_days:
                customer.memory.plan().written_ms = case.now_ms
        elif answer == "deferred":
            paused = reason == "paused"
            if paused and not self.ledger.waits:
                self.ledger.waits = self.ledger_touched = True
            if not step:
                self._put_off(rule, case, event, occurrence, since_ms, cause, retry_ms, arm=way.arm.arm, paused=paused)
        elif reason == "holdout":
            remember_held_out(asked)
        return self._record(ready, case, event, way, name, judged, expires_ms, cause, holds and not error, told)

    def _judge(self, asked: Asked) -> Judgement:
        """May it go out; here, with all that is published of that."""
        return judge(asked)

    def _record(
        self,
        ready: Ready,
        case: Case,
        event: EventFacts,
        way: Way,
        occurrence: str,
        judged: Judgement,
        expires_ms: int,
        cause: Cause,
        holds: bool,
        told: str,
    ) -> Decision:
        """The decision as it is published."""
        rule, profile = ready.rule, case.profile
        answer, reason, retry_ms, verdicts = judged
        score = case.score()
        matched = rule.condition.matched(profile, event, score.facts) if holds else []
        named = tuple([Matched(condition=f"{m.field} {m.op} {_shown(m.expected)}", actual=m.actual) for m in matched])
        product = self._recommended(rule, profile, event) if rule.recommend and holds else None
        decided_at = to_text(case.now_ms)
        return Decision(
            action_id=action_id(rule.id, profile.customer_id, occurrence),
            verdict=answer,
            reason=reason,
            kind=rule.action,
            customer_id=profile.customer_id,
            rule=ready.ref,
            occurrence=occurrence,
            channel=way.channel,
            template=way.template,
            offer=way.offer,
            product=product,
            priority=rule.priority,
            decided_at=decided_at,
            not_before=to_text(retry_ms) if retry_ms else decided_at,
            expires_at=to_text(expires_ms),
            experiment=way.arm,
            state=state_ref(profile, self._settings.currency),
            score=score.ref,
            explanation=Explanation(
                text=_sentence(rule, named, told, product), matched=named, contributions=score.explain()
            ),
            governance=verdicts,
            cause=cause,
        )

    def _recommended(self, rule: Rule, profile: Profile, event: EventFacts) -> Association | None:
        """The product that an action names: one that goes with the event's and that the customer hasn't bought lately, else the
        customer's next best one."""
        known = self.associations
        if not known.known:
            return None
        baskets = profile.customer.messages.baskets
        if rule.recommend == "together" and event.product_id:
            lately = frozenset(basket_codes(baskets, MOST_BOUGHT))
            for found in known.together(event.product_id, 1, lately):
                return found
        for found in known.next_best(habit(basket_orders(baskets)), 1):
            return found
        return None


def _of_timer(timer: Due) -> Cause:
    return Cause(kind="timer", at=to_text(timer.due_ms))


_encode_event = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(EventFacts).decode

_VIEWS, _DISCOUNT = "customer.views_of_product", "event.discount_minor"


def state_ref(profile: Profile, currency: str) -> StateRef:
    """The state of a customer as decisions and alerts carry it."""
    expected = profile.expected_next_purchase_ms
    return StateRef(
        recency_days=profile.recency_days if profile.bought else None,
        frequency_365d=profile.frequency_365d,
        monetary_365d_minor=profile.monetary_365d_minor,
        currency=currency,
        tier=profile.tier,
        segment=profile.segment,
        r=profile.r,
        f=profile.f,
        m=profile.m,
        expected_next_purchase_at=None if expected is None else to_text(expected),
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(v) for v in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(rule: Rule, matched: tuple[Matched, ...], told: str = "", product: Association | None = None) -> str:
    """The reason in one line: what the rule is for, and what it met.

    The conditions are the rule's own words, so a marketer finds them in the file.
    """
    met = "; ".join(f"{m.condition} (was {_shown(m.actual)})" for m in matched)
    because = f"Because {met}." if met else ""
    named = "" if product is None else in_words(product)
    return " ".join(part for part in (rule.description, told, because, named) if part)
