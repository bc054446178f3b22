"""The demo's stage: broker, worker, readers and view come up together, and go down together, whatever ends them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from stream.adapters.broker import BrokerFailed, EmbeddedBroker
from stream.adapters.broker.lock import FolderLock
from stream.commands.demo_show import Show
from stream.commands.demo_topics import TopicReader
from stream.commands.live import LiveView, plain
from stream.commands.live_figures import LiveFigures

LOOK_SECONDS = 0.5
"""Between two looks at the worker. Shorter: drawing takes CPU time from the worker; longer: the view seems to hang."""
PLAIN_SECONDS = 10.0
"""Between two prints without a terminal, each of which may be many lines."""


class Screen:
    """The live view on standard output; or, when that is for the summary's JSON, a line on the error output's terminal."""

    def __init__(self, figures: LiveFigures, as_json: bool) -> None:
        self._figures = figures
        console = Console()
        self._every_seconds = LOOK_SECONDS if console.is_terminal else PLAIN_SECONDS
        self._drawn = float("-inf")
        self._view = None if as_json else LiveView(figures, console)
        self._status = Console(stderr=True).status("starting the worker") if as_json else None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """On the screen while the block runs."""
        with self._view or contextlib.nullcontext(), self._status or contextlib.nullcontext():
            yield

    def refresh(self) -> None:
        """Draws the figures as they are now, if it is time to."""
        if time.monotonic() < self._drawn + self._every_seconds - LOOK_SECONDS / 2:
            return
        self._drawn = time.monotonic()
        if self._view is not None:
            self._view.refresh()
        if self._status is not None:
            self._status.update(f"{self._figures.note}: {plain(self._figures)}")


async def perform(
    show: Show,
    reader: TopicReader,
    screen: Screen,
    broker: EmbeddedBroker,
    play: Coroutine[Any, Any, None],
    seconds: float | None,
) -> bool:
    """Plays until ``play`` is over, Ctrl-C or the time limit; then lets the worker leave. ``True`` if play was over.

    Raises:
        WorkerDied, BrokerFailed: one of them ended by itself.
    """

    async def watch() -> None:
        while True:
            await show.look()
            broker.wait(0.0)
            screen.refresh()
            await asyncio.sleep(LOOK_SECONDS)

    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with reader:
        playing = asyncio.create_task(play)
        tasks = [playing, *(asyncio.create_task(work) for work in (watch(), reader.run(), told.wait()))]
        try:
            with screen.shown():
                done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
            await show.look()
        except BrokerFailed:
            # It would wait for the broker to come back.
            show.worker.kill()
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await show.worker.stop()
        # What its last transaction published counts as well.
        await reader.finish()
    return playing in done


def begin_anew(folder: Path) -> None:
    """Deletes what an earlier demo left behind, so that no two runs mix.

    Raises:
        AlreadyRunning: another demo is using it.
    """
    broker = folder / "broker"
    broker.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(broker)
    try:
        for data in broker.glob("node-*"):
            if data.is_dir():
                shutil.rmtree(data)
    finally:
        lock.release()
