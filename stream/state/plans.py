"""What is still to be decided about a customer, and what the frequency caps must know. Like `Memory`, not order-free."""

from __future__ import annotations

import msgspec

from stream.actions.decision import Cause


class Pending(msgspec.Struct, array_like=True, gc=False):
    """An action that was wanted and has to be judged (again) at a later instant: it waits for the end of quiet hours, for a
    place under the cap, for money, or for its decision window to close."""

    due_ms: int
    rule_id: str
    occurrence: str
    since_ms: int
    """When it was wanted; its expiry counts from then."""
    contest: str
    """The set of rules that it competes with until the window closes; empty: with none, it was judged and put off."""
    cause: Cause
    event: bytes = b""
    """The event that the rule answers, as conditions see it (the engine knows how it is encoded); empty: none."""


class Plans(msgspec.Struct, array_like=True, gc=False):
    """Decisions to come about one customer. Most customers have none."""

    pending: list[Pending] = []
    """Ascending by (due, rule, occurrence)."""
    sent_ms: dict[str, list[int]] = {}
    """Scope of a cap (``channel:sms``, ``group:recall``) → instants of the newest published actions in it, ascending."""

    def put_off(self, pending: Pending) -> None:
        """Adds a pending decision, or moves the one there is about the same occurrence."""
        same = (pending.rule_id, pending.occurrence)
        kept = [p for p in self.pending if (p.rule_id, p.occurrence) != same]
        self.pending = sorted([*kept, pending], key=lambda p: (p.due_ms, p.rule_id, p.occurrence))

    def take_due(self, until_ms: int) -> list[Pending]:
        """Removes and returns what is due up to an instant."""
        due = [p for p in self.pending if p.due_ms <= until_ms]
        self.pending = self.pending[len(due) :]
        return due

    @property
    def next_ms(self) -> int:
        """When the first pending decision is due, 0 when there is none."""
        return self.pending[0].due_ms if self.pending else 0
