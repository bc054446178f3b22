"""The checks, one after the other. Each looks at what it needs, and judges by that alone.

``look`` gathers plain facts that can be published; ``passes`` judges by those and nothing else, so a decision's own record is
enough to judge it again (`stream.governance.judge.judged_again`). ``later`` says when a check that fails now may pass: an
action that only such checks hold back is put off, unless it is worthless by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stream.events.instants import DAY_MS, to_text
from stream.governance.asked import Asked
from stream.governance.channels import best, told
from stream.governance.quiet import ends_ms
from stream.zones import local, zone

Facts = Mapping[str, Any]
"""JSON-able."""

PAUSE_RETRY_MS = 3_600_000
"""How often an action that waits for the end of a pause is judged again while nobody ends it. Shorter: a long pause says the same
of everybody over and over; longer: more customers are looked at when it ends, because all that waits is due within this time."""


def _never(facts: Facts) -> int:
    return 0


class Check(NamedTuple):
    """One check of governance."""

    name: str
    """Also the reason of a decision that it holds back."""
    look: Callable[[Asked], Facts | None]
    """``None``: it doesn't concern this action, so nothing is published of it."""
    passes: Callable[[Facts], bool]
    detail: Callable[[Facts], str]
    """For a person."""
    later: Callable[[Facts], int] = _never
    """When it may pass after all, in Unix ms; 0: never."""


# -- what each looks at


def _expiry(a: Asked) -> Facts:
    return {"now_ms": a.now_ms, "expires_ms": a.expires_ms}


def _condition(a: Asked) -> Facts | None:
    return {"error": a.error} if a.error else None


def _chosen(a: Asked) -> Facts | None:
    return a.choice


def _reason(a: Asked) -> Facts | None:
    return None if a.holds else _GONE


def _useful(a: Asked) -> Facts | None:
    return {"shown": a.useless} if a.useless else None


def _stopped(a: Asked) -> Facts | None:
    if not a.controls.stops(a.rule.id):
        return None
    by = a.controls.paused_by or "whoever looks after this rule"
    return {"by": by, "now_ms": a.now_ms, "expires_ms": a.expires_ms}


def _identifier(a: Asked) -> Facts:
    if not a.customer_id.startswith("anon:"):
        return _KNOWN
    return {"anonymous": True, "reaches_devices": a.channel in _REACH_ANYBODY}


def _test(a: Asked) -> Facts | None:
    is_test = a.customer_id in a.policy.test_customers or a.customer_id in a.controls.test_customers
    return _TEST if is_test else None


def _holdout(a: Asked) -> Facts | None:
    return _HELD_OUT if a.held_out else None


def _consent(a: Asked) -> Facts:
    if a.channel == "none":
        return _NOBODY
    consent = a.customer.person.consent
    said = [c for c in _scopes(a) if c in consent] if consent else ()
    if not said:
        return _SILENT[a.policy.consent_default]
    allowed = max((consent[scope] for scope in said), key=lambda choice: (choice[0], not choice[1]))[1]
    return {"said": list(said), "allowed": allowed}


def _scopes(a: Asked) -> tuple[str, ...]:
    """What a choice may have been about: the channel, the purpose, both together, everything."""
    purpose = a.rule.purpose
    return (f"{purpose}:{a.channel}", f"{purpose}:*", a.channel, "*")


def _cooldown(a: Asked) -> Facts:
    last_ms = a.customer.memory.decided_ms.get(a.rule.id) if a.rule.cooldown_ms else None
    if last_ms is None:
        return _FIRST
    return {"last_ms": last_ms, "now_ms": a.now_ms, "cooldown_ms": a.rule.cooldown_ms}


def _fit(a: Asked) -> Facts | None:
    bounced_ms, answered_ms = a.customer.person.reach(a.channel)
    return {"bounced_ms": bounced_ms, "answered_ms": answered_ms, "now_ms": a.now_ms} if bounced_ms else None


def _cap(a: Asked) -> Facts:
    if not a.rule.cap:
        return _OUTSIDE
    memory = a.customer.memory
    caps = []
    for scope, most, window_ms in a.policy.caps_on(a.channel, a.rule.group):
        sent = memory.sent_ms if scope == "customer" else memory.sent_in(scope)
        inside = [at for at in sent if at > a.now_ms - window_ms]
        # A place is free when all but `most` − 1 of them have left the window.
        free_ms = inside[-most] + window_ms if most and len(inside) >= most else 0
        caps.append({"scope": scope, "sent": len(inside), "most": most, "window_ms": window_ms, "free_ms": free_ms})
    return {"caps": caps}


