"""The tables about rules in ``docs/rules.md``, generated from the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from stream.rules.festivals import FESTIVALS
from stream.rules.loader import load_rules
from stream.rules.rule import Before, Calendar, Every, OnAlert, OnDate, OnEvent, Rule, Since
from stream.rules.rule_file import duration_text, minute_text
from stream.rules.vocabulary import ANCHORS, DATES, EVENT_KINDS, VARIABLES

_BLOCK: Final = re.compile(r"(<!-- generated: (?P<name>[a-z]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def fill(document: str) -> str:
    """A document with its generated blocks brought up to date; raises ``KeyError`` for a block nobody generates.

    >>> print(fill("<!-- generated: anchors -->\\nold\\n<!-- /generated -->").splitlines()[3])
    | `first_purchase` | the earliest purchase that was not cancelled |
    """
    return _BLOCK.sub(lambda match: f"{match[1]}{TABLES[match['name']]()}{match[3]}", document)


def variables() -> str:
    """All variables of the condition language."""
    return _table(
        ("Variable", "Type", "Unit", "Meaning", "Only on"),
        (
            (f"`{v.name}`", v.type, v.unit, v.meaning, ", ".join(f"`{kind}`" for kind in v.kinds))
            for v in VARIABLES.values()
        ),
    )


def events() -> str:
    """Event kinds and the variables that each carries besides ``event.kind`` and ``event.channel``."""
    return _table(
        ("Event", "Carries"),
        (
            (f"`{kind}`", ", ".join(f"`{v.name}`" for v in VARIABLES.values() if kind in v.kinds))
            for kind in EVENT_KINDS
        ),
    )


def anchors() -> str:
    """The moments a silence is counted from."""
    return _table(("Anchor", "Meaning"), ((f"`{name}`", meaning) for name, meaning in ANCHORS.items()))


def dates() -> str:
    """The days of a customer's own."""
    return _table(("Date", "Comes"), ((f"`{name}`", meaning) for name, meaning in DATES.items()))


def festivals() -> str:
    """The days of everybody."""
    return _table(("Festival", "Day"), ((f"`{name}`", meaning) for name, meaning in FESTIVALS.items()))


def library() -> str:
    """The rules that come with Winback, most important first."""
    rules = sorted(load_rules().rules, key=lambda rule: (-rule.priority, rule.id))
    return _table(
        ("Rule", "Asked", "Does", "Priority", "Expires", "Cool-down", "Source"),
        (
            (
                f"[`{rule.id}`](../stream/rules/library/{rule.id}.yaml)",
                _asked(rule),
                rule.description,
                str(rule.priority),
                duration_text(rule.expires_after_ms),
                duration_text(rule.cooldown_ms) if rule.cooldown_ms else "",
                rule.source,
            )
            for rule in rules
        ),
    )


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "variables": variables,
    "events": events,
    "anchors": anchors,
    "dates": dates,
    "festivals": festivals,
    "library": library,
}
"""Generated blocks by name."""


def _asked(rule: Rule) -> str:
    trigger = rule.trigger
    if isinstance(trigger, Since):
        return f"{duration_text(trigger.after_ms)} after `{trigger.anchor}`"
    if isinstance(trigger, Before):
        return f"{duration_text(trigger.before_ms)} before `{trigger.target}`"
    if isinstance(trigger, OnAlert):
        return f"`{trigger.alert}` alert"
    if isinstance(trigger, OnEvent):
        return " or ".join(f"`{kind}`" for kind in trigger.kinds)
    return when_in_calendar(trigger, "`{}`")


def when_in_calendar(trigger: Calendar, word: str = "{}") -> str:
    """A day of the calendar in words; each name of the rule language is put into ``word``.

    >>> from stream.rules.rule import OnFestival
    >>> when_in_calendar(OnFestival(("christmas", "easter"), 7, 600))
    '7d before christmas or easter at 10:00'
    """
    at = f"at {minute_text(trigger.minute)}"
    if isinstance(trigger, Every):
        return f"every {word.format(trigger.period)} on day {trigger.day} {at}"
    names = (trigger.date,) if isinstance(trigger, OnDate) else trigger.festivals
    where = f"{trigger.before_days}d before" if trigger.before_days else "on"
    return f"{where} {' or '.join(word.format(name) for name in names)} {at}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
