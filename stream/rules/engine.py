"""From a trigger to decisions: which rules apply to a customer at an instant, what they decide, and why.

Rules that are triggered together go by priority, so the frequency cap falls to the least important one. What governance
holds back becomes a decision too, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

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
    Verdict,
    action_id,
)
from stream.config import Settings
from stream.events.instants import to_text
from stream.events.kinds import Event
from stream.rules.condition import ConditionError
from stream.rules.facts import NOTHING, event_facts, product_of
from stream.rules.governance import judge, remember
from stream.rules.rule import Rule, RuleSet
from stream.rules.schedule import Due
from stream.rules.vocabulary import ChurnFacts, EventFacts
from stream.state.customer import Customer
from stream.state.profile import Profile


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A churn score with all that decisions say of it. Reasons cost more than the score, so they come when asked for."""

    facts: ChurnFacts
    ref: ScoreRef
    explain: Callable[[], tuple[Contribution, ...]] = tuple


class Case(msgspec.Struct, kw_only=True):
    """One customer at one instant, as the engine is asked about them. ``score`` is only called when it is needed."""

    customer_id: str
    customer: Customer
    profile: Profile
    now_ms: int
    score: Callable[[], Score]


class Engine:
    """The rules of one shop, ready to decide."""

    def __init__(self, rules: RuleSet, settings: Settings) -> None:
        self.rules = rules
        self._settings = settings

    def on_event(self, case: Case, event: Event, cause: Cause) -> list[Decision]:
        """What the rules on this kind of event decide."""
        triggered = self.rules.on_event.get(event.kind)  # type: ignore[call-overload]
        if not triggered:
            return []
        if product := product_of(event):
            case.profile.views_of_product = case.profile.views_of(product)
        occurrence = getattr(event, "order_id", "") or event.message_id
        return self._decide(case, ((rule, occurrence, event.time_ms) for rule in triggered), event_facts(event), cause)

    def on_due(self, case: Case, due: Iterable[Due]) -> list[Decision]:
        """What the timer rules that are due decide; each occurrence is marked as decided, whatever the outcome."""
        decisions: list[Decision] = []
        for timer in due:
            rule = self.rules.by_id[timer.rule_id]
            case.customer.memory.fired[rule.id] = (timer.occurrence, timer.due_ms)
            cause = Cause(kind="timer", at=to_text(timer.due_ms))
            decisions += self._decide(case, ((rule, timer.occurrence, timer.due_ms),), NOTHING, cause)
        return decisions

    def on_alert(self, case: Case, kind: str, occurrence: str) -> list[Decision]:
        """What the rules on an alert decide."""
        triggered = self.rules.on_alert.get(kind, ())  # type: ignore[call-overload]
        cause = Cause(kind=f"{kind}_alert", at=to_text(case.now_ms))
        return self._decide(case, ((rule, occurrence, case.now_ms) for rule in triggered), NOTHING, cause)

    def _decide(
        self, case: Case, asked: Iterable[tuple[Rule, str, int]], event: EventFacts, cause: Cause
    ) -> list[Decision]:
        decisions = []
        for rule, occurrence, since_ms in asked:
            needs_score = any(name.startswith("churn.") for name in rule.condition.variables)
            churn = case.score().facts if needs_score else None
            error = ""
            try:
                if not rule.condition.holds(case.profile, event, churn):
                    continue
                matched = rule.condition.matched(case.profile, event, churn)
            except ConditionError as failure:
                error, matched = str(failure), []
            expires_ms = since_ms + rule.expires_after_ms
            verdicts = judge(rule, case.customer_id, case.customer, case.now_ms, expires_ms, self._settings)
            if error:
                verdicts = (Verdict(check="condition_error", passed=False, detail=error), *verdicts)
            reason = next((verdict.check for verdict in verdicts if not verdict.passed), None)
            if reason is None:
                remember(rule, case.customer, case.now_ms, self._settings)
            named = tuple(Matched(condition=f"{m.field} {m.op} {_shown(m.expected)}", actual=m.actual) for m in matched)
            name = f"{occurrence}#{rule.rearm}" if rule.rearm else occurrence
            score = case.score()
            decisions.append(
                Decision(
                    action_id=action_id(rule.id, case.customer_id, name),
                    verdict="publish" if reason is None else "suppressed",
                    reason=reason,
                    kind=rule.action,
                    customer_id=case.customer_id,
                    rule=RuleRef(id=rule.id, version=rule.version, rules_version=self.rules.version),
                    occurrence=name,
                    channel=rule.channel,
                    template=rule.template,
                    offer=None if rule.offer is None else msgspec.to_builtins(rule.offer),
                    priority=rule.priority,
                    decided_at=to_text(case.now_ms),
                    not_before=to_text(case.now_ms),
                    expires_at=to_text(expires_ms),
                    experiment=Experiment(),
                    state=state_ref(case.profile, self._settings.currency),
                    score=score.ref,
                    explanation=Explanation(text=_sentence(rule, named), matched=named, contributions=score.explain()),
                    governance=verdicts,
                    cause=cause,
                )
            )
        return decisions


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


def _sentence(rule: Rule, matched: tuple[Matched, ...]) -> str:
    """The reason in one line: what the rule is for, and what it met.

    The conditions are the rule's own words, so a marketer finds them in the file.
    """
    met = "; ".join(f"{m.condition} (was {_shown(m.actual)})" for m in matched)
    return f"{rule.description} Because {met}." if met else rule.description
