"""Charts and page: whole, escaped, true to scale, the same bytes for the same figures."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import table as rich_table

from stream.reporting.axis import fit
from stream.reporting.charts import Bar, Interval, Line, bars, intervals, lines
from stream.reporting.figures import change, count, money, percent
from stream.reporting.markup import Markup
from stream.reporting.page import Tile, page, paragraph, section, tiles
from stream.reporting.table import Cell, Column, Table, html, terminal

SVG = "{http://www.w3.org/2000/svg}"
INFINITE = float("inf")
FINITE = st.floats(-1e12, 1e12)
LABELS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=50)


def drawn(markup: str) -> ET.Element:
    """The chart, read as XML: it fails on anything that is not well-formed."""
    return ET.fromstring(markup)


def attribute(figure: ET.Element, path: str, name: str) -> list[float]:
    """A numeric attribute of all such elements."""
    return [float(found.attrib[name]) for found in figure.iterfind(f".//{SVG}{path}")]


@given(st.lists(FINITE, max_size=20), st.booleans())
def test_an_axis_holds_every_value(values: list[float], zero: bool) -> None:
    """All values lie between the first and the last mark, there are few marks, and order is kept."""
    axis = fit(values, 10.0, 110.0, zero=zero)

    a_hair = 1e-9 * (axis.high - axis.low)
    assert all(axis.low - a_hair <= value <= axis.high + a_hair for value in values)
    assert 2 <= len(axis.ticks) <= 9
    places = [axis.place(value) for value in sorted(values)]
    assert places == sorted(places)


@given(st.lists(st.tuples(LABELS, st.one_of(st.none(), FINITE), st.one_of(st.none(), FINITE)), max_size=8))
def test_bars_are_to_scale(rows: list[tuple[str, float | None, float | None]]) -> None:
    """A bar's length is its value on the chart's scale, a missing value has none, and whatever the labels are, it is XML."""
    figure = drawn(bars("T", [Bar(label, (one, two)) for label, one, two in rows], ["a", "b"], count))

    values = [value for _, *pair in rows for value in pair if value is not None]
    widths = attribute(figure, "rect[@height='16']", "width")
    assert len(values) == len(widths)
    longest = max(map(abs, values), default=0.0)
    if longest > 1e-9:  # a scale of smaller numbers overflows
        scale = max(widths) / longest
        assert [pytest.approx(max(abs(v) * scale, 0.5), abs=0.6) for v in values] == widths


def test_a_chart_says_its_values_in_words() -> None:
    """Somebody who can't see the drawing hears every value; nothing in it is markup of the data's own."""
    figure = drawn(bars("Shares <b>", [Bar("e & m", (0.1, None))], ["old", "new"], percent, note="How to read it."))

    assert "e & m: old 10.0 %, new –" == figure.findtext(f".//{SVG}desc")
    assert "Shares <b>" == figure.findtext("figcaption")
    assert "How to read it." == figure.findtext("p")


def test_what_goes_beyond_the_axis_ends_in_an_arrow() -> None:
    """An endless interval doesn't squash the others: it is cut at the edge, says so, and is written in full beside it."""
    rows = [
        Interval("sure", 0.08, 0.1, 0.12, "good"),
        Interval("unsure", -1.0, 0.1, INFINITE),
        Interval("none", -1.0, None, INFINITE),
    ]
    figure = drawn(intervals("Uplift", rows, change))

    sure, unsure, none = figure.findall(f".//{SVG}g[@class]")
    assert (3, 0) == (len(sure.findall(f"{SVG}line")), len(sure.findall(f"{SVG}path")))
    assert (1, 2) == (len(unsure.findall(f"{SVG}line")), len(unsure.findall(f"{SVG}path")))
    assert [1, 1, 0] == [len(group.findall(f"{SVG}circle")) for group in (sure, unsure, none)]
    written = {found.text for found in figure.iter(f"{SVG}text")}
    assert {"+10.0 %  (−100 % to +∞)", "–  (−100 % to +∞)"} <= written
    left, right = (float(sure[1].attrib[end]) for end in ("x1", "x2"))
    assert right - left > 20.0


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=8))
def test_the_estimate_lies_inside_its_interval(values: list[float]) -> None:
    """Dots lie on their whiskers, and in the order of the values."""
    rows = [Interval(str(at), value - 1.0, value, value + 2.0) for at, value in enumerate(values)]
    groups = drawn(intervals("T", rows, change)).findall(f".//{SVG}g[@class]")

    places = [float(group.find(f"{SVG}circle").attrib["cx"]) for group in groups]  # type: ignore[union-attr]
    for group, place in zip(groups, places, strict=True):
        whisker = group.find(f"{SVG}line")
        assert whisker is not None
        assert float(whisker.attrib["x1"]) <= place <= float(whisker.attrib["x2"])
    assert [values[at] for at in sorted(range(len(values)), key=lambda at: (places[at], values[at]))] == sorted(values)


