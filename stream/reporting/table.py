"""One table, for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from rich import table as rich_table
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


def terminal(table: Table) -> rich_table.Table:
    """The table for a terminal."""
    made = rich_table.Table(title=table.title, caption=table.note or None, title_justify="left", caption_justify="left")
    for column in table.columns:
        made.add_column(column.title, justify="left" if column.words else "right", overflow="fold")
    for row in table.rows:
        made.add_row(*[Text(cell.text, style=_STYLES[cell.tone]) for cell in map(_cell, row)])
    return made


def _cell(cell: str | Cell) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)


def _side(column: Column) -> str | None:
    return "words" if column.words else None
