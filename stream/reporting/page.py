"""The page around the charts: one file, light or dark as the reader has it, and fit to be printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stream.reporting.markup import Markup, element


class Tile(msgspec.Struct, frozen=True):
    """One figure that is to be seen first."""

    label: str
    value: str
    note: str = ""


def tiles(found: Sequence[Tile]) -> Markup:
    """The figures to be seen first, side by side."""
    return element(
        "div",
        *[
            element(
                "div",
                element("div", tile.label, class_="quiet"),
                element("div", tile.value, class_="value"),
                *([element("div", tile.note, class_="quiet")] if tile.note else []),
                class_="tile",
            )
            for tile in found
        ],
        class_="tiles",
    )


def paragraph(content: str) -> Markup:
    """Words between charts."""
    return element("p", content)


def section(title: str, *parts: str) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *parts)


def page(title: str, lead: str, *parts: str, footer: str = "") -> str:
    """The whole file. It loads nothing, and tells the browser to load nothing."""
    body = element("main", element("h1", title), element("p", lead, class_="lead"), *parts)
    foot = [element("footer", footer)] if footer else []
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body, *foot), lang='en')}\n"


STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --card: #f5f7fa; --ink: #1c2530; --quiet: #566273; --rule: #dbe1e8;
  --c0: #0b62a8; --c1: #c2570c; --c2: #2c7a51; --c3: #8a3fa0; --c4: #8d6a10; --c5: #5b6470;
  --good: #1f7a45; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #12171e; --card: #1b222c; --ink: #e7ecf2; --quiet: #a3afbd;
  --rule: #333d4a; --c0: #5aa9ec; --c1: #f0944d; --c2: #62c08d; --c3: #c98be0; --c4: #d8b04a; --c5: #a5afbb;
  --good: #62c08d; --bad: #ff8a80; } }
@media print { :root { color-scheme: light; --ground: #fff; --card: #fff; --ink: #000; --quiet: #444; --rule: #bbb;
  --c0: #0b62a8; --c1: #c2570c; --c2: #2c7a51; --c3: #8a3fa0; --c4: #8d6a10; --c5: #5b6470; --good: #1f7a45; --bad: #b3261e; }
  figure, tr, .tile { break-inside: avoid; } h2 { break-after: avoid; } body { print-color-adjust: exact; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; }
main, footer { max-width: 1000px; margin: 0 auto; padding: 24px 20px; }
h1 { font-size: 28px; line-height: 1.2; margin: 8px 0; } h2 { font-size: 20px; margin: 36px 0 8px; }
.lead { font-size: 18px; margin: 0 0 20px; } .quiet, .note, footer { color: var(--quiet); font-size: 14px; }
.note { margin: 4px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 16px 0; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 12px 14px; }
.tile .value { font-size: 24px; font-weight: 600; line-height: 1.3; }
figure { margin: 20px 0 28px; } figcaption, caption { font-weight: 600; text-align: left; margin-bottom: 6px; }
caption { padding: 0 0 6px; } .drawing { overflow-x: auto; } svg { display: block; width: 100%; min-width: 620px; }
svg text { font-size: 13px; fill: var(--ink); } svg text.quiet { font-size: 12px; fill: var(--quiet); }
.grid { stroke: var(--rule); } .zero { stroke: var(--quiet); stroke-width: 1.5; }
.c0 { fill: var(--c0); stroke: var(--c0); } .c1 { fill: var(--c1); stroke: var(--c1); } .c2 { fill: var(--c2); stroke: var(--c2); }
.c3 { fill: var(--c3); stroke: var(--c3); } .c4 { fill: var(--c4); stroke: var(--c4); } .c5 { fill: var(--c5); stroke: var(--c5); }
rect { stroke: none; } .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.line.c1 { stroke-dasharray: 7 4; } .line.c2 { stroke-dasharray: 2 4; } .line.c3 { stroke-dasharray: 10 4 2 4; }
.line.c4 { stroke-dasharray: 4 3; } .line.c5 { stroke-dasharray: 1 3; }
g.tone { fill: var(--c0); stroke: var(--c0); } g.tone.good { fill: var(--good); stroke: var(--good); }
g.tone.bad { fill: var(--bad); stroke: var(--bad); } g.tone.quiet { fill: var(--quiet); stroke: var(--quiet); }
.whisker { stroke-width: 2.5; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } .table { margin: 16px 0 28px; }
th, td { padding: 6px 8px; border-bottom: 1px solid var(--rule); text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums; font-weight: 400; } thead th { color: var(--quiet); vertical-align: bottom; }
td { white-space: nowrap; } th.words, td.words { text-align: left; white-space: normal; } td.good { color: var(--good); } td.bad { color: var(--bad); }
td.quiet { color: var(--quiet); } tbody th { font-weight: 600; }
"""
