"""Journeys on their way: begun, led from step to step as their time comes, and ended in exactly one way.

Whether a customer has bought since is looked up when a step's time has come, so that purchases cost nothing. Every way ends:
steps lead forward only, and whatever a journey stands at has an instant at which it goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.actions.decision import Cause, Decision
from stream.events.instants import parse_ms, to_text
from stream.events.kinds import Event
from stream.rules.condition import Condition, ConditionError
from stream.rules.facts import NOTHING
from stream.rules.journey import END, Branch, Journey, Send, Wait, WaitFor, mark, marks
from stream.rules.rule import Rule
from stream.rules.vocabulary import EventFacts
from stream.state.running import Running

if TYPE_CHECKING:
    from stream.decisions.engine import Case, Engine, Ready

ENDED: Final = "ended"
"""Verdict of the record that says how a journey ended."""
_ENDS: Final = {"holdout": "held_out", "expired": "expired", "cancelled": "cancelled"}
"""How a journey ends whose action was held back for a reason; for any other it is suppressed."""
_AS_IF: Final = ("dry_run", "test_customer")
"""Reasons after which it goes on: the action would have gone out."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(EventFacts).decode


class Journeys:
    """The journeys of an engine's rules."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sends: dict[tuple[str, str, bool], Ready] = {}

    def forget(self) -> None:
        """The rules have changed: what was made of them is out of date."""
        self._sends.clear()

    def begin(
        self,
        rule: Rule,
        case: Case,
        event: EventFacts,
        occurrence: str,
        since_ms: int,
        cause: Cause,
        error: str,
        decisions: list[Decision],
    ) -> None:
        """A rule with a journey has been triggered, and applies: the customer sets out, unless they are still on their way."""
        assert rule.journey is not None
        plans = case.profile.customer.memory.plan()
        name = f"{occurrence}#{rule.rearm}" if rule.rearm else occurrence
        if not plans.begin(rule.id, name):
            return
        running = Running(
            due_ms=since_ms,
            rule_id=rule.id,
            occurrence=name,
            step=rule.journey.steps[0].id,
            since_ms=since_ms,
            began_ms=since_ms,
            version=rule.version,
            cause=cause,
            event=b"" if event is NOTHING else _encode(event),
        )
        if error:
            self._end(rule, case, running, "suppressed", f"its condition can't be told: {error}", decisions)
            return
        before = next((r for r in plans.journeys if r.rule_id == rule.id), None)
        if before is not None:
            state, why = self._stopped(rule, rule.journey, case, before, _event_of(before))
            if not state:
                why = f"the customer is still on the journey of {before.occurrence}"
                self._end(rule, case, running, "suppressed", why, decisions)
                return
            plans.journeys.remove(before)
            self._end(rule, case, before, state, why, decisions)
        self._walk(rule, rule.journey, case, running, decisions, arrived=True)
        case.profile.customer.memory.pending_ms = plans.next_ms

    def is_awaited(self, event: Event, journeys: list[Running]) -> bool:
        """Whether any of a customer's journeys waits for an event."""
        text = mark(event.kind)
        return any(text in r.waits for r in journeys)

    def hear(self, case: Case, event: Event, decisions: list[Decision]) -> None:
        """Leads the journeys on that have waited for an event; not for one from before the wait, nor one after its end."""
        memory = case.profile.customer.memory
        plans = memory.plan()
        text = mark(event.kind)
        heard = [r for r in plans.journeys if text in r.waits and r.since_ms < event.time_ms < r.due_ms]
        if not heard:
            return
        plans.journeys = [r for r in plans.journeys if r not in heard]
        for running in sorted(heard, key=lambda r: (-self._engine.priority(r.rule_id), r.rule_id)):
            self.go_on(case, running, decisions, heard=True)
        memory.pending_ms = plans.next_ms

    def go_on(self, case: Case, running: Running, decisions: list[Decision], *, heard: bool = False) -> None:
        """Leads a journey on whose time has come, under the rules of today."""
        rule = self._engine.rules.by_id.get(running.rule_id)
        journey = None if rule is None else rule.journey
        running.waits, running.paused = "", False
        if rule is None or journey is None:
            self._end(rule, case, running, "cancelled", "there is no such journey any more", decisions)
            return
        if all(step.id != running.step for step in journey.steps):
            why = f"its step {running.step} is not in version {rule.version}"
            self._end(rule, case, running, "cancelled", why, decisions)
            return
        self._walk(rule, journey, case, running, decisions, heard=heard)

    # -- inside

    def _walk(
        self,
        rule: Rule,
        journey: Journey,
        case: Case,
        running: Running,
        decisions: list[Decision],
        *,
        arrived: bool = False,
        heard: bool = False,
    ) -> None:
        """Does step after step until one has to wait, or it is over. ``arrived``: it stands before its step, not in it."""
        event = _event_of(running)
        if "customer.views_of_product" in journey.variables and event.product_id:
            case.profile.views_of_product = case.profile.views_of(event.product_id)
        state, why = self._stopped(rule, journey, case, running, event)
        if state:
            self._end(rule, case, running, state, why, decisions)
            return
        steps = {step.id: step for step in journey.steps}
        at_ms = case.now_ms if heard else running.due_ms
        while running.step != END:
            step = steps[running.step]
            if arrived:
                running.since_ms = at_ms
            if isinstance(step, Send):
                if not self._send(rule, step, case, running, event, decisions):
                    return
                at_ms, following = case.now_ms, step.then
            elif isinstance(step, Branch):
                try:
                    holds = self._holds(step.condition, case, event)
                except ConditionError as error:
                    why = f"the condition of step {step.id} can't be told: {error}"
                    self._end(rule, case, running, "suppressed", why, decisions)
                    return
                following = step.then if holds else step.otherwise
            else:
                lasts_ms = step.for_ms if isinstance(step, Wait) else step.within_ms
                if arrived and at_ms + lasts_ms > case.now_ms:
                    if isinstance(step, WaitFor):
                        running.waits = marks(step.kinds)
                    self._rest(case, running, at_ms + lasts_ms)
                    return
                if arrived:
                    at_ms += lasts_ms
                following = step.then if isinstance(step, Wait) or heard else step.otherwise
            running.step, arrived, heard = following, True, False
        if running.sent:
            self._end(rule, case, running, "sent", "its way is at its end", decisions)
        elif running.held:
            self._end(rule, case, running, "suppressed", f"nothing went out, because of {running.held}", decisions)
        else:
            self._end(rule, case, running, "cancelled", "its way had nothing to send", decisions)

    def _send(
        self, rule: Rule, step: Send, case: Case, running: Running, event: EventFacts, decisions: list[Decision]
    ) -> bool:
        """Decides an action; whether the journey goes on at once."""
        is_later = running.sent > 0 or bool(running.held)
        told = f"Step {step.id} of a journey begun {_day(running.began_ms)} under version {running.version}."
        decision = self._engine.decide_step(
            self._ready(rule, step, is_later),
            case,
            event,
            running.occurrence,
            step.id,
            running.since_ms,
            running.cause,
            told=told,
            is_first=not running.arm,
            arm=running.arm,
        )
        decisions.append(decision)
        running.arm = decision.experiment.arm
        reason = decision.reason or ""
        if decision.verdict == "deferred":
            running.paused = reason == "paused"
            self._rest(case, running, parse_ms(decision.not_before))
            return False
        if decision.verdict == "publish":
            running.sent += 1
        elif reason in _AS_IF:
            running.held = reason
        else:
            why = f"step {step.id} was held back: {reason}"
            self._end(rule, case, running, _ENDS.get(reason, "suppressed"), why, decisions)
            return False
        return True

    def _ready(self, rule: Rule, step: Send, is_later: bool) -> Ready:
        """A step's action as a rule. The cool-down counts from a journey's first action, and holds none of its own back."""
        key = (rule.id, step.id, is_later)
        ready = self._sends.get(key)
        if ready is None:
            of_step = msgspec.structs.replace(
                rule,
                action=step.action,
                channel=step.channel,
                channels=step.channels,
                template=step.template,
                offer=step.offer,
                cooldown_ms=0 if is_later else rule.cooldown_ms,
            )
            ready = self._sends[key] = self._engine.make_ready(of_step)
        return ready

    def _stopped(
        self, rule: Rule, journey: Journey, case: Case, running: Running, event: EventFacts
    ) -> tuple[str, str]:
        """How a journey ends before its next step, and why; empty: it doesn't."""
        orders = case.profile.customer.orders
        if journey.stop_on_purchase and orders.after(running.began_ms, case.now_ms).frequency:
            return "cancelled", "the customer has bought since it began"
        if journey.stop_if is None:
            return "", ""
        try:
            if self._holds(journey.stop_if, case, event):
                return "cancelled", f"it stops if {journey.stop_if.text}"
        except ConditionError as error:
            return "suppressed", f"whether it stops can't be told: {error}"
        return "", ""

    def _holds(self, condition: Condition, case: Case, event: EventFacts) -> bool:
        churn: Any = case.score().facts if any(v.startswith("churn.") for v in condition.variables) else None
        return condition.holds(case.profile, event, churn)

    def _rest(self, case: Case, running: Running, until_ms: int) -> None:
        running.due_ms = until_ms
        case.profile.customer.memory.plan().rest(running)

    def _end(
        self, rule: Rule | None, case: Case, running: Running, state: str, why: str, decisions: list[Decision]
    ) -> None:
        """Tells how it ended. That it isn't among the customer's journeys any more is up to whoever took it out."""
        text = f"A journey begun {_day(running.began_ms)} under version {running.version} ended at step {running.step}"
        decisions.append(self._engine.told_of_end(rule, case, running, state, f"{text}: {why}."))


def _event_of(running: Running) -> EventFacts:
    return _decode(running.event) if running.event else NOTHING


def _day(at_ms: int) -> str:
    return to_text(at_ms)[:10]
