"""Where a customer stands in a journey. Like `Pending`, due at an instant and part of what has been decided."""

from __future__ import annotations

import msgspec

from stream.actions.decision import Cause

MOST_BEGUN = 8
"""Occurrences of a journey that a customer's record remembers as begun. Fewer: an order that is changed again and again begins
its journey again (its actions have the ids they had, so no sender sends them twice); more: bytes in records, hardly ever read."""


class Running(msgspec.Struct, array_like=True, gc=False):
    """A journey on its way. Of each rule there is at most one."""

    due_ms: int
    """When it goes on, whatever happens: it always does."""
    rule_id: str
    occurrence: str
    """With the rule's `rearm`, as actions name it."""
    step: str
    """The step that it stands at."""
    since_ms: int
    """When it came to that step."""
    began_ms: int
    version: int
    """Of the rule, when it began."""
    cause: Cause
    arm: str = ""
    """Of the rule's experiment, drawn with the first action."""
    sent: int = 0
    """Actions that went out."""
    held: str = ""
    """Why an action didn't that only looked as if (a dry run, a test customer)."""
    waits: str = ""
    """Kinds of events that it waits for, as `stream.rules.journey.marks` writes them; empty: for none."""
    event: bytes = b""
    """The event that began it, as conditions see it; empty: none did."""
    paused: bool = False
    """It waits for the end of a pause."""
