"""The report that a marketer reads: one HTML file. Pure; the same figures give the same bytes."""

from __future__ import annotations

from stream.backtest.result import Result
from stream.backtest.tables import (
    against,
    budget_table,
    differs,
    held_table,
    ordered,
    people_table,
    rules_table,
    share,
    shown,
)
from stream.backtest.tallies import Sent
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.reporting.charts import Bar, Line, bars, lines
from stream.reporting.figures import count, money, percent
from stream.reporting.markup import Markup
from stream.reporting.page import Tile, page, paragraph, section, tiles
from stream.reporting.table import html

MOST_BARS = 12
"""Rules in one chart. More: it is longer than a screen, and the table beside it has them all; fewer: a change may be left out."""
_SERIES = ("old", "new")
_WEEK_MS = 7 * DAY_MS


def report_of(result: Result) -> str:
    """The whole file."""
    if result.since is None or result.until is None:
        return page("Backtest", "The files have no event that could be read, so no rule had anything to decide.")
    parts = [tiles(_tiles(result)), paragraph(verdict(result)), _changes(result), _weeks(result), _people(result)]
    parts += [_anyway(result)]
    if result.total.old_held or result.total.new_held:
        parts.append(_held(result))
    if result.total.old.cost_minor or result.total.new.cost_minor:
        parts.append(section("Budget", html(budget_table(result))))
    parts.append(_reading(result))
    footer = (
        f"Old: {result.old.name}, version {result.old.version}. New: {result.new.name}, version {result.new.version}."
    )
    return page("Backtest: what other rules would have done", lead(result), *parts, footer=footer)


def lead(result: Result) -> str:
    """What was compared, in one sentence."""
    return (
        f"New: {result.new.name}. Old: {result.old.name}. Both ran over {count(result.events)} events of "
        f"{count(result.customers)} customers, {result.since} to {(result.until or '')[:10]}."
    )


def verdict(result: Result) -> str:
    """What it comes to, in words."""
    total = result.total
    if not any(differs(part) for part in result.by["rule"].values()):
        return "Both sets of rules decide the same, at the same time, for every customer."
    sent = f"{count(total.new.messages)} messages instead of {count(total.old.messages)}"
    told = [
        f"The new rules send {sent}: {count(total.added.messages)} are added, {count(total.removed.messages)} dropped."
    ]
    added = share(total.added)
    if added is not None:
        told.append(
            f"After {percent(added)} of the added messages the customer bought within {result.window_days} days in any case: "
            f"at most {percent(1.0 - added)} of them could have won a purchase."
        )
    removed = share(total.removed)
    if removed is not None:
        told.append(
            f"Of the dropped ones it was {percent(removed)}: dropping them puts at most the other {percent(1.0 - removed)} at risk."
        )
    return " ".join(told)


def _tiles(result: Result) -> list[Tile]:
    old, new = result.total.old, result.total.new
    held = [sum(counts.values()) for counts in (result.total.old_held, result.total.new_held)]
    found = [
        Tile("Messages sent", count(new.messages), _before(count(old.messages), old.messages, new.messages)),
        Tile("Customers reached", count(new.customers), _before(count(old.customers), old.customers, new.customers)),
        Tile("Held back", count(held[1]), _before(count(held[0]), *held)),
        Tile("Bought anyway", shown(share(new)), f"old: {shown(share(old))}, within {result.window_days} days"),
    ]
    if old.cost_minor or new.cost_minor:
        written = money(result.currency)
        note = _before(written(old.cost_minor), old.cost_minor, new.cost_minor)
        found.append(Tile("Budget used", written(new.cost_minor), note))
    return found


def _before(shown_old: str, old: int, new: int) -> str:
    return f"old: {shown_old} ({against(old, new)})"


def _changes(result: Result) -> Markup:
    changed = [(rule, part) for rule, part in result.by["rule"].items() if differs(part)]
    if not changed:
        return section("What changes", paragraph("Nothing."), html(rules_table(result)))
    most = sorted(changed, key=lambda each: (-_moved(each[1].added, each[1].removed), each[0]))[:MOST_BARS]
    chart = bars(
        "Messages sent by the rules that change",
        [Bar(rule, (part.old.messages, part.new.messages)) for rule, part in sorted(most)],
        _SERIES,
        count,
    )
    words = (
        "Added: sent by the new rules only. Dropped: sent by the old rules only. Moved: decided by both, at another time or in "
        "another way."
    )
    return section("What changes", chart, paragraph(words), html(rules_table(result)))


def _moved(added: Sent, removed: Sent) -> int:
    return added.messages + removed.messages


def _weeks(result: Result) -> Markup:
    weeks = _every_week(list(result.by["week"]))
    parts = [result.by["week"].get(week) for week in weeks]
    if len(weeks) < 2:
        return Markup()
    return section(
        "When",
        lines(
            "Messages sent a week",
            weeks,
            [
                Line("old", tuple([0 if part is None else part.old.messages for part in parts])),
                Line("new", tuple([0 if part is None else part.new.messages for part in parts])),
            ],
            count,
            note="Each week is named by its Monday. The first and the last may be cut.",
        ),
    )


def _every_week(weeks: list[str]) -> list[str]:
    if not weeks:
        return []
    first_ms, last_ms = parse_ms(min(weeks)), parse_ms(max(weeks))
    return [to_text(at_ms)[:10] for at_ms in range(first_ms, last_ms + 1, _WEEK_MS)]


def _people(result: Result) -> Markup:
    chart = bars(
        "Customers reached by tier",
        [Bar(tier, (part.old.customers, part.new.customers)) for tier, part in ordered("tier", result.by["tier"])],
        _SERIES,
        count,
        note="The tier is the customer's at the moment of the message; a customer may be in several.",
    )
    return section(
        "Who",
        chart,
        html(people_table(result, "tier")),
        html(people_table(result, "channel")),
    )


def _anyway(result: Result) -> Markup:
    total = result.total
    rows = [
        Bar(rule, (share(part.old), share(part.new)))
        for rule, part in result.by["rule"].items()
        if part.old.settled or part.new.settled
    ]
    open_ = total.new.messages - total.new.settled
    words = (
        f"History went on without these messages. Whoever bought within {result.window_days} days of one bought anyway; a "
        "message can only win over the others. So a rule at 30 % could have won at most 70 of 100 customers it wrote to. "
        f"{count(open_)} messages of the new rules are left out: their {result.window_days} days were not over at the end."
    )
    chart = bars("Share of messages whose customer bought anyway", rows, _SERIES, percent)
    return section("Who would have bought anyway", paragraph(words), chart)


def _held(result: Result) -> Markup:
    total = result.total
    names = sorted({*total.old_held, *total.new_held}, key=lambda name: (-total.new_held.get(name, 0), name))
    rows = [Bar(name.replace("_", " "), (total.old_held.get(name, 0), total.new_held.get(name, 0))) for name in names]
    words = "Decided, but not sent, or not yet, because a check spoke against it."
    return section(
        "What was held back",
        paragraph(words),
        bars("Actions held back", rows, _SERIES, count),
        html(held_table(result)),
    )


def _reading(result: Result) -> Markup:
    return section(
        "How to read this",
        paragraph(
            "Both sets of rules saw the same history with the same code that runs live, each with its own memory of what it had "
            "sent. What customers did is what they did: a backtest can't tell how they would have answered. Only an experiment "
            "with a control group can."
        ),
        paragraph(
            "differences.jsonl has every decision that appears, vanishes or moves; backtest.json has all figures."
        ),
    )
