"""The tables of a backtest, the same in the report and in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from stream.backtest.matching import MOVES
from stream.backtest.result import Result
from stream.backtest.tallies import Part, Sent
from stream.reporting.figures import UNKNOWN, change, count, money, percent
from stream.reporting.table import Cell, Column, Table

TIERS = ("high", "medium", "low", "lost", "prospect")
"""Tiers from best to not yet."""
REASONS = {
    "expired": "too late to be of use",
    "missing_identifier": "no address known",
    "consent_missing": "no consent",
    "cooldown": "same rule wrote not long ago",
    "frequency_cap": "too many messages in a week",
    "quiet_hours": "quiet hours",
    "outranked": "a more important message went first",
    "budget": "budget used up",
    "circuit_open": "too many at once",
    "paused": "paused",
    "channel_unfit": "channel does not suit the customer",
    "holdout": "control group",
    "dry_run": "dry run",
    "test_customer": "test customer",
    "condition_error": "condition could not be told",
    "cancelled": "cancelled",
}
"""What a reason means to somebody who doesn't know its name."""


def reason_words(reason: str) -> str:
    """The reason with what it means."""
    words = REASONS.get(reason)
    return f"{words} ({reason})" if words else reason


def share(sent: Sent) -> float | None:
    """What share of the settled messages went to customers who bought anyway; ``None`` of nothing."""
    return sent.bought / sent.settled if sent.settled else None


def shown(value: float | None) -> str:
    """A share, or that there is none."""
    return UNKNOWN if value is None else percent(value)


def against(old: float, new: float) -> str:
    """How much more or less, relative to before."""
    if not old:
        return "new" if new else "same"
    return "same" if old == new else change((new - old) / old)


def differs(part: Part) -> bool:
    """Something in it isn't the same under both sets of rules."""
    return part.old != part.new or any(name != "same" for name in part.changes) or part.old_held != part.new_held


def rules_table(result: Result, *, brief: bool = False) -> Table:
    """What each rule sends, and how many customers bought without it; ``brief`` has the rules that change, and fits a terminal."""
    parts = result.by["rule"]
    chosen = {rule: part for rule, part in parts.items() if not brief or differs(part)}
    titles = ["old", "new", "added", "dropped", "moved", "bought anyway"]
    rows = [_rule_row(result, rule, part, brief) for rule, part in chosen.items()]
    rows.append(_rule_row(result, "all rules", result.total, brief))
    if not brief:
        titles = [
            "sent, old",
            "sent, new",
            "change",
            *titles[2:5],
            "held back, old",
            "held back, new",
            "bought anyway, new",
        ]
    same = len(parts) - len(chosen)
    note = f"{count(same)} {'rule decides' if same == 1 else 'rules decide'} the same as before." if same else ""
    return Table("Messages sent, by rule", (Column("rule", words=True), *map(Column, titles)), tuple(rows), note=note)


def _rule_row(result: Result, name: str, part: Part, brief: bool) -> tuple[str | Cell, ...]:
    if part is not result.total:
        is_new, is_gone = name not in result.old.rules, name not in result.new.rules
        name += " (new)" if is_new else " (gone)" if is_gone else ""
    sent = (count(part.old.messages), count(part.new.messages))
    differing = (
        _quiet(part.added.messages),
        _quiet(part.removed.messages),
        _quiet(part.changes.get(MOVES, 0)),
    )
    if brief:
        return (name, *sent, *differing, shown(share(part.new)))
    held = (_quiet(sum(part.old_held.values())), _quiet(sum(part.new_held.values())))
    more = against(part.old.messages, part.new.messages)
    return (name, *sent, more, *differing, *held, shown(share(part.new)))


def _quiet(number: int) -> Cell:
    return Cell(count(number), "plain" if number else "quiet")


def people_table(result: Result, group: str, *, brief: bool = False) -> Table:
    """Customers reached and messages sent, by tier or channel."""
    titles = ["customers, old", "customers, new", "messages, old", "messages, new"]
    if not brief:
        titles += ["change", "bought anyway, old", "bought anyway, new"]
    rows = []
    for value, part in ordered(group, result.by[group]):
        old, new = part.old, part.new
        row = (value, count(old.customers), count(new.customers), count(old.messages), count(new.messages))
        more = (against(old.messages, new.messages), shown(share(old)), shown(share(new)))
        rows.append(row if brief else (*row, *more))
    return Table(f"Customers reached, by {group}", (Column(group, words=True), *map(Column, titles)), tuple(rows))


def held_table(result: Result) -> Table:
    """How often each check held an action back."""
    total = result.total
    columns = (Column("check", words=True), Column("old"), Column("new"), Column("change"))
    names = sorted({*total.old_held, *total.new_held}, key=lambda name: (-total.new_held.get(name, 0), name))
    rows = [
        (
            reason_words(name),
            count(before := total.old_held.get(name, 0)),
            count(now := total.new_held.get(name, 0)),
            against(before, now),
        )
        for name in names
    ]
    return Table("Held back or put off, by check", columns, tuple(rows))


def budget_table(result: Result) -> Table:
    """What the messages cost, by rule."""
    written = money(result.currency)
    columns = (Column("rule", words=True), Column("old"), Column("new"), Column("change"))
    parts = [(rule, part) for rule, part in result.by["rule"].items() if part.old.cost_minor or part.new.cost_minor]
    rows = [
        (name, written(p.old.cost_minor), written(p.new.cost_minor), against(p.old.cost_minor, p.new.cost_minor))
        for name, p in [*parts, ("all rules", result.total)]
    ]
    return Table("Budget used", columns, tuple(rows))


def ordered(group: str, parts: dict[str, Part]) -> Iterable[tuple[str, Part]]:
    """The parts of a group as a person expects them: tiers from best to worst, all else by name."""
    if group != "tier":
        return parts.items()
    known = {tier: place for place, tier in enumerate(TIERS)}
    return sorted(parts.items(), key=lambda each: (known.get(each[0], len(known)), each[0]))
