"""One table, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from rich import table as rich_table
from rich.box import SIMPLE_HEAD
from rich.console import Group, JustifyMethod
from rich.text import Text

from stream.reporting.charts import Tone
from stream.reporting.markup import Markup, element

_STYLES: Final[dict[Tone, str]] = {"plain": "", "good": "green", "bad": "red", "quiet": "dim"}


class Cell(msgspec.Struct, frozen=True):
    """A cell whose colour says something; the words alone must say it too."""

    text: str
    tone: Tone = "plain"


class Column(msgspec.Struct, frozen=True):
    """A column; figures stand at the right, words at the left."""

    title: str
    words: bool = False
    sentence: bool = False
    """It may be long, and is often empty: a terminal has no room for it beside the others, and shows it below them."""


class Table(msgspec.Struct, frozen=True):
    """A table with its caption, and a note below on how to read it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Sequence[str | Cell], ...]
    note: str = ""


def html(table: Table) -> Markup:
    """The table for the page. The first column heads its rows."""
    head = element("tr", *[element("th", c.title, scope="col", class_=_side(c)) for c in table.columns])
    body = []
    for row in table.rows:
        cells = []
        for place, (column, cell) in enumerate(zip(table.columns, map(_cell, row), strict=True)):
            style = " ".join(filter(None, (_side(column), "" if cell.tone == "plain" else f"tone {cell.tone}")))
            if place:
                cells.append(element("td", cell.text, class_=style or None))
            else:
                cells.append(element("th", cell.text, scope="row", class_=style or None))
        body.append(element("tr", *cells))
    note = [element("p", table.note, class_="note")] if table.note else []
    caption = element("caption", table.title)
    whole = element("table", caption, element("thead", head), element("tbody", *body))
    return element("div", element("div", whole, class_="drawing"), *note, class_="table")


def terminal(table: Table) -> Group:
    """The table for a terminal; below it a line for each sentence, headed by the words of its row."""
    made = rich_table.Table(
        title=table.title,
        title_style="bold",
        title_justify="left",
        caption=table.note or None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    below = []
    for column in table.columns:
        if not column.sentence:
            side: JustifyMethod = "left" if column.words else "right"
            title = column.title if column.words else column.title.replace(" ", "\n")
            made.add_column(Text(title), justify=side, overflow="fold", no_wrap=not column.words)
    for row in table.rows:
        placed = list(zip(table.columns, map(_cell, row), strict=True))
        made.add_row(*[_text(cell) for column, cell in placed if not column.sentence])
        heading = ", ".join(cell.text for column, cell in placed if column.words and not column.sentence)
        below += [
            Text.assemble(f"{heading}: ", _text(cell)) for column, cell in placed if column.sentence and cell.text
        ]
    return Group(made, *below)


def _text(cell: Cell) -> Text:
    return Text(cell.text, style=_STYLES[cell.tone])


def _cell(cell: str | Cell) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def _side(column: Column) -> str | None:
    return "words" if column.words else None
