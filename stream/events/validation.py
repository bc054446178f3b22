"""What msgspec says about a message that doesn't fit, as stage, reason, field path and detail."""

from __future__ import annotations

import re

from stream.events.rejected import Reason, Refusal, Rejected, Stage

_PATH = re.compile(r"^(.*) - at `\$([^`]*)`$", re.DOTALL)


def as_refusal(text: str, prefix: str) -> Refusal:
    """A validation error of msgspec as reason, field path and detail."""
    match = _PATH.match(text)
    detail, path = (match.group(1), match.group(2)) if match else (text, "")
    field = f"{prefix}{path}"
    if detail.startswith("Expected `object`, got") and not path and prefix in ("$", "$.data"):
        reason = Reason.NOT_SEGMENT
    elif detail.startswith("Object missing required field"):
        reason = Reason.MISSING_FIELD
        field = f"{field}.{detail.split('`')[1]}"
    elif detail.startswith("Expected `float` >="):
        reason = Reason.NEGATIVE_MONEY
    elif detail.startswith("Expected `float` <"):
        reason = Reason.MONEY_OUT_OF_RANGE
    elif detail.startswith("Number out of range"):
        reason = Reason.NON_FINITE_MONEY
    elif detail.startswith("Invalid RFC3339"):
        reason = Reason.BAD_TIME
    elif "of length" in detail or "`int` >=" in detail or "`int` <=" in detail or "Integer value" in detail:
        reason = Reason.VALUE_OUT_OF_RANGE
    elif path in (".timestamp", ".time"):
        reason = Reason.BAD_TIME
    else:
        reason = Reason.WRONG_TYPE
    return Refusal(reason, field, detail)


def rejected(text: str, prefix: str) -> Rejected:
    """The same as what the dead letter says."""
    refusal = as_refusal(text, prefix)
    stage = Stage.DECODE if refusal.reason == Reason.NOT_SEGMENT else Stage.SCHEMA
    return Rejected(stage, refusal.reason, refusal.detail, refusal.field)
