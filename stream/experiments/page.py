"""The report on rules for people: one page with charts, and its main table for the terminal too (MISSION F2, F3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from stream.experiments.rows import PARTS
from stream.reporting.charts import Bar, Interval, Tone, bars, intervals
from stream.reporting.figures import UNKNOWN, Format, change, count, money, percent
from stream.reporting.markup import Markup
from stream.reporting.page import Tile, page, paragraph, section, tiles
from stream.reporting.table import Cell, Column, Table, html
from stream.rules.experiment import CONTROL

Row = Mapping[str, Any]
"""A row of `stream.experiments.rows`, or of the JSON made of it."""

VERDICTS: Final[Mapping[str, tuple[str, Tone]]] = {
    "works": ("works", "good"),
    "harms": ("harms", "bad"),
    "no_effect": ("no effect", "bad"),
    "too_early": ("too early to say", "quiet"),
}
LEFT_ALONE: Final = "left alone"
"""What the hold-out is called here."""


def report_page(report: Mapping[str, Sequence[Row]], currency: str) -> str:
    """The page for `stream.experiments.rows.report`, or what its JSON says; the same report gives the same bytes."""
    rows = report["experiments"]
    newest = _newest(rows)
    judged = [row for row in newest if "verdict" in row]
    return page(
        "What the rules change",
        "Each measured rule leaves some of its customers alone, by lot. What the others buy beyond those is what the rule brought.",
        _tiles(newest, judged, currency),
        section("Does it work?", _uplift(judged), html(outcomes(newest, currency))),
        section("Who bought?", _bought(newest)),
        section("What did it bring, what did it cost?", *_money(judged, currency)),
        section(
            "Where does it work?",
            paragraph("How many bought, rule by rule. These groups are small: look for patterns, not for proof."),
            *[_by(_newest(report.get(f"by_{part}", ())), part) for part in PARTS],
        ),
        *_earlier([row for row in rows if row not in newest], currency),
        footer="Winback. Customers count when their rule's window after the decision is over.",
    )


def outcomes(rows: Sequence[Row], currency: str, title: str = "Rules by arm") -> Table:
    """Rows as a table; arms that have nobody to be compared with have counts only."""
    written = money(currency, named=False)
    words = Column("rule", words=True), Column("arm", words=True)
    figures = map(Column, ("customers", "bought", f"revenue {currency}", "actions", f"cost {currency}", "ROI"))
    return Table(
        title,
        (*words, *figures, Column("because of the rule", words=True, sentence=True)),
        tuple(
            [
                (
                    _name(row),
                    _arm(row),
                    count(row["exposed"]),
                    _share(row),
                    written(row["revenue_minor"]),
                    count(row["actions"]),
                    written(row["cost_minor"]),
                    _roi(row),
                    _verdict(row),
                )
                for row in rows
            ]
        ),
    )


def _newest(rows: Sequence[Row]) -> list[Row]:
    """Those of each rule's newest version."""
    latest: dict[str, int] = {}
    for row in rows:
        latest[row["rule"]] = max(row["version"], latest.get(row["rule"], 0))
    return [row for row in rows if row["version"] == latest[row["rule"]]]


def _tiles(newest: Sequence[Row], judged: Sequence[Row], currency: str) -> Markup:
    verdicts = [row["verdict"] for row in judged]
    found = [f"{words}: {verdicts.count(name)}" for name, (words, _) in VERDICTS.items() if name in verdicts]
    held = sum(row["exposed"] for row in newest if row["arm"] == CONTROL)
    return tiles(
        [
            Tile("Rules", count(len({row["rule"] for row in newest})), ", ".join(found)),
            Tile("Customers", count(sum(row["exposed"] for row in newest)), f"{count(held)} of them left alone"),
            Tile("Actions", count(sum(row["actions"] for row in newest))),
            Tile("Cost", money(currency)(sum(row["cost_minor"] for row in newest))),
        ]
    )


def _uplift(judged: Sequence[Row]) -> Markup:
    return intervals(
        "How many more buy because of the rule, of 100 who would anyway",
        [_interval(row, "uplift") for row in judged],
        change,
        note="The dot is the best guess. The truth lies on the line, in at least 95 of 100 experiments and however often one looks; "
        "a line that touches 0 % leaves open whether the rule does anything. An arrow goes on beyond the chart.",
    )


def _bought(newest: Sequence[Row]) -> Markup:
    rows = [Bar(f"{_name(row)} · {_arm(row)}", (row["conversion"],)) for row in newest]
    return bars("Share of customers who bought within the window", rows, ["bought"], percent)


def _money(judged: Sequence[Row], currency: str) -> list[Markup]:
    written: Format = money(currency, signed=True)
    known = [row for row in judged if row["extra_revenue_minor"] is not None]
    if not known:
        return [paragraph("No rule has enough customers yet to say something of money.")]
    spent = [Bar(_label(row), (row["extra_revenue_minor"]["value"], float(row["cost_minor"]))) for row in known]
    return [
        intervals(
            "Revenue that would not have come without the rule",
            [_interval(row, "extra_revenue_minor") for row in known],
            written,
            note="Of all its customers together. Rules with too few customers for an interval of money are left out.",
        ),
        bars("The best guess of it, and what the actions cost", spent, ["extra revenue", "cost"], money(currency)),
    ]


def _by(rows: Sequence[Row], part: str) -> Markup:
    """Everybody treated against those left alone, for each rule and part that has both or either."""
    groups: dict[str, list[list[int]]] = {}
    for row in rows:
        label = f"{_name(row)} · {row[part] or 'none'}"
        sums = groups.setdefault(label, [[0, 0], [0, 0]])[row["arm"] == CONTROL]
        sums[0] += row["exposed"]
        sums[1] += row["converted"]
    found = [Bar(label, tuple([won / n if n else None for n, won in sums])) for label, sums in groups.items()]
    return bars(f"By {part}", found, ["treated", LEFT_ALONE], percent)


def _earlier(rows: Sequence[Row], currency: str) -> list[Markup]:
    """What was known of versions that are no more."""
    return [section("Earlier versions", html(outcomes(rows, currency, "By rule, version and arm")))] if rows else []


def _interval(row: Row, name: str) -> Interval:
    found, tone = row[name], VERDICTS[row["verdict"]][1]
    if found is None:
        return Interval(_label(row), -inf, None, inf, tone)
    low, high = found["interval"]
    return Interval(_label(row), -inf if low is None else low, found["value"], inf if high is None else high, tone)


def _name(row: Row) -> str:
    return f"{row['rule']} v{row['version']}"


def _arm(row: Row) -> str:
    return LEFT_ALONE if row["arm"] == CONTROL else row["arm"]


def _label(row: Row) -> str:
    """A rule without variants goes by its name alone."""
    return _name(row) if row["arm"] == "default" else f"{_name(row)} · {row['arm']}"


def _share(row: Row) -> str:
    return UNKNOWN if row["conversion"] is None else percent(row["conversion"])


def _roi(row: Row) -> str:
    found = row.get("roi")
    return UNKNOWN if found is None else change(found["value"])


def _verdict(row: Row) -> Cell:
    if "verdict" not in row:
        return Cell("")
    words, tone = VERDICTS[row["verdict"]]
    return Cell(f"{words}: {row['text']}", tone)
