"""The engine of a backtest: decides as the live one does, and writes down no more of it than is compared."""

from __future__ import annotations

from typing import Final

from stream.actions.decision import Cause, Decision, Explanation, ScoreRef, StateRef, action_id
from stream.decisions.engine import Case, Engine, Ready, Way
from stream.events.instants import to_text
from stream.governance.asked import Asked
from stream.governance.judge import Judgement, judge_briefly
from stream.rules.vocabulary import EventFacts

UNTOLD: Final = Cause(kind="", at="")
"""Stands for what made a rule decide: a backtest tells it of nobody."""
_NO_SCORE: Final = ScoreRef(churn_probability=None, model_day=None, labels=0, abstained=None)
_NO_EXPLANATION: Final = Explanation(text="")
_STATES: dict[str, StateRef] = {}
"""By tier: nothing else of a customer's state is compared."""


class BriefEngine(Engine):
    """`stream.decisions.engine.Engine` whose decisions have no explanation, score, governance and cause.

    All of these cost more than to decide, and nothing that is decided hangs on them.
    """

    def _judge(self, asked: Asked) -> Judgement:
        return judge_briefly(asked)

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
        rule, profile = ready.rule, case.profile
        tier = profile.tier
        state = _STATES.get(tier) or _STATES.setdefault(tier, _state_of(tier))
        return Decision(
            action_id=action_id(rule.id, profile.customer_id, occurrence),
            verdict=judged.answer,
            reason=judged.reason,
            kind=rule.action,
            customer_id=profile.customer_id,
            rule=ready.ref,
            occurrence=occurrence,
            channel=way.channel,
            template=way.template,
            offer=way.offer,
            priority=rule.priority,
            decided_at="",  # whoever takes it knows when it is
            not_before=to_text(judged.retry_ms) if judged.retry_ms else "",
            expires_at="",
            experiment=way.arm,
            state=state,
            score=_NO_SCORE,
            explanation=_NO_EXPLANATION,
            governance=(),
            cause=UNTOLD,
        )


def _state_of(tier: str) -> StateRef:
    return StateRef(
        recency_days=None, frequency_365d=0, monetary_365d_minor=0, currency="", tier=tier, segment="", r=0, f=0, m=0,
        expected_next_purchase_at=None,
    )  # fmt: skip
