"""When timer rules are due for a customer: a pure function of state, so the due index can be rebuilt from it (E7).

Every due time belongs to an occurrence, named by what the silence is counted from. An occurrence is decided once; when the
anchor moves (a purchase, another cart), the old occurrence is gone and a new one waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from stream.config import Settings
from stream.events.hashing import hash64
from stream.rules.rule import Before, RuleSet, Since, spread_default
from stream.state.memory import Memory
from stream.state.profile import Profile


class Due(msgspec.Struct, frozen=True, order=True, gc=False):
    """A timer of one rule for one customer; ordered by (due, rule) as SEMANTICS orders what is due together."""

    due_ms: int
    rule_id: str
    occurrence: str


NEVER_MS = 1 << 62
"""Stands for "never" where the earliest of several instants is wanted."""

_Timer = tuple[str, int, int, int]
"""(rule id, distance from the anchor in ms, spread in ms, hash of the rule id)"""


class Schedule:
    """The timer rules of a rule set, by anchor."""

    def __init__(self, rules: RuleSet, settings: Settings) -> None:
        self._timers: dict[str, list[_Timer]] = {}
        for rule in rules.rules:
            trigger = rule.trigger
            name: str
            if isinstance(trigger, Since):
                name, offset_ms = trigger.anchor, trigger.after_ms
            elif isinstance(trigger, Before):
                name, offset_ms = trigger.target, -trigger.before_ms
            else:
                continue
            timer = (rule.id, offset_ms, spread_default(trigger, settings.timer_spread_ms), hash64(rule.id))
            self._timers.setdefault(name, []).append(timer)

    @property
    def anchors(self) -> Collection[str]:
        """What silences and expectations are counted from."""
        return self._timers.keys()

    def next_ms(self, anchor: str, at_ms: int | None, profile: Profile, memory: Memory, customer_hash: int) -> int:
        """When the earliest occurrence at an anchor that is still to be decided is due; `NEVER_MS`: there is none.

        ``at_ms`` is the instant that the anchor stands for, if there is one.
        """
        earliest_ms = NEVER_MS
        if not at_ms:
            return earliest_ms
        history_ms, fired = memory.history_until_ms, memory.fired
        for rule_id, offset_ms, spread_ms, rule_hash in self._timers.get(anchor, ()):
            due_ms = at_ms + offset_ms
            if spread_ms:
                due_ms += (customer_hash ^ rule_hash) % spread_ms
            if history_ms < due_ms < earliest_ms:
                done = fired.get(rule_id)
                if done is None or (due_ms > done[1] and done[0] != occurrence(anchor, profile)):
                    earliest_ms = due_ms
        return earliest_ms

    def due(self, profile: Profile, memory: Memory, customer_hash: int, until_ms: int) -> list[Due]:
        """Every occurrence that is still to be decided and due by an instant, earliest first."""
        found = []
        for name, timers in self._timers.items():
            at_ms = _INSTANTS[name](profile)
            if not at_ms:
                continue
            for rule_id, offset_ms, spread_ms, rule_hash in timers:
                due_ms = at_ms + offset_ms
                if spread_ms:
                    due_ms += (customer_hash ^ rule_hash) % spread_ms
                if not memory.history_until_ms < due_ms <= until_ms:
                    continue
                done = memory.fired.get(rule_id)
                named = occurrence(name, profile)
                if done is None or (due_ms > done[1] and done[0] != named):
                    found.append(Due(due_ms, rule_id, named))
        found.sort()
        return found


def occurrence(anchor: str, profile: Profile) -> str:
    """What a silence or an expectation is named by: the same name, the same occurrence."""
    match anchor:
        case "last_purchase" | "expected_purchase":
            return profile.last_order_name
        case "first_purchase":
            return "first"
        case "cart_changed":
            return f"cart-{profile.cart_changed_ms}"
        case "last_activity":
            return f"activity-{profile.last_activity_ms}"
        case _:
            return "profile"


_INSTANTS: dict[str, Callable[[Profile], int]] = {
    "last_purchase": lambda profile: profile.last_purchase_ms or 0,
    "expected_purchase": lambda profile: profile.expected_next_purchase_ms or 0,
    "first_purchase": lambda profile: profile.first_purchase_ms or 0,
    "cart_changed": lambda profile: profile.cart_changed_ms if profile.cart_open else 0,
    "last_activity": lambda profile: profile.last_activity_ms,
    "profile_created": lambda profile: profile.created_ms,
}
"""The instant that each anchor stands for, 0 when there is none."""
