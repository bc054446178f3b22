"""The figures of a backtest, as ``backtest.json`` has them."""

from __future__ import annotations

import msgspec

from stream.backtest.job import Job
from stream.backtest.pair import Compared
from stream.backtest.tallies import Part, in_order, settle
from stream.events.instants import DAY_MS, to_text
from stream.rules.rule import RuleSet

SHIPPED = "the shipped rules"
"""How the library that comes with Winback is called."""


class RulesRead(msgspec.Struct, frozen=True):
    """One of the two sets of rules."""

    name: str
    """The folder as it was given."""
    version: str
    rules: dict[str, int]
    """Rule → its version."""
    descriptions: dict[str, str]


class Result(msgspec.Struct, frozen=True):
    """All figures. The same events and rules give the same."""

    old: RulesRead
    new: RulesRead
    since: str | None
    """UTC day of the first event, ``None`` when there was none."""
    until: str | None
    """How far time went: ``--until``, or the last event."""
    window_days: int
    currency: str
    events: int
    """Events that were taken; repeats and what was refused are not among them."""
    dead_letters: int
    customers: int
    total: Part
    by: dict[str, dict[str, Part]]
    """``rule``, ``tier``, ``channel`` or ``week`` (its Monday) → value → figures."""


def result_of(job: Job, rules: tuple[RuleSet, RuleSet], compared: Compared) -> Result:
    """The figures as they are told."""
    old, new = [
        RulesRead(
            named.folder or SHIPPED,
            each.version,
            {rule.id: rule.version for rule in each.rules},
            {rule.id: rule.description for rule in each.rules},
        )
        for named, each in zip(job.rules, rules, strict=True)
    ]
    tallies = compared.tallies
    settle(tallies.whole)
    first_day, until_ms = compared.first_day, compared.until_ms
    return Result(
        old=old,
        new=new,
        since=None if first_day is None else to_text(first_day * DAY_MS)[:10],
        until=None if until_ms is None else to_text(until_ms),
        window_days=job.window_days,
        currency=job.settings.currency,
        events=compared.events,
        dead_letters=compared.dead_letters,
        customers=compared.customers,
        total=tallies.whole,
        by={group: in_order(parts) for group, parts in tallies.by.items()},
    )
