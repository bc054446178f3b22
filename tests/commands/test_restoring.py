"""The bar on a terminal while a worker reads its customers back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys

import pytest
from rich.console import Console

from stream.agents.restore import Progress
from stream.agents.status import Doing, PartitionStatus
from stream.commands.restoring import show_restoring
from tests.agents.harness import until


def test_a_bar_is_shown_while_any_partition_restores(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts all partitions, goes away when the last one is restored, and the log appears above it."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    handler = logging.StreamHandler(io.StringIO())
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    parts = {
        0: PartitionStatus(stage=Doing.RESTORING, progress=Progress(start=100, position=150, end=200)),
        1: PartitionStatus(stage=Doing.RUNNING, progress=Progress(start=0, position=300, end=300)),
    }
    unmoved = handler.stream

    async def scenario() -> None:
        showing = asyncio.create_task(show_restoring(parts, console))
        await until(lambda: "restoring 1 partitions" in screen.getvalue() and "88%" in screen.getvalue())
        assert handler.stream is sys.stderr is not unmoved
        parts[0].move(Doing.RUNNING)
        await until(lambda: handler.stream is unmoved)
        seen = len(screen.getvalue())
        parts[1] = PartitionStatus(stage=Doing.RESTORING, progress=Progress(start=0, position=0, end=10))
        await until(lambda: "restoring 1 partitions" in screen.getvalue()[seen:])
        showing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await showing

    asyncio.run(scenario())
    assert handler.stream is unmoved
