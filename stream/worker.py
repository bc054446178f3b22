"""Running a worker: in the foreground for the command line, or beside other things for the demo and the tests."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from stream.agents.ports import Clock, Core
from stream.app import WinbackApp, build_app
from stream.config import Settings

_QUIET = {
    # Says "error" for each retry of what it then does itself, at start and whenever a broker restarts.
    "aiokafka": logging.CRITICAL,
    "faust": logging.WARNING,
    "mode": logging.WARNING,
    # Logs each fetch of the consumer's thread.
    "asyncio": logging.WARNING,
}
"""Levels of the libraries' loggers. With `log_level` debug they show everything."""

_STOP_SECONDS = 60.0
"""Longest wait for an orderly stop: the running transactions (30 s at most), and goodbye to the group. What is open after
that is ended by the broker and repeated by the next owner."""

COLLECT_AFTER = (20_000, 20, 500)
"""When Python looks for garbage in cycles: after so many new objects; every so many of those looks at what survived the last
ones; and every so many of these at everything. A batch makes thousands of objects that are freed without it, so at the
default of 700 it would look for nothing several times a batch, and once in a while at every customer in memory, which
takes seconds. Higher: a few ms of garbage more, and longer looks."""

_log = logging.getLogger(__name__)


def set_up_logging(level: str) -> None:
    """One line per event of a worker's life on standard error; the libraries' chatter only with ``debug``."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        force=True,
    )
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else quiet)


@contextlib.asynccontextmanager
async def running_worker(
    settings: Settings,
    *,
    core: Core | None = None,
    clock: Clock | None = None,
    until_ms: int | None = None,
) -> AsyncIterator[WinbackApp]:
    """A worker that runs in this event loop while the block does; use ``app.shell`` to look at it.

    The block begins when the worker has its first partitions, which may still be restoring. What stops the worker for
    good is raised when the block ends, also in place of what the block itself raises: mostly that is what came of it.
    """
    app = build_app(settings, core=core, clock=clock, until_ms=until_ms)
    starting = asyncio.create_task(app.start())
    failed = asyncio.create_task(app.shell.failed.wait())
    try:
        await asyncio.wait([starting, failed], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
        _raise_failure(app)
        try:
            yield app
        finally:
            _raise_failure(app)
    finally:
        failed.cancel()
        await _stop(app, starting)


async def run_worker(
    settings: Settings,
    *,
    core: Core | None = None,
    clock: Clock | None = None,
    until_ms: int | None = None,
    exit_when_done: bool = False,
    beside: Callable[[WinbackApp], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Runs a worker until it is told to stop (SIGINT, SIGTERM), or with ``exit_when_done`` until it has caught up.

    ``beside`` runs along, as long as the worker does.

    Raises:
        WinbackError: what only a person can mend.
    """
    gc.set_threshold(*COLLECT_AFTER)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    app = build_app(settings, core=core, clock=clock, until_ms=until_ms)
    starting = asyncio.create_task(app.start())
    watching = asyncio.create_task(beside(app)) if beside is not None else None
    ends: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in (told, app.shell.failed)]
    ends.append(asyncio.create_task(app.wait_until_stopped()))
    if exit_when_done:
        ends.append(asyncio.create_task(app.shell.caught_up.wait()))
    try:
        done, _ = await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
        if starting in done:
            await starting
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        _raise_failure(app)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        if told.is_set():
            _log.info("told to stop; finishing what runs")
        along = [*ends, watching] if watching is not None else ends
        for end in along:
            end.cancel()
        await asyncio.gather(*along, return_exceptions=True)
        await _stop(app, starting)


def _raise_failure(app: WinbackApp) -> None:
    failure = app.shell.failure or app.crash_reason
    if failure is not None:
        raise failure


async def _stop(app: WinbackApp, starting: asyncio.Task[None]) -> None:
    if not starting.done():
        # Still looking for a broker or for topics.
        starting.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await starting
    try:
        await asyncio.wait_for(app.stop(), _STOP_SECONDS)
    except TimeoutError:
        _log.warning("the stop took longer than %.0f s; what is open is left to the broker", _STOP_SECONDS)
