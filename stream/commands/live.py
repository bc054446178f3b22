"""The live terminal view: what comes in, who the customers are, what is being done to them, and whether to trust the model.

It is drawn from `LiveFigures` alone, so the same figures give the same picture: on a terminal, in a test, as an SVG.
Without a terminal it prints plain lines instead.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.align import Align
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from stream.commands.live_figures import Line, LiveFigures
from stream.segments.named import SEGMENTS
from stream.segments.tiers import TIERS

PLAIN_EVERY_SECONDS = 10.0
"""Without a terminal, a line with the figures this often. More often fills logs; less often looks dead."""

_DIM, _FAINT, _FRAME, _TRACK, _TITLE, _VALUE = "grey66", "grey46", "grey35", "grey15", "bold grey82", "bold white"
_TIER_STYLE = {"high": "#3ddc97", "medium": "#4cc9f0", "low": "#f9c74f", "lost": "#ef6f6c", "prospect": "#8d99ae"}
_SEGMENT_STYLE = ("#3ddc97", "#5fd6a8", "#4cc9f0", "#6fb7e9", "#8aa9e0", "#f9c74f", "#f5b04c", "#f3934b", "#ef6f6c",
                  "#c77d9b", "#9a86a4", "#8d99ae")  # fmt: skip
_KIND_STYLE = {"reminder": "#4cc9f0", "recall": "#ef6f6c", "welcome": "#3ddc97", "offer": "#f9c74f", "care": "#c792ea",
               "nudge": "#3ddc97", "coupon": "#f9c74f", "recovery": "#f3934b", "request": "#8aa9e0"}  # fmt: skip
_FLOW = ("#7ddcf7", "#4cc9f0", "#3aa5cc", "#2b80a3", "#1f5f7d")
"""Brightest first: from the crest of the curve down."""
_LEVELS = " ▁▂▃▄▅▆▇█"

_THEME = TerminalTheme(
    (16, 20, 28), (214, 219, 227),
    [(16, 20, 28), (239, 111, 108), (61, 220, 151), (249, 199, 79), (76, 201, 240), (199, 146, 234), (76, 201, 240),
     (214, 219, 227)],
    [(90, 98, 112), (239, 111, 108), (61, 220, 151), (249, 199, 79), (76, 201, 240), (199, 146, 234), (76, 201, 240),
     (255, 255, 255)],
)  # fmt: skip
"""Colours of the exported picture."""


class LiveView:
    """Use as a context manager; call `refresh` a few times a second.

    On a terminal the picture fills the screen and the old content comes back at the end. Elsewhere each new action and
    alert is one line, with the figures now and then.
    """

    def __init__(self, figures: LiveFigures, console: Console | None = None) -> None:
        self._figures = figures
        self._console = console or Console()
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            # Drawn only when `refresh` says so: a second, timed redraw would show half-updated figures and flicker.
            self._live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)
        self._shown_actions = 0
        self._shown_alerts = 0
        self._plain_at_seconds = float("-inf")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Show the figures as they are now."""
        if self._live is not None:
            size = self._console.size
            self._live.update(picture(self._figures, size.width, size.height), refresh=True)
            return
        figures = self._figures
        self._shown_actions = self._print_new(
            "action", figures.actions, figures.actions_by_rule.total(), self._shown_actions
        )
        self._shown_alerts = self._print_new("alert", figures.alerts, figures.alert_count, self._shown_alerts)
        if figures.uptime_seconds - self._plain_at_seconds >= PLAIN_EVERY_SECONDS:
            self._plain_at_seconds = figures.uptime_seconds
            self._say(plain(figures))

    def _print_new(self, word: str, lines: Sequence[Line], count: int, shown: int) -> int:
        new = min(count - shown, len(lines))
        for line in list(lines)[len(lines) - new :]:
            through = f" by {line.channel}" if line.channel else ""
            self._say(f"{line.time} {word} {line.what} for {line.customer}{through}: {line.why}")
        return count

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def plain(figures: LiveFigures) -> str:
    """The figures in one line.

    >>> plain(LiveFigures())
    '0 events/s, lag 0, 0 events, 0 customers, 0 actions, 0 alerts, 0 suppressed, 0 dead letters'
    """
    return (
        f"{figures.rate:,.0f} events/s, lag {figures.lag:,}, {figures.events:,} events, {figures.customers:,} customers, "
        f"{figures.actions_by_rule.total():,} actions, {figures.alert_count:,} alerts, "
        f"{figures.suppressed.total():,} suppressed, {figures.dead_letters:,} dead letters"
    )


