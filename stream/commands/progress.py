"""The progress bar of commands that read files and play what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def told_by_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is being done, how fast, and how long it will still take: by being told (what, done, total)."""
    bar = Progress(
        TextColumn("{task.description:>10}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(), console=console, transient=True,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}

    def told(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total, rate="")
        spent = bar.tasks[tasks[what]].elapsed or 0.0
        each, unit = (done / 1e6, "MB") if what == "reading" else (done, "lines")
        rate = f"{each / spent:,.0f} {unit}/s" if spent and what in ("reading", "replaying") else ""
        bar.update(tasks[what], completed=done, total=total, rate=rate)

    with bar:
        yield told
