"""A decision as a person would tell it, from its published record alone (E9)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from stream.actions.decision import Cause, Decision, ScoreRef, StateRef
from stream.decisions.journeys import ENDED
from stream.events.instants import parse_ms
from stream.events.money import amount_text
from stream.governance.judge import judged_again


class Line(msgspec.Struct, frozen=True):
    """One fact of the story."""

    about: str
    text: str
    speaks: str = ""
    """``for`` the action, ``against`` it, or empty."""


class Story(msgspec.Struct, frozen=True):
    """What a support agent would say when the customer asks why."""

    title: str
    lines: tuple[Line, ...]
    agrees: bool
    """Judged again from the record, the verdict is the same."""


decode = msgspec.json.Decoder(Decision).decode
"""A decision from the bytes that were published."""


def story(decision: Decision) -> Story:
    """The story of one record. One that was put off and then went out has two: tell them in order of time."""
    answer, reason = judged_again(decision.governance, parse_ms(decision.expires_at))
    chosen = [v.facts["chosen"] for v in decision.governance if v.check == "channel_choice"]
    agrees = decision.verdict == ENDED or (
        (answer, reason) == (decision.verdict, decision.reason) and chosen in ([], [decision.channel])
    )
    return Story(title=_title(decision), lines=tuple(_lines(decision, agrees=agrees)), agrees=agrees)


def _title(d: Decision) -> str:
    what = f"{d.rule.id} (version {d.rule.version}) for {d.customer_id}"
    at = _instant(d.decided_at)
    if d.verdict == "publish":
        return f"{what}: went out at {at} by {d.channel}"
    said = (d.reason or "").replace("_", " ")
    if d.verdict == ENDED:
        return f"{what}: the journey ended at {at}, {said}"
    if d.verdict == "deferred":
        return f"{what}: put off at {at} until {_instant(d.not_before)}, because of {said}"
    return f"{what}: held back at {at}, because of {said}"


def _lines(d: Decision, *, agrees: bool) -> Iterator[Line]:
    if d.verdict != ENDED:
        yield Line("what", f"{d.kind} “{d.template}”" + (f" with {_offer(d)}" if d.offer else ""))
    yield Line("why", d.explanation.text)
    yield Line("caused by", _cause(d.cause))
    yield Line("the customer", _state(d.state))
    yield Line("churn", _score(d.score))
    for part in d.explanation.contributions:
        yield Line("", part.text or part.feature, "for" if part.log_odds > 0 else "against")
    for verdict in d.governance:
        yield Line(
            _ABOUT.get(verdict.check, verdict.check.replace("_", " ")),
            verdict.detail,
            "for" if verdict.passed else "against",
        )
    if d.verdict == ENDED:
        return
    yield Line("worth something", f"until {_instant(d.expires_at)}")
    yield Line(
        "judged again", "the same verdict" if agrees else "ANOTHER verdict: the record was changed, or Winback was"
    )


_ABOUT = {
    "expired": "in time",
    "cancelled": "reason",
    "missing_identifier": "address",
    "consent_missing": "consent",
    "channel_choice": "channel",
    "channel_unfit": "bounced",
    "cooldown": "cool-down",
    "outranked": "priority",
    "holdout": "experiment",
    "paused": "pause",
    "circuit_open": "circuit breaker",
}
"""What a check is about, where its name says what is wrong."""


def _offer(d: Decision) -> str:
    offer = d.offer or {}
    value, kind = offer.get("value", 0), offer["kind"]
    if kind == "percent":
        return f"{value} % off"
    if kind == "amount_minor":
        return f"{amount_text(value, d.state.currency)} {d.state.currency} off"
    return f"{value} points" if kind == "points" else "free delivery"


def _cause(cause: Cause) -> str:
    if cause.kind == "timer":
        return f"silence: due at {_instant(cause.at)}"
    where = f" ({cause.topic} {cause.partition}:{cause.offset})" if cause.topic else ""
    message = f", message {cause.message_id}" if cause.message_id else ""
    return f"{cause.kind.replace('_', ' ')} at {_instant(cause.at)}{message}{where}"


def _state(s: StateRef) -> str:
    if s.recency_days is None:
        return f"tier {s.tier}, has not bought yet"
    spent = f"{amount_text(s.monetary_365d_minor, s.currency)} {s.currency}"
    orders = "1 order" if s.frequency_365d == 1 else f"{s.frequency_365d} orders"
    segment = f", {s.segment}" if s.segment else ""
    return f"tier {s.tier}{segment}; {orders} worth {spent} in a year, the last {s.recency_days} days before"


def _score(s: ScoreRef) -> str:
    if s.churn_probability is None:
        return s.abstained or "unknown"
    doubt = f", not to be trusted: {s.abstained}" if s.abstained else ""
    return f"{s.churn_probability:.0%} likely not to buy again{doubt}"


def _instant(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"