def export_svg(figures: LiveFigures, path: Path, width: int = 120, height: int = 40) -> None:
    """Write the picture of these figures as an SVG file."""
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor",
        legacy_windows=False,
    )  # fmt: skip
    console.print(picture(figures, width, height), height=height)
    # Without the link to a web font: a picture in a README may not load any, and shouldn't try.
    svg = re.sub(
        r"@font-face\s*\{[^}]*\}\s*", "", console.export_svg(title="winback demo", theme=_THEME, unique_id="winback")
    )
    path.write_text(svg, encoding="utf-8")


def picture(figures: LiveFigures, width: int, height: int) -> Layout:
    """The whole screen for a terminal of this size; made for 120 x 40, complete from 80 x 24 up."""
    roomy = height >= 34 and width >= 100
    whole, head, people, actions = Layout(), Layout(_head(figures, width), size=1), Layout(), Layout()
    if roomy:
        flow = _row((_flow(figures, 5), 6), (_model(figures), 4), size=7)
        left = Layout(ratio=4)
        left.split_column(Layout(_tiers(figures), size=7), Layout(_held_back(figures, 5), size=7))
        people.split_row(left, Layout(_segments(figures, 12), ratio=6))
        people.size = 14
        rest = height - 1 - 7 - 14
        alerts = rest * 2 // 5
        whole.split_column(head, flow, people, actions, Layout(_alerts(figures, alerts - 2, wide=True), size=alerts))
        actions.update(_actions(figures, rest - alerts - 2, wide=True))
        return whole
    flow = _row((_flow(figures, 4), 1), (_model(figures, brief=True), 1), size=6)
    people = _row((_tiers(figures), 1), (_segments(figures, 5), 1), size=7)
    rest = height - 1 - 6 - 7
    alerts = rest * 2 // 5
    whole.split_column(head, flow, people, actions, Layout(_alerts(figures, alerts - 2, wide=False), size=alerts))
    actions.update(_actions(figures, rest - alerts - 2, wide=False))
    return whole


def _row(*parts: tuple[RenderableType, int], size: int) -> Layout:
    """Parts beside each other, with their shares of the width."""
    row = Layout(size=size)
    row.split_row(*(Layout(part, ratio=ratio) for part, ratio in parts))
    return row


# -- the parts


def _panel(content: RenderableType, title: str, subtitle: str = "") -> Panel:
    return Panel(
        content, title=Text(title, style=_TITLE), title_align="left", subtitle=Text(subtitle, style=_DIM) if subtitle else None,
        subtitle_align="right", border_style=_FRAME, box=box.ROUNDED, padding=(0, 1),
    )  # fmt: skip


def _head(figures: LiveFigures, width: int) -> Table:
    line = Table.grid(expand=True)
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, justify="right")
    lamp = ("●", "#3ddc97") if figures.ready else ("●", "#f9c74f")
    left = Text.assemble((" "), lamp, (" Winback ", _VALUE), (figures.note or figures.title, _DIM))
    parts = [part for part in (f"kafka {figures.broker}", figures.web) if part.strip() != "kafka"]
    up = f"up {_duration(figures.uptime_seconds)}"
    shown = "  ·  ".join([*parts, up] if width >= 100 else [*parts[-1:], up])
    line.add_row(left, Text(shown + " ", style=_DIM))
    return line


