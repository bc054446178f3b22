"""HTML and SVG as text, escaped by default."""

from __future__ import annotations

from html import escape
from unicodedata import east_asian_width


class Markup(str):
    """Text that is markup already, and is put in as it is. All other text is escaped."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """One element. In names of attributes ``_`` stands for ``-``, and one at the end is dropped; numbers are written with
    at most two decimals, and ``None`` is left out.

    >>> element("text", "Tea & more", class_="label", x=10.126, font_size=None)
    '<text class="label" x="10.13">Tea &amp; more</text>'
    >>> element("g", element("line", x1=1.0, stroke_width=2))
    '<g><line x1="1" stroke-width="2"/></g>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(map(text, children))
    return Markup(f"<{name}{told}>{inner}</{name}>" if inner or name in _NEVER_EMPTY else f"<{name}{told}/>")


_NEVER_EMPTY = frozenset({"td", "th", "div", "p", "table", "tbody", "figure", "section", "span"})
"""HTML reads ``<td/>`` as an opened cell, unlike SVG and XML."""


def text(content: str) -> Markup:
    """A text as markup.

    >>> text("a < b"), text(Markup("<b>bold</b>"))
    ('a &lt; b', '<b>bold</b>')
    """
    return content if isinstance(content, Markup) else Markup(escape(content, quote=False))


def number(value: float) -> str:
    """A coordinate, with at most two decimals: what SVG is drawn with is finer than any screen.

    >>> number(3.0), number(2 / 3), number(-0.0001)
    ('3', '0.67', '0')
    """
    written = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else number(value)


def width_of(content: str) -> int:
    """About how wide a text is, in Latin letters: a Chinese character is as wide as two.

    >>> width_of("recall"), width_of("召回")
    (6, 4)
    """
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in content)


def shorten(content: str, most: int) -> str:
    """A text of at most ``most`` letters' width, ended by an ellipsis where some is missing.

    >>> shorten("second purchase", 8), shorten("recall", 8)
    ('second …', 'recall')
    """
    if width_of(content) <= most:
        return content
    kept, used = "", 0
    for sign in content:
        used += width_of(sign)
        if used > most - 1:
            break
        kept += sign
    return f"{kept}…"
