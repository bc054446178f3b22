"""When timer rules are due for a customer: a pure function of state, so the due index can be rebuilt from it (E7).

Every due time belongs to an occurrence, named by what the silence is counted from. An occurrence is decided once; when the
anchor moves (a purchase, another cart), the old occurrence is gone and a new one waits.
"""

from __future__ import annotations

import msgspec

from stream.config import Settings
from stream.events.hashing import hash64
from stream.rules.rule import Before, Rule, RuleSet, Since, spread_default
from stream.state.memory import Memory
from stream.state.profile import Profile


class Due(msgspec.Struct, frozen=True, order=True, gc=False):
    """A timer of one rule for one customer; ordered by (due, rule) as SEMANTICS orders what is due together."""

    due_ms: int
    rule_id: str
    occurrence: str


class _Timer(msgspec.Struct, frozen=True, gc=False):
    rule: Rule
    anchor: str
    offset_ms: int
    spread_ms: int
    id_hash: int


class Schedule:
    """The timer rules of a rule set."""

    def __init__(self, rules: RuleSet, settings: Settings) -> None:
        self._timers: list[_Timer] = []
        for rule in rules.rules:
            trigger = rule.trigger
            anchor: str
            if isinstance(trigger, Since):
                anchor, offset = trigger.anchor, trigger.after_ms
            elif isinstance(trigger, Before):
                anchor, offset = trigger.target, -trigger.before_ms
            else:
                continue
            spread = spread_default(trigger, settings.timer_spread_ms)
            self._timers.append(_Timer(rule, anchor, offset, spread, hash64(rule.id)))

    def waiting(self, profile: Profile, memory: Memory, customer_hash: int) -> list[Due]:
        """Every occurrence that is still to be decided, due in the past or the future, earliest first."""
        found = []
        anchors: dict[str, tuple[int, str] | None] = {}
        for timer in self._timers:
            if timer.anchor not in anchors:
                anchors[timer.anchor] = anchor(timer.anchor, profile)
            at = anchors[timer.anchor]
            if at is None:
                continue
            due_ms = at[0] + timer.offset_ms
            if timer.spread_ms:
                due_ms += (customer_hash ^ timer.id_hash) % timer.spread_ms
            if due_ms <= memory.history_until_ms:
                continue
            occurrence = at[1]
            done = memory.fired.get(timer.rule.id)
            if done is not None and (done[0] == occurrence or due_ms <= done[1]):
                continue
            found.append(Due(due_ms, timer.rule.id, occurrence))
        found.sort()
        return found


def anchor(name: str, profile: Profile) -> tuple[int, str] | None:
    """(instant, occurrence) that a silence or an expectation is counted from; ``None`` when there is none."""
    if name == "last_purchase":
        at = profile.last_purchase_ms
        return None if at is None else (at, profile.last_order_name)
    if name == "expected_purchase":
        at = profile.expected_next_purchase_ms
        return None if at is None else (at, profile.last_order_name)
    if name == "first_purchase":
        at = profile.first_purchase_ms
        return None if at is None else (at, "first")
    if name == "cart_changed":
        return (profile.cart_changed_ms, f"cart-{profile.cart_changed_ms}") if profile.cart_open else None
    if name == "last_activity":
        at = profile.last_activity_ms
        return (at, f"activity-{at}") if at else None
    return (profile.created_ms, "profile") if profile.created_ms else None
