"""What a shop allows, read off the settings once: caps, quiet hours, budget, circuit breaker, decision window."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from stream.config import CAP, DAY_MS, QUIET_HOURS, TIER_CHANNELS, Settings
from stream.rules.rule import RuleSet
from stream.zones import zone

SHARED_TIERS = frozenset(
    (
        *("high", "medium", "high_value", "potential", "active_loyal", "passive_loyal", "retain", "grow"),
        *("champions", "loyal", "cant_lose_them", "potential_loyalists"),
    )
)
"""The tiers that a share of the budget is reserved for (E8): high and medium, and what they are in the other schemes."""
_UNITS_MS = {"h": 3_600_000, "d": DAY_MS}


class Cap(NamedTuple):
    """At most ``most`` actions in any ``window_ms``. ``scope``: ``customer``, ``channel:sms`` or ``group:recall``."""

    scope: str
    most: int
    window_ms: int


class QuietHours(NamedTuple):
    """From one minute of the local day up to another, over midnight if the first is the later one."""

    starts_minute: int
    ends_minute: int


class Policy(NamedTuple):
    """The settings of governance in the form that checks need them in."""

    consent_default: str
    caps: tuple[Cap, ...]
    quiet_hours: QuietHours | None
    quiet_channels: frozenset[str]
    zone: ZoneInfo
    zone_name: str
    window_ms: int
    """Decision window of rules that exclude each other."""
    budget_minor: int
    """This partition's share of a UTC day's money; 0: no limit."""
    reserved_minor: int
    """Of it, what only `SHARED_TIERS` may use."""
    breaker_most: int
    """This partition's share of the actions of one minute, all rules together; 0: no limit."""
    breaker_open_ms: int
    partitions: int
    test_customers: frozenset[str]
    tier_channels: Mapping[str, tuple[str, ...]]
    """Tier → the channels that it is best reached by, the best one first."""
    channel_costs: Mapping[str, int]
    """Channel → what one message on it costs, minor units; the others are free."""

    def caps_on(self, channel: str, group: str) -> tuple[Cap, ...]:
        """The caps that an action comes under."""
        mine = ("customer", f"channel:{channel}", f"group:{group}")
        return tuple([cap for cap in self.caps if cap.scope in mine])


def make_policy(settings: Settings, partitions: int) -> Policy:
    """The policy of valid settings, for one of so many partitions.

    Limits of the whole shop are cut into equal shares: customers are spread by a hash, so nothing has to be asked of others,
    and the sum is never more than the limit. What skew leaves unused on one partition isn't given to another.
    """
    home = zone(settings.time_zone)
    assert home is not None, "settings are checked before they are used"
    budget_minor = settings.budget_daily_minor // partitions
    return Policy(
        consent_default=settings.consent_default,
        caps=(Cap("customer", settings.cap_messages, settings.cap_window_days * DAY_MS), *_caps(settings.caps)),
        quiet_hours=_quiet_hours(settings.quiet_hours),
        quiet_channels=frozenset(_words(settings.quiet_channels)),
        zone=home,
        zone_name=settings.time_zone,
        window_ms=settings.decision_window_ms,
        budget_minor=budget_minor,
        reserved_minor=int(budget_minor * settings.budget_reserved_share),
        breaker_most=share(settings.breaker_actions_per_minute, partitions),
        breaker_open_ms=settings.breaker_open_minutes * 60_000,
        partitions=partitions,
        test_customers=frozenset(_words(settings.test_customers)),
        tier_channels=_tier_channels(settings.tier_channels),
        channel_costs=channel_costs(settings.channel_costs),
    )


def limits_are_shared(settings: Settings, rules: RuleSet) -> bool:
    """Whether one customer's action may keep another's from going out within a day: then customers must be played in order of time,
    and not each by themselves."""
    return bool(
        settings.budget_daily_minor
        or settings.breaker_actions_per_minute
        or any(rule.max_per_minute for rule in rules.rules)
    )


def share(limit: int, partitions: int) -> int:
    """One partition's share of a limit on actions, at least one.

    >>> share(100, 3), share(1, 4), share(0, 4)
    (33, 1, 0)
    """
    return max(1, limit // partitions) if limit else 0


def _quiet_hours(text: str) -> QuietHours | None:
    match = re.fullmatch(QUIET_HOURS, text)
    if match is None:
        return None
    starts, ends = (int(text[:2]) * 60 + int(text[3:]) for text in match.groups())
    return QuietHours(starts, ends) if starts != ends else None


def _caps(text: str) -> list[Cap]:
    found = []
    for word in _words(text):
        match = re.fullmatch(CAP, word)
        assert match is not None, "settings are checked before they are used"
        scope, name, most, number, unit = match.groups()
        found.append(Cap(f"{scope}:{name}", int(most), int(number) * _UNITS_MS[unit]))
    return found


def channel_costs(text: str) -> dict[str, int]:
    """Channel → minor units, of a valid setting.

    >>> channel_costs("sms=7, call=150")
    {'sms': 7, 'call': 150}
    """
    pairs = [word.split("=") for word in _words(text)]
    return {channel: int(minor) for channel, minor in pairs}


def _tier_channels(text: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for word in _words(text):
        match = re.fullmatch(TIER_CHANNELS, word)
        assert match is not None, "settings are checked before they are used"
        found[match[1]] = tuple(match[2].split(">"))
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
