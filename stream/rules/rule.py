"""Rules as the engine uses them: what triggers one, when it applies, what it does; and the indexes to find them by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from stream.rules.condition import Condition, compile_condition
from stream.rules.experiment import NO_EXPERIMENT, Experiment
from stream.rules.journey import Journey
from stream.rules.offer import Offer
from stream.rules.vocabulary import ActionKind, AlertKind, Anchor, Channel, Date, EventKind, Festival, Period, Target

DAY_MS: Final = 86_400_000


class OnEvent(msgspec.Struct, frozen=True, tag=True):
    """The rule is asked at every event of these kinds."""

    kinds: tuple[EventKind, ...]


class Since(msgspec.Struct, frozen=True, tag=True):
    """Silence: the rule is asked ``after_ms`` after the customer's anchor, unless the anchor has moved by then.

    ``spread_ms`` is the window that firings are spread over by a hash of the customer; ``None``: the setting
    ``timer_spread_ms``, for silences of a day or more (see `spread_default`), and none for shorter ones.
    """

    anchor: Anchor
    after_ms: int
    spread_ms: int | None = None


class Before(msgspec.Struct, frozen=True, tag=True):
    """The rule is asked ``before_ms`` before a moment that is expected; ``spread_ms`` as in `Since`."""

    target: Target
    before_ms: int
    spread_ms: int | None = None


class OnAlert(msgspec.Struct, frozen=True, tag=True):
    """The rule is asked when an alert of this kind is raised for the customer."""

    alert: AlertKind


class OnDate(msgspec.Struct, frozen=True, tag=True):
    """The rule is asked on a day of the customer's own, or ``before_days`` before it, at a minute of the local day."""

    date: Date
    before_days: int
    minute: int
    spread_ms: int | None = None


class OnFestival(msgspec.Struct, frozen=True, tag=True):
    """The rule is asked on festivals, or ``before_days`` before them, at a minute of the customer's day."""

    festivals: tuple[Festival, ...]
    before_days: int
    minute: int
    spread_ms: int | None = None


class Every(msgspec.Struct, frozen=True, tag=True):
    """The rule is asked once in a month or quarter, on a day of (its first) month, at a minute of the customer's day."""

    period: Period
    day: int
    minute: int
    spread_ms: int | None = None


Calendar: TypeAlias = OnDate | OnFestival | Every
Trigger: TypeAlias = OnEvent | Since | Before | OnAlert | Calendar


def spread_default(trigger: Since | Before | Calendar, day_scale_ms: int) -> int:
    """The window to spread firings over, in ms; ``day_scale_ms`` is the setting for triggers that count in days.

    >>> spread_default(Since("last_purchase", 60 * DAY_MS), 3_600_000)
    3600000
    >>> spread_default(Since("cart_changed", 7_200_000), 3_600_000)
    0
    """
    if trigger.spread_ms is not None:
        return trigger.spread_ms
    if isinstance(trigger, Calendar):
        return day_scale_ms
    distance = trigger.after_ms if isinstance(trigger, Since) else trigger.before_ms
    return day_scale_ms if distance >= DAY_MS else 0


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule file, checked and compiled.

    ``version`` travels in every action but is not part of its identity, so mending a wording sends nothing twice;
    ``rearm`` is part of it, so raising it lets customers who already had the action have it again.
    """

    id: str
    version: int
    description: str
    source: str
    trigger: Trigger
    condition: Condition
    action: ActionKind
    channel: Channel
    template: str
    offer: Offer | None
    priority: int
    """0 to 100; the higher one goes first when several rules want the same customer."""
    expires_after_ms: int
    """The action is worthless this long after it was due: it is not published, or not to be delivered, any more."""
    cooldown_ms: int
    """No second action of this rule for the customer within this time; 0: no cool-down."""
    cap: bool
    """Whether it counts towards and respects the customer's frequency cap."""
    rearm: int
    group: str = ""
    """What caps by group count it under."""
    contest: str = ""
    """The set of rules of which only the highest priority goes out within a decision window; empty: none."""
    purpose: str = "marketing"
    """What consent is asked for."""
    quiet_hours: bool = True
    """Whether it waits for their end."""
    cost_minor: int = 0
    """Of one action, for the budget and the return on it."""
    max_per_minute: int = 0
    """The circuit breaker holds the rule back for a while after so many actions in a minute; 0: no limit."""
    dry_run: bool = False
    """It decides, and its decisions are published as held back."""
    experiment: Experiment = NO_EXPERIMENT
    """What is tried out and measured."""
    journey: Journey | None = None
    """What it does step by step; then the action above is the first of them."""
    recommend: str = ""
    """Which product it names, see `stream.rules.vocabulary.Recommend`; empty: none."""
    channels: tuple[Channel, ...] = ()
    """What the channel is chosen from for each customer, in the file's order; empty: there is the one above only."""