def test_a_missing_week_interrupts_the_line() -> None:
    """Two weeks without a figure leave a gap, not a fall to zero; a lone week is a dot."""
    figure = drawn(lines("T", ["1", "2", "3", "4", "5", "6"], [Line("a", (1.0, 2.0, None, 4.0, None, 6.0))], count))

    assert [1] == [found.attrib["d"].count("L") for found in figure.iter(f"{SVG}path")]
    assert 4 == len(list(figure.iter(f"{SVG}circle")))


@given(st.integers(1, 120), st.integers(1, 7))
def test_any_number_of_weeks_and_series_is_drawn(weeks: int, series: int) -> None:
    """Labels under the weeks stay few, and all points stay on the canvas."""
    names = [f"2025-W{at:02}" for at in range(weeks)]
    figure = drawn(lines("T", names, [Line(f"s{at}", tuple([float(at)] * weeks)) for at in range(series)], count))

    assert len([found for found in figure.iter(f"{SVG}text") if found.text in names]) <= 9
    assert all(0.0 <= x <= 760.0 for x in attribute(figure, "circle", "cx"))


@pytest.mark.parametrize("chart", [bars("T", [], ["a"], count), intervals("T", [], change), lines("T", [], [], count)])
def test_nothing_to_draw_is_drawn(chart: str) -> None:
    """A report of a quiet week has empty charts and no crash."""
    assert "No values." == drawn(chart).findtext(f".//{SVG}desc")


def test_labels_of_an_axis_never_touch() -> None:
    """With little room only some marks are labelled, zero among them."""
    rows = [Interval("x" * 40, -60.0, 10.0, 90.0)]
    figure = drawn(intervals("T", rows, money("EUR", signed=True)))

    marks = [found for found in figure.iter(f"{SVG}text") if found.attrib.get("class") == "quiet"]
    places = [float(found.attrib["x"]) for found in marks]
    widest = 6.0 * max(len(found.text or "") for found in marks)
    assert all(after - before > widest for before, after in zip(places, places[1:], strict=False))
    assert "EUR 0.00" in {found.text for found in marks}


def test_the_page_is_one_file_that_loads_nothing() -> None:
    """No script, no link, no picture from elsewhere; read as XML it is whole, and it is the same bytes each time."""
    table = Table(
        "Rules <i>", (Column("rule", words=True), Column("n")), (("a & b", Cell("2", "good")), ("c", "–")), "Note"
    )

    def made() -> str:
        chart = lines("Weeks", ["1", "2"], [Line("a", (1.0, 2.0))], count)
        return page(
            "R & D",
            "Lead",
            tiles([Tile("n", "3", "all")]),
            section("S", paragraph("p"), chart, html(table)),
            footer="F",
        )

    written = made()
    root = ET.fromstring(written.removeprefix("<!DOCTYPE html>\n"))
    assert written == made()
    assert [] == re.findall(r"(?:src|href)=|url\(|<script|@import", written)
    assert "default-src 'none'; style-src 'unsafe-inline'" in [meta.get("content") for meta in root.iter("meta")]
    assert "R & D" == root.findtext("head/title")
    assert ["a & b", "c"] == [cell.text for cell in root.iterfind(".//tbody/tr/th")]


def test_the_terminal_shows_the_same_table() -> None:
    """Same columns, same rows, same colours' meaning."""
    table = Table("Rules", (Column("rule", words=True), Column("n")), (("a", Cell("2", "bad")), ("b", "3")), "Note")
    told = Column("why", words=True, sentence=True)
    wide = Table("Rules", (*table.columns, told), (("a", Cell("2", "bad"), "long " * 9), ("b", "3", "")), "Note")
    shown, line = terminal(wide).renderables

    assert isinstance(shown, rich_table.Table)
    assert ["rule", "n"] == [str(column.header) for column in shown.columns]
    assert [["a", "b"], ["2", "3"]] == [[str(cell) for cell in column.cells] for column in shown.columns]
    assert f"a: {'long ' * 9}" == str(line)
    assert 1 == len(terminal(table).renderables)


def test_markup_is_not_escaped_twice() -> None:
    """What is markup already goes in as it is, whatever else is escaped."""
    inner = Markup("<b>x</b>")

    assert "<section><h2>a &lt; b</h2><b>x</b></section>" == section("a < b", inner)
