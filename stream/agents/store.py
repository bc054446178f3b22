"""The committed records of one partition: in memory, in memory with a copy on disk, or on disk.

`PartitionRunner` puts in what each committed transaction has changed, and the processor reads. Nothing comes in before
its transaction is committed, so a store is always what the changelog is at some offset.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from itertools import islice
from pathlib import Path
from typing import Any, cast

from stream.agents.store_disk import Busy, Disk, Owner, Unusable, open_disk, wipe
from stream.agents.store_writer import DiskWriter
from stream.config import Settings
from stream.errors import StateDirError, TransientError

_LOAD_RECORDS = 5_000
"""Records between two looks at the rest of the worker while a disk is read: some 25 ms in which nothing else runs."""

_BUSY_SECONDS = 15.0
"""How long to wait for another process to let go of a folder. One that was killed has let go at once; one that stops in
good order needs its time. Customers in memory are served without their copy after that."""

_log = logging.getLogger(__name__)


class MemoryStore(dict[bytes, bytes]):
    """Everything in memory. With a disk, that is a copy from which the next start goes on.

    >>> store = MemoryStore()
    >>> store.put({b"ann": b"1", b"bob": b"2"}, 2); store.put({b"ann": None}, 3)
    >>> dict(store), store.position
    ({b'bob': b'2'}, 3)
    """

    __slots__ = ("_trouble", "_writer", "position")

    def __init__(self, disk: Disk | None = None, trouble: str = "") -> None:
        super().__init__()
        self.position = disk.position if disk is not None else 0
        """Every change of the changelog before this offset is in."""
        self._writer = DiskWriter(disk, keep=False) if disk is not None else None
        self._trouble = trouble

    @property
    def trouble(self) -> str:
        """Why there is no copy on disk though there should be one."""
        if self._writer is not None and self._writer.failure is not None:
            return f"no copy on disk: {self._writer.failure}"
        return self._trouble

    def put(self, changed: Mapping[bytes, bytes | None], position: int) -> None:
        """What the changelog says up to ``position``."""
        self.position = position
        # Nothing is quicker to ask than whether all are true; a comparison with `None` costs twice that, for each.
        if all(changed.values()):
            self.update(cast(Mapping[bytes, bytes], changed))
        else:
            for key, value in changed.items():
                if value is None:
                    self.pop(key, None)
                else:
                    self[key] = value
        if self._writer is not None:
            self._writer.put(changed, position)

    async def room(self) -> None:
        """There is always room: what waits for the disk is in memory anyway."""

    async def settle(self) -> None:
        """Nobody has to wait for the copy."""

    async def close(self) -> None:
        """Brings the copy up to date."""
        if self._writer is not None:
            await self._writer.close()


class DiskStore(Mapping[bytes, bytes]):
    """Everything on disk; in memory only what has not been written yet (and what the processor keeps decoded)."""

    trouble = ""
    """It has none: without its disk it can't go on."""

    def __init__(self, disk: Disk) -> None:
        self.position = disk.position
        self._disk = disk
        self._writer = DiskWriter(disk, keep=True)
        self._damage: Unusable | None = None

    def __getitem__(self, key: bytes) -> bytes:
        value: bytes | None = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: bytes, default: Any = None) -> Any:
        """The record of a key."""
        found, value = self._writer.look_up(key)
        if not found:
            value = self._disk.get(key)
        return default if value is None else value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.get(key) is not None

    def __iter__(self) -> Iterator[bytes]:
        return (key for key, _ in self.records())

    def __len__(self) -> int:
        return sum(1 for _ in self.records())

    def items(self) -> ItemsView[bytes, bytes]:
        """All records."""
        return _Items(self)

    def values(self) -> ValuesView[bytes]:
        """All values."""
        return ValuesView(self)

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of all records, once through."""
        recent = self._writer.waiting()
        try:
            for key, value in self._disk.items():
                if key not in recent:
                    yield key, value
        except Unusable as error:
            self._damage = error
            raise TransientError(f"{self._disk.path} is damaged: {error}") from error
        for key, late in recent.items():
            if late is not None:
                yield key, late

    def put(self, changed: Mapping[bytes, bytes | None], position: int) -> None:
        """What the changelog says up to ``position``."""
        if self._writer.failure is not None:
            raise StateDirError(f"{self._disk.path} can't be written: {self._writer.failure}")
        self.position = position
        self._writer.put(changed, position)

    async def room(self) -> None:
        """Waits for the disk if too much waits for it."""
        await self._writer.room()

    async def settle(self) -> None:
        """Waits until what a restore brought is written."""
        await self._writer.settle()

    async def close(self) -> None:
        """Writes what is left."""
        await self._writer.close()
        if self._damage is not None:
            wipe(self._disk.path, self._damage)


class _Items(ItemsView[bytes, bytes]):
    """In one pass over the disk; the inherited one would look each key up."""

    def __init__(self, store: DiskStore) -> None:
        super().__init__(store)
        self._store = store

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._store.records()


Store = MemoryStore | DiskStore


async def open_store(settings: Settings, owner: Owner, *, beginning: int, end: int) -> Store:
    """The store of a partition, with what its disk has of it.

    Args:
        owner: whose records they are.
        beginning: first offset of the changelog.
        end: offset after its last committed record.

    Raises:
        Busy: another process has the folder, and there is no doing without.
        StateDirError: the folder can't be used, and there is no doing without.
    """
    if not settings.state_dir:
        return _from(beginning, MemoryStore())
    path = Path(settings.state_dir) / settings.app_id / f"customers-{owner.partition}"
    try:
        disk = await _opened(path, owner, beginning, end)
    except (Busy, StateDirError) as error:
        if settings.state_store == "disk":
            raise
        _log.error("partition %d goes on without a copy on disk: %s", owner.partition, error)
        return _from(beginning, MemoryStore(trouble=f"no copy on disk: {str(error).splitlines()[0]}"))
    if settings.state_store == "disk":
        return DiskStore(disk)
    store = MemoryStore(disk)
    try:
        await _load(store, disk)
    except Unusable as error:
        disk.close()
        wipe(path, error)
        return await open_store(settings, owner, beginning=beginning, end=end)
    except BaseException:
        disk.close()
        raise
    return store


def _from(beginning: int, store: MemoryStore) -> MemoryStore:
    store.position = beginning
    return store


async def _opened(path: Path, owner: Owner, beginning: int, end: int) -> Disk:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return open_disk(path, owner, beginning=beginning, end=end)
        except Busy as error:
            if time.monotonic() > deadline:
                raise
            _log.info("%s", error)
            await asyncio.sleep(1)


async def _load(store: MemoryStore, disk: Disk) -> None:
    records = disk.items()
    while chunk := dict(islice(records, _LOAD_RECORDS)):
        store.update(chunk)
        await asyncio.sleep(0)