def _quiet(a: Asked) -> Facts | None:
    hours = a.policy.quiet_hours
    if hours is None or not a.rule.quiet_hours or a.channel not in a.policy.quiet_channels:
        return None
    name = a.customer.person.trait("timezone")
    where = zone(name) if name else None
    if where is None:
        name, where = a.policy.zone_name, a.policy.zone
    until_ms = ends_ms(a.now_ms, where, hours)
    clock = f"{local(a.now_ms, where):%H:%M}"
    return {"now_ms": a.now_ms, "until_ms": until_ms, "zone": name, "local": clock}


def _rank(a: Asked) -> Facts | None:
    return {"by": a.outranked_by} if a.outranked_by else None


def _budget(a: Asked) -> Facts | None:
    if not a.policy.budget_minor or not a.cost_minor:
        return None
    left = a.ledger.money_left(a.tier, a.now_ms, a.policy)
    tomorrow_ms = (a.now_ms // DAY_MS + 1) * DAY_MS
    return {"cost_minor": a.cost_minor, "left_minor": left, "tier": a.tier, "next_ms": tomorrow_ms}


def _circuit(a: Asked) -> Facts | None:
    until_ms = a.ledger.open_until(a.rule, a.now_ms)
    return {"until_ms": until_ms} if until_ms else None


def _dry(a: Asked) -> Facts | None:
    return _DRY if a.rule.dry_run or a.rule.id in a.controls.dry_rules else None


# Facts that are the same for everybody are made once.
_GONE: Facts = {"holds": False}
_KNOWN: Facts = {"anonymous": False}
_TEST: Facts = {"test_customer": True}
_HELD_OUT: Facts = {"held_out": True}
_NOBODY: Facts = {"contacted": False}
_SILENT: Mapping[str, Facts] = {default: {"said": [], "default": default} for default in ("opt_in", "opt_out")}
_FIRST: Facts = {"last_ms": None}
_OUTSIDE: Facts = {"caps": []}
_DRY: Facts = {"dry_run": True}
_REACH_ANYBODY = frozenset(("push", "app", "none"))
"""Channels that reach a device, signed in or not."""
BOUNCE_DAYS = 30
"""An address that bounced is left alone this long, unless it is heard of again. Shorter: the sender's reputation suffers;
longer: a full mailbox costs a customer for good."""


# -- how each judges


def _fails(f: Facts) -> bool:
    """Of checks that say something only when they hold an action back."""
    return False


def _consent_passes(f: Facts) -> bool:
    if "default" in f:
        return bool(f["default"] == "opt_out")
    return bool(f.get("allowed", True))


def _consent_detail(f: Facts) -> str:
    if "contacted" in f:
        return "nobody is contacted"
    if "default" in f:
        return f"nothing said, the default is {f['default']}"
    return f"said about {' and '.join(f['said'])}"


def _identifier_detail(f: Facts) -> str:
    return "has not signed in, so there is no address" if f["anonymous"] else "is known by an id of the shop"


def _cooldown_passes(f: Facts) -> bool:
    return bool(f["last_ms"] is None or f["now_ms"] - f["last_ms"] >= f["cooldown_ms"])


def _cooldown_detail(f: Facts) -> str:
    last_ms = f["last_ms"]
    if last_ms is None:
        return "no earlier action of this rule counts"
    return f"last action of this rule at {to_text(last_ms)}"


def _cap_passes(f: Facts) -> bool:
    return all(cap["sent"] < cap["most"] for cap in f["caps"])


def _cap_detail(f: Facts) -> str:
    if not f["caps"]:
        return "this rule is outside the cap"
    return "; ".join(f"{c['sent']} of {c['most']} in {_window(c['window_ms'])}{_scope(c['scope'])}" for c in f["caps"])


def _cap_later(f: Facts) -> int:
    return int(max(cap["free_ms"] for cap in f["caps"]))


def _window(window_ms: int) -> str:
    days, rest = divmod(window_ms, DAY_MS)
    return f"{days} days" if not rest else f"{window_ms // 3_600_000} hours"


def _scope(scope: str) -> str:
    return "" if scope == "customer" else f" by {scope.replace(':', ' ')}"


def _quiet_passes(f: Facts) -> bool:
    return bool(f["now_ms"] >= f["until_ms"])


def _quiet_detail(f: Facts) -> str:
    return f"it is {f['local']} in {f['zone']}" + (
        "" if _quiet_passes(f) else f", quiet until {to_text(f['until_ms'])}"
    )


def _fit_passes(f: Facts) -> bool:
    is_old = f["now_ms"] - f["bounced_ms"] >= BOUNCE_DAYS * DAY_MS
    return bool(is_old or f["answered_ms"] > f["bounced_ms"])


def _stopped_later(f: Facts) -> int:
    """As long as it is worth something: the pause may end at any time."""
    retry_ms = min(f["now_ms"] + PAUSE_RETRY_MS, f["expires_ms"] - 1)
    return int(retry_ms) if retry_ms > f["now_ms"] else 0


def _budget_passes(f: Facts) -> bool:
    return bool(f["cost_minor"] <= f["left_minor"])


def _budget_detail(f: Facts) -> str:
    return f"costs {f['cost_minor']} of {f['left_minor']} left for tier {f['tier'] or 'unknown'}"


CHECKS: tuple[Check, ...] = (
    Check("condition_error", _condition, _fails, lambda f: str(f["error"])),
    Check(
        "expired",
        _expiry,
        lambda f: bool(f["now_ms"] < f["expires_ms"]),
        lambda f: f"worth something until {to_text(f['expires_ms'])}",
    ),
    Check("cancelled", _reason, _fails, lambda f: "its reason is gone"),
    Check(
        "channel_choice",
        _chosen,
        lambda f: bool(f["chosen"] == best(f["ways"])),
        lambda f: told(f["chosen"], f["tier"], f["ways"]),
    ),
    Check("missing_identifier", _identifier, lambda f: not f["anonymous"] or f["reaches_devices"], _identifier_detail),
    Check("consent_missing", _consent, _consent_passes, _consent_detail),
    Check(
        "channel_unfit",
        _fit,
        _fit_passes,
        lambda f: f"bounced at {to_text(f['bounced_ms'])}",
    ),
    Check("cooldown", _cooldown, _cooldown_passes, _cooldown_detail),
    Check("outranked", _rank, _fails, lambda f: f"{f['by']} goes first"),
    Check("no_effect", _useful, _fails, lambda f: f"the rule does no good: {f['shown']}"),
    Check("holdout", _holdout, _fails, lambda f: "in the hold-out"),
    Check("paused", _stopped, _fails, lambda f: f"paused by {f['by']}", _stopped_later),
    Check("quiet_hours", _quiet, _quiet_passes, _quiet_detail, lambda f: f["until_ms"]),
    Check("frequency_cap", _cap, _cap_passes, _cap_detail, _cap_later),
    Check("budget", _budget, _budget_passes, _budget_detail, lambda f: f["next_ms"]),
    Check(
        "circuit_open",
        _circuit,
        _fails,
        lambda f: f"too many actions, so none until {to_text(f['until_ms'])}",
        lambda f: int(f["until_ms"]),
    ),
    Check("test_customer", _test, _fails, lambda f: "is a test customer"),
    Check("dry_run", _dry, _fails, lambda f: "decides, and nothing goes out"),
)
"""All checks, in the order in which they name the reason. What is worthless needs no other reason; what only time or money holds
back comes after what nothing would change, and after the hold-out, which must be compared with those who would have been reached.
Test customers and dry runs come last: they are told only of what would have gone out."""

BY_NAME: Mapping[str, Check] = {check.name: check for check in CHECKS}
REASONS: tuple[str, ...] = tuple(BY_NAME)
"""Every reason that a decision can be held back for."""
CONSTANTS: tuple[tuple[str, Facts], ...] = (
    ("missing_identifier", _KNOWN),
    ("consent_missing", _NOBODY),
    *(("consent_missing", silent) for silent in _SILENT.values()),
    ("cooldown", _FIRST),
    ("frequency_cap", _OUTSIDE),
)
"""Facts that most customers share, by check: the verdicts on them are made once."""
