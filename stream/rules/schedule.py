"""When timer rules are due for a customer: a pure function of state, so the due index can be rebuilt from it (E7).

Every due time belongs to an occurrence, named by what the silence is counted from. An occurrence is decided once; when the
anchor moves (a purchase, another cart), the old occurrence is gone and a new one waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from stream.config import Settings
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS
from stream.rules.occasions import NEVER_MS, Due, Fired, Known, Occasions, complaint_name
from stream.rules.rule import Before, Rule, RuleSet, Since, spread_default
from stream.state.memory import Memory
from stream.state.profile import Profile

__all__ = ["NEVER_MS", "Due", "Fired", "Known", "Schedule", "Timers", "occurrence"]

_Timer = tuple[int, str, int, int, int, int]
"""(which of the anchors, rule id, distance from the anchor in ms, spread in ms, hash of the rule id, from when on it is live)"""

ON_ORDERS = ("last_purchase", "first_purchase", "expected_purchase")
ON_PERSON = ("profile_created", "last_activity")
ON_CART = ("cart_changed",)


class Ordered(Protocol):
    """Whoever knows how the last order is named."""

    @property
    def last_order_name(self) -> str:
        """Names the last order in occurrences."""


class Timers:
    """Timer rules that hang on the same part of a customer: on some of its instants, the anchors."""

    __slots__ = ("_anchors", "_by_anchor", "_ids", "_timers", "any")

    def __init__(self, anchors: tuple[str, ...], timers: Iterable[_Timer]) -> None:
        self._anchors = anchors
        self._timers = sorted(timers, key=lambda timer: timer[2])
        self.any = frozenset(anchors[timer[0]] for timer in self._timers)
        """The anchors that any rule counts from."""
        self._ids = tuple([timer[1].encode() for timer in self._timers])
        self._by_anchor = [
            (at, anchor, [timer[1:] for timer in self._timers if timer[0] == at])
            for at, anchor in enumerate(anchors)
            if anchor in self.any
        ]

    def dues(self, at_ms: int, customer_id: str) -> Iterator[tuple[bytes, int]]:
        """Rule id and due instant of each, with all anchors at one instant, whatever has been decided."""
        for rule_id, (_, _, offset_ms, spread_ms, rule_hash, _) in zip(self._ids, self._timers, strict=True):
            spread = (hash64(customer_id) ^ rule_hash) % spread_ms if spread_ms else 0
            yield rule_id, at_ms + offset_ms + spread

    def next_ms(
        self, instants: Sequence[int], orders: Ordered, memory: Fired, customer_hash: int, before_ms: int = NEVER_MS
    ) -> int:
        """When the earliest occurrence that is still to be decided is due, if before an instant; else that instant.

        ``instants`` are what the anchors stand for, 0 when there is none.
        """
        earliest_ms = before_ms
        history_ms, fired = memory.history_until_ms, memory.fired
        for at, anchor, timers in self._by_anchor:
            at_ms = instants[at]
            if not at_ms:
                continue
            for rule_id, offset_ms, spread_ms, rule_hash, live_ms in timers:
                due_ms = at_ms + offset_ms
                if due_ms >= earliest_ms:
                    break  # the nearest come first
                if spread_ms:
                    due_ms += (customer_hash ^ rule_hash) % spread_ms
                if history_ms < due_ms < earliest_ms and due_ms >= live_ms:
                    done = fired.get(rule_id)
                    if done is None or (due_ms > done[1] and done[0] != occurrence(anchor, at_ms, orders)):
                        earliest_ms = due_ms
        return earliest_ms

    def due(
        self, instants: Sequence[int], orders: Ordered, memory: Fired, customer_hash: int, until_ms: int
    ) -> tuple[list[Due], int]:
        """Every occurrence that is still to be decided and due by an instant, in no order; and when the next one after these is
        due, `NEVER_MS`: there is none."""
        found: list[Due] = []
        next_ms = NEVER_MS
        history_ms, fired = memory.history_until_ms, memory.fired
        for anchor, rule_id, offset_ms, spread_ms, rule_hash, live_ms in self._timers:
            at_ms = instants[anchor]
            due_ms = at_ms + offset_ms
            if due_ms >= next_ms or not at_ms:
                continue
            if spread_ms:
                due_ms += (customer_hash ^ rule_hash) % spread_ms
            if not history_ms < due_ms < next_ms or due_ms < live_ms:
                continue
            done = fired.get(rule_id)
            if done is not None and due_ms <= done[1]:
                continue
            if done is not None or due_ms <= until_ms:
                named = occurrence(self._anchors[anchor], at_ms, orders)
                if done is not None and done[0] == named:
                    continue
                if due_ms <= until_ms:
                    found.append(Due(due_ms, rule_id, named))
                    continue
            next_ms = due_ms
        return found, next_ms


_ANCHORS = (*ON_ORDERS, *ON_PERSON, *ON_CART)
"""In the order of the instants in `Schedule.due`."""
_CART = _ANCHORS.index("cart_changed")


class Schedule:
    """The timer rules of a rule set, by what they hang on."""

    def __init__(self, rules: RuleSet, settings: Settings) -> None:
        timers: list[_Timer] = []
        for rule in rules.rules:
            trigger = rule.trigger
            name: str
            if isinstance(trigger, Since) and trigger.anchor in _ANCHORS:
                name, offset_ms = trigger.anchor, trigger.after_ms
            elif isinstance(trigger, Before):
                name, offset_ms = trigger.target, -trigger.before_ms
            else:
                continue
            spread_ms = spread_default(trigger, settings.timer_spread_ms)
            live_ms = rules.live_from_ms.get(rule.id, 0)
            timers.append((_ANCHORS.index(name), rule.id, offset_ms, spread_ms, hash64(rule.id), live_ms))
        self._timers = sorted(timers, key=lambda timer: timer[2])
        self.on_orders = _timers_on(ON_ORDERS, timers)
        self.on_person = _timers_on(ON_PERSON, timers)
        self.on_cart = _timers_on(ON_CART, timers)
        self.occasions = Occasions(rules, settings)

    def due(
        self,
        profile: Profile,
        memory: Memory,
        customer_hash: int,
        until_ms: int,
        decided_ms: int,
        before_ms: int = NEVER_MS,
    ) -> tuple[list[Due], int, int]:
        """Every occurrence that is still to be decided and due by an instant, earliest first; when the next one after these
        is due that doesn't hang on the cart, if before another, later one, else that one; and when the cart's next one is, if that is
        sooner, `NEVER_MS` if not.

        ``decided_ms`` is `stream.rules.occasions.decided_until_ms`.
        """
        found: list[Due] = []
        next_ms, cart_ms = before_ms, NEVER_MS
        history_ms, fired = memory.history_until_ms, memory.fired
        purchases, person, expected_day = (
            profile.purchases,
            profile.customer.person,
            profile.purchases.expected_next_day,
        )
        in_cart = profile.customer.messages.carts and profile.cart_open
        instants = (
            purchases.last_ms or 0,
            purchases.first_ms or 0,
            0 if expected_day is None else expected_day * DAY_MS,
            person.created_ms,
            person.last_activity_ms,
            profile.cart_changed_ms if in_cart else 0,
        )
        for anchor, rule_id, offset_ms, spread_ms, rule_hash, live_ms in self._timers:
            at_ms = instants[anchor]
            due_ms = at_ms + offset_ms
            if due_ms >= next_ms or not at_ms:
                continue
            if spread_ms:
                due_ms += (customer_hash ^ rule_hash) % spread_ms
            if not history_ms < due_ms < next_ms or due_ms < live_ms:
                continue
            done = fired.get(rule_id)
            if done is None:
                named = occurrence(_ANCHORS[anchor], at_ms, profile) if due_ms <= until_ms else ""
            elif due_ms <= done[1] or done[0] == (named := occurrence(_ANCHORS[anchor], at_ms, profile)):
                continue
            if due_ms <= until_ms:
                found.append(Due(due_ms, rule_id, named))
            elif anchor == _CART:
                cart_ms = min(cart_ms, due_ms)
            else:
                next_ms = due_ms
        if self.occasions.any:
            known = Known(
                profile.customer_id,
                customer_hash,
                person,
                purchases.first_ms,
                purchases.last_ms,
                self.occasions.shop_zone,
            )
            dues, next_ms = self.occasions.due(known, memory, decided_ms, until_ms, next_ms)
            found += dues
        found.sort()
        return found, next_ms, cart_ms


def occurrence(anchor: str, at_ms: int, orders: Ordered) -> str:
    """What a silence or an expectation since an anchor is named by: the same name, the same occurrence."""
    match anchor:
        case "last_purchase" | "expected_purchase":
            return orders.last_order_name
        case "first_purchase":
            return "first"
        case "cart_changed":
            return f"cart-{at_ms}"
        case "last_activity":
            return f"activity-{at_ms}"
        case _:
            return "profile"


def is_current(rule: Rule, name: str, profile: Profile) -> bool:
    """Whether an occurrence that was decided earlier is still the one to be decided: its anchor hasn't moved since.

    Of rules that answer events and alerts every occurrence stays what it is.
    """
    trigger = rule.trigger
    if isinstance(trigger, Since):
        anchor: str = trigger.anchor
    elif isinstance(trigger, Before):
        anchor = trigger.target
    else:
        return True
    if anchor == "complaint_opened":
        return name in map(complaint_name, profile.customer.person.open_complaints())
    if anchor == "cart_changed":
        return profile.cart_open and occurrence(anchor, profile.cart_changed_ms, profile) == name
    return occurrence(anchor, profile.last_activity_ms, profile) == name


def _timers_on(anchors: tuple[str, ...], timers: Iterable[_Timer]) -> Timers:
    first = _ANCHORS.index(anchors[0])
    own = [timer for timer in timers if 0 <= timer[0] - first < len(anchors)]
    return Timers(anchors, [(timer[0] - first, *timer[1:]) for timer in own])