def unknown_rule(rule_id: str) -> Rule:
    """Stands for a rule of which nothing is known but that it was there once."""
    return Rule(
        id=rule_id,
        version=0,
        description="A rule that is gone.",
        source="",
        trigger=OnEvent(()),
        condition=compile_condition("true"),
        action="reminder",
        channel="none",
        template="",
        offer=None,
        priority=0,
        expires_after_ms=365 * DAY_MS,
        cooldown_ms=0,
        cap=False,
        rearm=0,
    )


_Key = TypeVar("_Key", bound=str)


class RuleSet:
    """All rules of a folder, found by what triggers them. In every index the first rule has the highest priority.

    Attributes:
        rules: all, sorted by id.
        by_id: rule by id.
        on_event: rules by event kind.
        since: rules by anchor.
        before: rules by expected moment.
        on_alert: rules by alert.
        awaited: kinds of events that journeys wait for.
        version: hash of what the rules say; the same for the same rules, whatever their files' layout and comments.
        live_from_ms: rule id → when a rule was published as it is; its timers that were due before stay silent. Rules from
            files aren't in it: they hold for the whole of a history.
        retired: rules that there were once and aren't any more, so that what they have left can be called off.
    """

    __slots__ = (
        "awaited",
        "before",
        "by_id",
        "live_from_ms",
        "on_alert",
        "on_event",
        "retired",
        "rules",
        "since",
        "version",
    )

    def __init__(
        self, rules: Iterable[Rule], *, live_from_ms: Mapping[str, int] | None = None, retired: Iterable[Rule] = ()
    ) -> None:
        self.live_from_ms: Mapping[str, int] = MappingProxyType(dict(live_from_ms or {}))
        self.retired = tuple(retired)
        self.rules: tuple[Rule, ...] = tuple(sorted(rules, key=lambda rule: rule.id))
        self.by_id: Mapping[str, Rule] = MappingProxyType({rule.id: rule for rule in self.rules})
        self.on_event: Mapping[EventKind, tuple[Rule, ...]] = self._index(
            lambda trigger: trigger.kinds if isinstance(trigger, OnEvent) else ()
        )
        self.since: Mapping[Anchor, tuple[Rule, ...]] = self._index(
            lambda trigger: (trigger.anchor,) if isinstance(trigger, Since) else ()
        )
        self.before: Mapping[Target, tuple[Rule, ...]] = self._index(
            lambda trigger: (trigger.target,) if isinstance(trigger, Before) else ()
        )
        self.on_alert: Mapping[AlertKind, tuple[Rule, ...]] = self._index(
            lambda trigger: (trigger.alert,) if isinstance(trigger, OnAlert) else ()
        )
        journeys = [rule.journey for rule in self.rules if rule.journey is not None]
        self.awaited: frozenset[str] = frozenset(kind for journey in journeys for kind in journey.awaited)
        said = msgspec.json.encode(self.rules, enc_hook=_as_text, order="sorted")
        self.version: str = hashlib.blake2b(said, digest_size=8).hexdigest()

    def _index(self, keys: Callable[[Trigger], tuple[_Key, ...]]) -> Mapping[_Key, tuple[Rule, ...]]:
        found: dict[_Key, list[Rule]] = {}
        for rule in sorted(self.rules, key=lambda rule: (-rule.priority, rule.id)):
            for key in keys(rule.trigger):
                found.setdefault(key, []).append(rule)
        return MappingProxyType({key: tuple(rules) for key, rules in found.items()})


def _as_text(value: Any) -> str:
    if isinstance(value, Condition):
        return value.text
    raise NotImplementedError
