"""What all charts share: the frame, the words for those who can't see it, axes and legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stream.reporting.axis import Axis
from stream.reporting.figures import Format
from stream.reporting.markup import Markup, element, shorten, width_of

WIDTH = 760.0
"""Width of every chart in its own pixels; the page scales it. Larger: its 13-pixel letters get too small on paper."""
LETTER = 7.9
"""Width of an average letter at 13 pixels, in a wide sans-serif with many digits. Smaller: on a system with such a font values are
cut at the right; larger: the bars lose room."""
MOST_LABEL = 32
"""Letters of a row's label. More leave no room for the bars; the whole label is in the tooltip and the table."""
COLOURS = 6
"""Different series; the seventh looks like the first."""
MOST_SPOKEN = 60
"""Values told to a screen reader; beyond, it points to the table beside the chart."""


def label_room(labels: Iterable[str]) -> float:
    """Pixels that the labels at the left take."""
    return max([min(width_of(label), MOST_LABEL) for label in labels], default=0) * LETTER + 12.0


def write(content: str, x: float, y: float, *, anchor: str = "start", style: str = "") -> Markup:
    """Words at a place; ``y`` is their middle."""
    return element("text", content, x=x, y=y + 4.5, text_anchor=anchor, class_=style or None)


def row_label(content: str, right: float, y: float) -> Markup:
    """The label of a row, shortened, ending at ``right``."""
    short = shorten(content, MOST_LABEL)
    words = write(short, right, y, anchor="end")
    return words if short == content else element("g", element("title", content), words)


def columns(axis: Axis, top: float, bottom: float, written: Format) -> Markup:
    """Upright grid lines of a horizontal axis; below, their values, as many as don't touch, and zero among them."""
    apart = (axis.end - axis.start) / (len(axis.ticks) - 1)
    widest = max(width_of(written(tick)) for tick in axis.ticks) * LETTER + 4.0
    every = int(-(-widest // apart))
    from_here = axis.ticks.index(0.0) if 0.0 in axis.ticks else 0
    parts = []
    for place, tick in enumerate(axis.ticks):
        x = axis.place(tick)
        parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="zero" if tick == 0.0 else "grid"))
        if (place - from_here) % every == 0:
            parts.append(write(written(tick), x, bottom + 12.0, anchor="middle", style="quiet"))
    return element("g", *parts)


def legend(names: Sequence[str], left: float, *, lines: bool = False) -> Markup:
    """Names of the series with their colours, in the top line; nothing for a single one."""
    if len(names) < 2:
        return Markup("")
    parts, x = [], left
    for place, name in enumerate(names):
        mark = (
            element("line", x1=x, x2=x + 22, y1=12, y2=12, class_=f"line c{place % COLOURS}")
            if lines
            else element("rect", x=x, y=6, width=12, height=12, rx=2, class_=f"c{place % COLOURS}")
        )
        parts += [mark, write(name, x + (28 if lines else 18), 12)]
        x += (46 if lines else 36) + width_of(name) * LETTER
    return element("g", *parts)


def figure(title: str, note: str, height: float, spoken: Sequence[str], *parts: str) -> Markup:
    """A drawing with its title, its values in words for a screen reader, and a note on how to read it below."""
    told = "; ".join(spoken[:MOST_SPOKEN]) + ("; more in the table." if len(spoken) > MOST_SPOKEN else "")
    drawing = element(
        "svg",
        element("title", title),
        element("desc", told or "No values."),
        *parts,
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
    )
    below = [element("p", note, class_="note")] if note else []
    return element("figure", element("figcaption", title), element("div", drawing, class_="drawing"), *below)
