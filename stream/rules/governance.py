"""May this action go out now? Each check gives a verdict that is published with the decision, passed or not (E8).

The order of `CHECKS` is the order of the verdicts; the first one that fails names the reason of the suppression.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.actions.decision import Verdict
from stream.config import Settings
from stream.events.instants import DAY_MS, to_text
from stream.rules.rule import Rule
from stream.state.customer import Customer

Check = Callable[[Rule, str, Customer, int, int, Settings], Verdict]
"""(rule, customer_id, customer, now_ms, expires_ms, settings) to a verdict."""


def _expiry(rule: Rule, customer_id: str, customer: Customer, now_ms: int, expires_ms: int, s: Settings) -> Verdict:
    return Verdict(check="expired", passed=now_ms < expires_ms, detail=f"worth something until {to_text(expires_ms)}")


def _identifier(rule: Rule, customer_id: str, customer: Customer, now_ms: int, expires_ms: int, s: Settings) -> Verdict:
    if not customer_id.startswith("anon:"):
        return _KNOWN
    return _REACHABLE if rule.channel in _REACH_ANYBODY else _UNREACHABLE


def _consent(rule: Rule, customer_id: str, customer: Customer, now_ms: int, expires_ms: int, s: Settings) -> Verdict:
    if rule.channel == "none":
        return _NOBODY
    said = [c for c in (rule.channel, "*") if c in customer.person.consent]
    if not said:
        return _SILENT[s.consent_default]
    allowed = customer.person.may_contact(rule.channel, default=False)
    return Verdict(check="consent_missing", passed=allowed, detail=f"said about {' and '.join(said)}")


def _cooldown(rule: Rule, customer_id: str, customer: Customer, now_ms: int, expires_ms: int, s: Settings) -> Verdict:
    last_ms = customer.memory.decided_ms.get(rule.id)
    if not rule.cooldown_ms or last_ms is None:
        return _FIRST
    passed = now_ms - last_ms >= rule.cooldown_ms
    return Verdict(check="cooldown", passed=passed, detail=f"last action of this rule at {to_text(last_ms)}")


def _cap(rule: Rule, customer_id: str, customer: Customer, now_ms: int, expires_ms: int, s: Settings) -> Verdict:
    if not rule.cap:
        return _OUTSIDE
    since = now_ms - s.cap_window_days * DAY_MS
    sent = sum(1 for at in customer.memory.sent_ms if at > since)
    detail = f"{sent} of {s.cap_messages} in {s.cap_window_days} days"
    return Verdict(check="frequency_cap", passed=sent < s.cap_messages, detail=detail)


_REACH_ANYBODY = frozenset(("push", "app", "none"))
"""Channels that reach a device, signed in or not."""

# Verdicts that are the same for everybody are made once.
_ANONYMOUS = "has not signed in, so there is no address"
_KNOWN = Verdict(check="missing_identifier", passed=True, detail="is known by an id of the shop")
_REACHABLE = Verdict(check="missing_identifier", passed=True, detail=_ANONYMOUS)
_UNREACHABLE = Verdict(check="missing_identifier", passed=False, detail=_ANONYMOUS)
_NOBODY = Verdict(check="consent_missing", passed=True, detail="nobody is contacted")
_SILENT = {
    default: Verdict(
        check="consent_missing", passed=default == "opt_out", detail=f"nothing said, the default is {default}"
    )
    for default in ("opt_in", "opt_out")
}
_FIRST = Verdict(check="cooldown", passed=True, detail="no earlier action of this rule counts")
_OUTSIDE = Verdict(check="frequency_cap", passed=True, detail="this rule is outside the cap")

CHECKS: tuple[Check, ...] = (_expiry, _identifier, _consent, _cooldown, _cap)
"""All checks. Expiry first: what is worthless needs no other reason. The cap last: only what would go out uses it up."""

REASONS = ("expired", "missing_identifier", "consent_missing", "cooldown", "frequency_cap", "condition_error")
"""Every reason a decision can be suppressed for. ``condition_error``: the rule's condition could not be evaluated."""


def judge(
    rule: Rule, customer_id: str, customer: Customer, now_ms: int, expires_ms: int, s: Settings
) -> tuple[Verdict, ...]:
    """All verdicts on an action of ``rule`` for a customer at ``now_ms``."""
    return tuple([check(rule, customer_id, customer, now_ms, expires_ms, s) for check in CHECKS])


def remember(rule: Rule, customer: Customer, now_ms: int, s: Settings) -> None:
    """Notes a published action for the checks to come."""
    memory = customer.memory
    if rule.cooldown_ms:
        memory.decided_ms[rule.id] = now_ms
    if rule.cap and s.cap_messages:
        memory.sent_ms.append(now_ms)
        memory.sent_ms.sort()
        del memory.sent_ms[: -s.cap_messages]
