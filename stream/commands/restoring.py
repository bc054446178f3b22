"""How far a worker is with reading its customers back, as a bar on its terminal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_LOOK_SECONDS = 0.25
"""Between two looks: what an eye takes for moving."""


class Restored(Protocol):
    """How far one partition is."""

    @property
    def start(self) -> int:
        """Changelog offset at which it began."""

    @property
    def position(self) -> int:
        """Where it is."""

    @property
    def end(self) -> int:
        """Where it ends."""


class Partition(Protocol):
    """One partition of the worker."""

    @property
    def progress(self) -> Restored:
        """How far it is."""

    @property
    def restoring(self) -> bool:
        """Whether that is what it does."""


async def show_restoring(partitions: Mapping[int, Partition], console: Console) -> None:
    """Shows a bar whenever any partition restores, until cancelled. What is logged meanwhile appears above it."""
    while True:
        if any(part.restoring for part in partitions.values()):
            await _one_bar(partitions, console)
        await asyncio.sleep(_LOOK_SECONDS)


async def _one_bar(partitions: Mapping[int, Partition], console: Console) -> None:
    columns = (
        TextColumn("restoring {task.fields[partitions]} partitions"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar, _logging_above():
        task = bar.add_task("", total=None, partitions=0)
        while busy := [part for part in partitions.values() if part.restoring]:
            # Those that are done count too, or the bar would go back each time one ends.
            spans = [part.progress for part in partitions.values()]
            total = sum(span.end - span.start for span in spans)
            done = sum(span.position - span.start for span in spans)
            bar.update(task, total=total or None, completed=done, partitions=len(busy))
            await asyncio.sleep(_LOOK_SECONDS)


@contextlib.contextmanager
def _logging_above() -> Iterator[None]:
    """The log's handlers write to the standard error that they were given; while a bar stands there it is another one."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)
