"""The charts: horizontal bars, intervals around an estimate, and lines over weeks.

Each takes its values in the order they are drawn, tells them to a screen reader too, and returns a ``<figure>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from statistics import median
from typing import Final, Literal

import msgspec

from stream.reporting.axis import fit
from stream.reporting.canvas import (
    COLOURS,
    LETTER,
    WIDTH,
    columns,
    figure,
    label_room,
    legend,
    row_label,
    write,
)
from stream.reporting.figures import UNKNOWN, Format
from stream.reporting.markup import Markup, element, width_of

Tone = Literal["plain", "good", "bad", "quiet"]
"""What a colour says: as it is; to the better; to the worse; not known yet."""

BAR: Final = 18.0
"""Height of a bar in pixels."""
GAP: Final = 12.0
"""Room between rows."""
WIDEST: Final = 4.0
"""An axis of intervals ends this many median half-widths beyond the estimates. Larger: one uncertain row makes the others
points; smaller: ordinary rows are cut. A cut end is drawn as an arrow, and its true value is written."""
MOST_MARKS: Final = 9
"""Labels under the weeks."""
PLOT: Final = 240.0
"""Height of a chart of lines."""


class Bar(msgspec.Struct, frozen=True):
    """A row of bars: one value a series, ``None`` where there is none."""

    label: str
    values: tuple[float | None, ...]


class Interval(msgspec.Struct, frozen=True):
    """An estimate and the interval that holds the true value; ends may be infinite, an unknown estimate is ``None``."""

    label: str
    low: float
    value: float | None
    high: float
    tone: Tone = "plain"


class Line(msgspec.Struct, frozen=True):
    """A series over time; ``None`` interrupts it."""

    label: str
    values: tuple[float | None, ...]


def bars(title: str, rows: Sequence[Bar], series: Sequence[str], written: Format, *, note: str = "") -> Markup:
    """Bars from zero, one group a row, values written at their ends."""
    top = 30.0 if len(series) > 1 else 6.0
    values = [value for row in rows for value in row.values if value is not None]
    left = label_room(row.label for row in rows)
    axis = fit(values, left, WIDTH - _room([written(value) for value in values]))
    group = BAR * max(len(series), 1) + GAP
    parts, spoken = [], []
    for place, row in enumerate(rows):
        y = top + place * group + GAP / 2
        parts.append(row_label(row.label, left - 10.0, y + BAR * len(row.values) / 2))
        for turn, value in enumerate(row.values):
            words = UNKNOWN if value is None else written(value)
            ends = sorted((axis.place(0.0), axis.place(value or 0.0)))
            parts.append(write(words, ends[1] + 6.0, y + BAR * turn + BAR / 2))
            if value is None:
                continue
            bar = element(
                "rect",
                element("title", " · ".join([row.label, series[turn], words])),
                x=ends[0],
                y=y + BAR * turn + 1.0,
                width=max(ends[1] - ends[0], 0.5),
                height=BAR - 2.0,
                class_=f"c{turn % COLOURS}",
            )
            parts.append(bar)
        told = ", ".join(f"{n} {_told(v, written)}".strip() for n, v in zip(series, row.values, strict=True))
        spoken.append(f"{row.label}: {told}")
    bottom = top + max(len(rows), 1) * group
    grid = columns(axis, top, bottom, written)
    return figure(title, note, bottom + 24.0, spoken, legend(series, left), grid, *parts)


def intervals(
    title: str, rows: Sequence[Interval], written: Format, *, reference: float = 0.0, note: str = ""
) -> Markup:
    """Estimates with their intervals, and an upright line at the value that would mean nothing happened."""
    left = label_room(row.label for row in rows)
    right = [f"{_told(row.value, written)}  ({written(row.low)} to {written(row.high)})" for row in rows]
    axis = fit([*_shown(rows), reference], left, WIDTH - _room(right), zero=False)
    step = BAR + GAP
    parts, spoken = [], []
    for place, (row, words) in enumerate(zip(rows, right, strict=True)):
        y = 6.0 + place * step + step / 2
        parts += [
            row_label(row.label, left - 10.0, y),
            element(
                "g",
                element("title", f"{row.label}: {words}"),
                element("line", x1=axis.place(row.low), x2=axis.place(row.high), y1=y, y2=y, class_="whisker"),
                *_end(axis.place(row.low), y, -1 if row.low < axis.low else 0),
                *_end(axis.place(row.high), y, 1 if row.high > axis.high else 0),
                *([] if row.value is None else [element("circle", cx=axis.place(row.value), cy=y, r=5.5)]),
                class_=f"tone {row.tone}",
            ),
            write(words, axis.end + 14.0, y),
        ]
        spoken.append(f"{row.label}: {words}")
    bottom = 6.0 + max(len(rows), 1) * step
    x = axis.place(reference)
    line = element("line", x1=x, x2=x, y1=2, y2=bottom, class_="zero")
    return figure(title, note, bottom + 24.0, spoken, columns(axis, 2.0, bottom, written), line, *parts)


def lines(
    title: str, weeks: Sequence[str], series: Sequence[Line], written: Format, *, zero: bool = True, note: str = ""
) -> Markup:
    """Lines over weeks (or days, or months): ``weeks`` are their names, and each line has one value for each."""
    top, bottom = (34.0 if len(series) > 1 else 10.0), 34.0 + PLOT
    values = [value for line in series for value in line.values if value is not None]
    axis = fit(values, bottom, top, zero=zero)
    left = max(width_of(written(tick)) for tick in axis.ticks) * LETTER + 10.0
    places = [left + 8.0 + (WIDTH - left - 36.0) * (at + 0.5) / len(weeks) for at in range(len(weeks))]
    parts = []
    for tick in axis.ticks:
        y = axis.place(tick)
        parts += [
            element("line", x1=left, x2=WIDTH - 10.0, y1=y, y2=y, class_="zero" if tick == 0.0 else "grid"),
            write(written(tick), left - 6.0, y, anchor="end", style="quiet"),
        ]
    every = -(-len(weeks) // MOST_MARKS) or 1
    parts += [
        write(week, places[at], bottom + 14.0, anchor="middle", style="quiet")
        for at, week in enumerate(weeks)
        if at % every == 0
    ]
    spoken = []
    for turn, line in enumerate(series):
        points = [(x, v) for x, v in zip(places, line.values, strict=True)]
        for run in _runs(points):
            path = "M" + "L".join(f"{x:.1f} {axis.place(v):.1f}" for x, v in run)
            parts.append(element("path", d=path, class_=f"line c{turn % COLOURS}"))
        parts += [
            element(
                "circle",
                element("title", f"{line.label} · {weeks[at]} · {written(value)}"),
                cx=places[at],
                cy=axis.place(value),
                r=3,
                class_=f"c{turn % COLOURS}",
            )
            for at, value in enumerate(line.values)
            if value is not None
        ]
        told = ", ".join(f"{week} {_told(v, written)}" for week, v in zip(weeks, line.values, strict=True))
        spoken.append(f"{line.label}: {told}")
    return figure(title, note, bottom + 26.0, spoken, legend([s.label for s in series], left, lines=True), *parts)


def _room(words: Sequence[str]) -> float:
    """Pixels for the values at the right."""
    return max([width_of(value) for value in words], default=0) * LETTER + 20.0


def _told(value: float | None, written: Format) -> str:
    return UNKNOWN if value is None else written(value)


def _shown(rows: Sequence[Interval]) -> list[float]:
    """The values that the axis must reach: all estimates, and the ends as far as they aren't far out."""
    middles = [row.value for row in rows if row.value is not None and isfinite(row.value)]
    reach = [half for row in rows if row.value is not None and isfinite(half := (row.high - row.low) / 2)]
    if not middles or not reach:
        return middles or [-1.0, 1.0]
    room = WIDEST * median(reach)
    least, most = min(middles) - room, max(middles) + room
    return [*middles, *[min(max(end, least), most) for row in rows for end in (row.low, row.high)]]


def _end(x: float, y: float, beyond: int) -> list[Markup]:
    """A cap, or an arrow where the interval goes on beyond the axis."""
    if not beyond:
        return [element("line", x1=x, x2=x, y1=y - 5, y2=y + 5, class_="whisker")]
    tip = x + 7.0 * beyond
    return [element("path", d=f"M{tip:.1f} {y:.1f}L{x:.1f} {y - 5:.1f}L{x:.1f} {y + 5:.1f}Z")]


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Stretches without a missing value."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, value in points:
        if value is None:
            found.append([])
        else:
            found[-1].append((x, value))
    return [run for run in found if len(run) > 1]