def _flow(figures: LiveFigures, height: int) -> Panel:
    numbers = Table.grid(padding=(0, 1))
    numbers.add_column(justify="right", no_wrap=True)
    numbers.add_column(no_wrap=True)
    p50, p99 = _seconds(figures.latency_p50_seconds), _seconds(figures.latency_p99_seconds)
    rows = [
        (f"{figures.rate:,.0f}", "events/s", f"bold {_FLOW[0]}"),
        (f"{figures.lag:,}", "lag", _VALUE if figures.lag < 10_000 else "#f9c74f"),
        (p50, "p50 to action", _VALUE),
        (p99, "p99 to action", _VALUE),
        (f"{figures.dead_letters:,}", "dead letters", "#ef6f6c" if figures.dead_letters else _VALUE),
    ]
    if height < len(rows):
        rows[2:4] = [(p99, "p99 to action", _VALUE)]
    for value, name, style in rows:
        numbers.add_row(Text(value, style=style), Text(name, style=_DIM))
    side = Table.grid(expand=True, padding=(0, 1))
    side.add_column(no_wrap=True)
    side.add_column(ratio=1)
    side.add_row(numbers, _Curve(figures.rates, height))
    return _panel(side, "Events", f"{figures.events:,} in all")


class _Curve:
    """The latest values as an area from zero up, the newest on the right, as wide as there is room."""

    def __init__(self, values: Sequence[float], height: int) -> None:
        self._values, self._height = values, height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, self._height
        shown = list(self._values)[-width:]
        shown = [0.0] * (width - len(shown)) + shown
        top = max(shown) or 1.0
        for row in range(height - 1, -1, -1):
            levels = (max(0, min(8, round(value / top * height * 8) - row * 8)) for value in shown)
            yield Text(
                "".join(_LEVELS[level] for level in levels), style=_FLOW[-1 - row * len(_FLOW) // height], no_wrap=True
            )

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(4, options.max_width)


def _model(figures: LiveFigures, brief: bool = False) -> Panel:
    quality = figures.quality
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    rows = [
        ("AUC", quality.auc, "0.5 is chance"),
        ("lift quality", quality.lift_quality, "0 is random"),
        ("Brier", quality.brier, "0 is perfect"),
        ("calibration error", quality.calibration_error, "0 is perfect"),
    ]
    for name, value, meaning in rows[:3] if brief else rows:
        shown = "–" if isnan(value) else f"{value:.3f}"
        table.add_row(Text(name, style=_DIM), Text(shown, style=_VALUE), Text("" if brief else meaning, style=_FAINT))
    if figures.abstained:
        word = Text.assemble(("abstains ", "#f9c74f"), (f"{figures.labels:,} of {figures.min_labels:,} labels", _DIM))
    else:
        word = Text.assemble(("speaks ", "#3ddc97"), (f"learnt from {figures.labels:,} labels", _DIM))
    return _panel(Group(table, word), "Churn model")


def _bars(rows: Sequence[tuple[str, int, str]], total: int) -> Table:
    """Names with a bar each, all to one scale, and counts with their share of a total."""
    top = max((count for _, count, _ in rows), default=0) or 1
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1)
    table.add_column(no_wrap=True, justify="right", min_width=6)
    table.add_column(no_wrap=True, justify="right", width=4)
    for name, count, style in rows:
        table.add_row(
            Text(name, style=_DIM), _Bar(count / top, style), Text(f"{count:,}", style=_VALUE),
            Text(f"{count / max(total, 1):.0%}", style=_FAINT),
        )  # fmt: skip
    return table


class _Bar:
    """A thin bar as wide as there is room; any share above zero is visible."""

    def __init__(self, share: float, style: str) -> None:
        self._share, self._style = share, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        halves = round(self._share * options.max_width * 2)
        if self._share > 0:
            halves = max(halves, 1)
        whole, half = divmod(halves, 2)
        bar = Text("━" * whole + "╸" * half, style=self._style, no_wrap=True)
        yield bar.append("━" * (options.max_width - whole - half), style=_TRACK)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(4, options.max_width)


