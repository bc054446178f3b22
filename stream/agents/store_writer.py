"""Writing to a partition's disk behind the worker's back: late, in bulk, and in slices between which the worker goes on.

RocksDB's binding holds Python's lock while it writes, so a thread would gain nothing. A slice takes half a millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from itertools import islice

from stream.agents.store_disk import Change, Disk

_ROUND_KEYS = 25_000
"""Changed customers that wait for the disk. More: memory, and a longer round; fewer: a customer who is changed again and
again is written more often (3 µs each time, and as much again in RocksDB's own threads)."""

_ROUND_OFFSETS = 100_000
"""Changelog offsets that a killed worker has to read again, per partition: about half a second. More: a slower start;
fewer: a shop with few, busy customers writes small files, which all have to be merged."""

_ROUND_SECONDS = 3_600.0
"""A quiet partition is written so often, so that its disk doesn't grow too old (`MOST_AGE_MS`)."""

_SLICE_KEYS = 200
"""Customers in one write: half a millisecond, in which no event is handled."""

_MOST_KEYS = 2 * _ROUND_KEYS
"""Customers in memory because the disk is too slow, if they are nowhere else. Then the worker waits."""

_STALL_SECONDS = 0.02
"""Between two tries while RocksDB is too busy to take more."""

_log = logging.getLogger(__name__)


class DiskWriter:
    """Collects what changed and brings it to disk in rounds. The marker comes with the last slice of a round."""

    def __init__(self, disk: Disk, *, keep: bool) -> None:
        """``keep``: what can't be written is nowhere else, and must stay readable until the worker has stopped."""
        self.failure: Exception | None = None
        """Why nothing is written any more."""
        self._disk = disk
        self._keep = keep
        self._next: dict[bytes, bytes | None] = {}
        self._now: dict[bytes, bytes | None] = {}
        self._position = disk.position
        self._due = asyncio.Event()
        self._round_done = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    def put(self, changed: Mapping[bytes, bytes | None], position: int) -> None:
        """To be written some time."""
        if self.failure is not None:
            return
        self._next.update(changed)
        self._position = position
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"writing {self._disk.path}")
        if len(self._next) >= _ROUND_KEYS or position - self._disk.position >= _ROUND_OFFSETS:
            self._due.set()

    def look_up(self, key: bytes) -> tuple[bool, bytes | None]:
        """Whether a key waits to be written, and its value."""
        for waiting in (self._next, self._now):
            if key in waiting:
                return True, waiting[key]
        return False, None

    def waiting(self) -> dict[bytes, bytes | None]:
        """All that waits to be written."""
        return self._now | self._next

    async def room(self) -> None:
        """Waits while too much waits to be written."""
        while len(self._next) >= _MOST_KEYS and self.failure is None:
            self._round_done.clear()
            await self._round_done.wait()

    async def settle(self) -> None:
        """Waits until no round runs."""
        while (self._now or self._due.is_set()) and self.failure is None:
            self._round_done.clear()
            await self._round_done.wait()

    async def close(self) -> None:
        """Writes what is left and lets go of the disk."""
        self._ending = True
        self._due.set()
        if self._task is not None:
            await asyncio.wait({self._task})
        self._disk.close()

    async def _run(self) -> None:
        try:
            while not self._ending:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), _ROUND_SECONDS)
                self._due.clear()
                await self._round()
            await self._round()
        except Exception as error:
            _log.error("%s is not written any more: %s", self._disk.path, error)
            self.failure = error
            if not self._keep:
                self._now, self._next = {}, {}
        finally:
            self._round_done.set()

    async def _round(self) -> None:
        self._now, self._next = self._next, {}
        position, rest = self._position, iter(self._now.items())
        left = len(self._now)
        while left:
            changes = list(islice(rest, _SLICE_KEYS))
            left -= len(changes)
            await self._written(changes, None if left else position)
            await asyncio.sleep(0)
        if self._now:
            self._disk.flush()
            while not self._disk.flushed():  # noqa: ASYNC110 - RocksDB tells nobody
                await asyncio.sleep(_STALL_SECONDS)
        self._now = {}
        self._round_done.set()

    async def _written(self, changes: list[Change], position: int | None) -> None:
        while not self._disk.write(changes, position):  # noqa: ASYNC110 - RocksDB tells nobody
            await asyncio.sleep(_STALL_SECONDS)