def _tiers(figures: LiveFigures) -> Panel:
    rows = [(tier, figures.tiers.get(tier, 0), _TIER_STYLE[tier]) for tier in reversed(TIERS)]
    return _panel(_bars(rows, figures.customers), "Tiers", f"{figures.customers:,} customers")


def _segments(figures: LiveFigures, room: int) -> Panel:
    rows = [
        (name, figures.segments.get(name, 0), style)
        for name, style in zip(sorted(SEGMENTS, key=_segment_rank), _SEGMENT_STYLE, strict=True)
    ]
    if len(rows) > room:  # the largest ones, in the usual order
        large = sorted(rows, key=lambda row: -row[1])[:room]
        rows = [row for row in rows if row in large]
    return _panel(_bars(rows, sum(figures.segments.values())), "RFM segments")


def _segment_rank(name: str) -> tuple[bool, int]:
    """Best first, those who never bought last."""
    return name == "Prospects", SEGMENTS.index(name)


def _actions(figures: LiveFigures, room: int, wide: bool) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, width=8)
    table.add_column(no_wrap=True, width=9)
    table.add_column(no_wrap=True, max_width=24)
    if wide:
        table.add_column(no_wrap=True, width=8)
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for line in list(reversed(figures.actions))[: max(room, 0)]:
        cells = [
            Text(line.time, style=_FAINT), Text(line.customer, style=_VALUE),
            Text(line.what, style=_KIND_STYLE.get(line.kind, _FLOW[1])),
        ]  # fmt: skip
        if wide:
            cells.append(Text(line.channel, style=_DIM))
        table.add_row(*cells, Text(line.why, style=_DIM))
    content: RenderableType = table if figures.actions else _nothing("no action yet")
    most = ", ".join(f"{rule} {count:,}" for rule, count in figures.actions_by_rule.most_common(4 if wide else 2))
    return _panel(content, f"Actions  {figures.actions_by_rule.total():,}", most)


def _alerts(figures: LiveFigures, room: int, wide: bool) -> Panel:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, width=8)
    table.add_column(no_wrap=True, width=9)
    table.add_column(no_wrap=True, justify="right", width=4)
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for line in list(reversed(figures.alerts))[: max(room, 0)]:
        table.add_row(
            Text(line.time, style=_FAINT), Text(line.customer, style=_VALUE), Text(line.what, style="#ef6f6c"),
            Text(line.why, style=_DIM),
        )  # fmt: skip
    silent = (
        "the model abstains until enough labels have matured"
        if figures.abstained
        else "nobody has crossed the threshold"
    )
    content: RenderableType = table if figures.alerts else _nothing(silent)
    held = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in figures.suppressed.most_common(2))
    subtitle = "" if wide or not held else f"held back {figures.suppressed.total():,}: {held}"
    return _panel(content, f"Churn alerts  {figures.alert_count:,}", subtitle)


def _held_back(figures: LiveFigures, room: int) -> Panel:
    """Suppressions and dead letters by reason."""
    rows = [(reason.replace("_", " "), n, "#c792ea") for reason, n in figures.suppressed.most_common(room)]
    refused = [(reason.replace("_", " "), n, "#ef6f6c") for reason, n in figures.rejected.most_common(2)]
    if refused:
        rows = rows[: room - len(refused)] + refused
    content: RenderableType = (
        _bars(rows, figures.suppressed.total() + figures.dead_letters) if rows else _nothing("nothing held back")
    )
    return _panel(content, f"Held back  {figures.suppressed.total():,}", f"dead letters {figures.dead_letters:,}")


def _nothing(text: str) -> Align:
    return Align.center(Text(text, style=f"italic {_FAINT}"), vertical="middle")


def _seconds(value: float) -> str:
    """A duration that is read at a glance.

    >>> _seconds(0.0123), _seconds(2.5), _seconds(float("nan"))
    ('12 ms', '2.5 s', '–')
    """
    if isnan(value):
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _duration(3725)
    '1:02:05'
    """
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
