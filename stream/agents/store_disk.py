"""The disk of one partition: its customers in RocksDB, with a marker that says whose they are and how far they go.

A disk is a copy of the changelog, never the truth: whatever is odd about it is thrown away, and the changelog is read from
its beginning. So its writes need neither a log of their own (RocksDB's WAL is off) nor an fsync. What RocksDB had only in
memory is lost with the process, the marker together with the data, because both went through the same memory table and
reach the disk in the order of writing: it opens as it was at an earlier write, and the changelog has the rest.

The one thing that must never be is a marker ahead of the data. Data ahead of the marker does no harm: the changelog from
the marker on holds the last value of every key that is newer.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from stream.errors import StateDirError, TransientError

FORMAT = 1
"""Layout of the folder. Raise it when what is in it changes its meaning: a folder of another format is thrown away."""

_MARKER_KEY = b""
"""Where the marker is. No customer has an empty id."""

_MEMTABLE_BYTES = 16 * 1024 * 1024
"""Of each partition, two or three times while it is written out. Larger: memory; smaller: more files to merge."""

_CACHE_BYTES = 64 * 1024 * 1024
"""Of blocks read from disk, shared by all partitions. It matters only when customers stay on disk."""

_STALL_FILES = 200
"""New files that wait for being merged before RocksDB slows writes down. Its own limit of 20 is meant for writers that
may be held up; a worker's loop may not."""

MOST_AGE_MS = 20 * 3_600_000
"""A disk that lacks a part of the changelog is used only within so long after its last write: a topic keeps the mark of
a deletion for 24 h by default (``delete.retention.ms``), and without it a deleted customer would be back."""

_log = logging.getLogger(__name__)

Change = tuple[bytes, bytes | None]
"""Key and new value; ``None`` if the key is gone."""


class Owner(msgspec.Struct, frozen=True):
    """Whose state it is. Any difference means that the folder can't be used."""

    app_id: str
    topic: str
    topic_id: str
    """The changelog's own id: another one after the topic was deleted and made again."""
    partition: int
    partitions: int


class Marker(msgspec.Struct, frozen=True):
    """How far the data go, in the same write as the data."""

    format: int
    owner: Owner
    position: int
    """Every record of the changelog before this offset is in."""
    written_ms: int


class _Format(msgspec.Struct):
    format: int


class Busy(TransientError):
    """Another process has the folder open."""


class Unusable(Exception):
    """Why the folder is thrown away."""


class Disk:
    """The open folder of a partition. Made by `open_disk`."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path = path
        self.position = 0
        self._owner = owner
        self._unlogged = WriteOptions()
        # A property of the class, which its type stub takes for a method.
        self._unlogged.disable_wal = True  # type: ignore[method-assign,assignment]
        self._unlogged.no_slowdown = True
        self._db = Rdict(str(path), _options())

    def check(self, beginning: int, end: int) -> None:
        """Raises `Unusable` unless the data are this owner's and the changelog goes on where they end.

        Args:
            beginning: first offset of the changelog.
            end: offset after its last one.
        """
        marker = self._marker()
        if marker is None:
            self.position = beginning
            return
        if marker.owner != self._owner:
            raise Unusable(f"it belongs to {_shown(marker.owner)}, not to {_shown(self._owner)}")
        if not beginning <= marker.position <= end:
            raise Unusable(f"it goes to offset {marker.position}, and the changelog from {beginning} to {end}")
        age_ms = int(time.time() * 1000) - marker.written_ms
        if marker.position < end and not 0 <= age_ms <= MOST_AGE_MS:
            raise Unusable(f"it was last written {age_ms / 3_600_000:.0f} h ago, and deletions since may be forgotten")
        self.position = marker.position

    def _marker(self) -> Marker | None:
        found = self._db.get(_MARKER_KEY)
        if found is None:
            if next(iter(self._db.keys()), None) is not None:
                raise Unusable("its first writing was not completed")
            return None
        try:
            number = msgspec.msgpack.decode(found, type=_Format).format
            if number != FORMAT:
                raise Unusable(f"it has format {number}, and this Winback knows {FORMAT}")
            return msgspec.msgpack.decode(found, type=Marker)
        except msgspec.DecodeError as error:
            raise Unusable(f"its marker can't be read: {error}") from error

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise StateDirError(f"{self.path} can't be read: {error}") from error
        return value

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All customers, ascending by key.

        Raises:
            Unusable: a part can't be read. RocksDB's own iterator just ends there.
        """
        last = _MARKER_KEY
        records: Any = self._db.items()
        end: Any = None
        try:
            for key, value in records:
                if key:
                    yield key, value
                last = key
            end = self._db.iter()
            end.seek_to_last()
            end.status()
            if end.valid() and end.key() != last:
                raise Unusable(f"it can't be read beyond key {last!r}")
        except (Unusable, GeneratorExit):
            raise
        except Exception as error:
            raise Unusable(str(error)) from error
        finally:
            # As long as there is an iterator, be it in a traceback, RocksDB doesn't let go of the folder.
            del records, end

    def write(self, changes: Iterable[Change], position: int | None) -> bool:
        """Takes changes, and with them the marker if they complete it up to ``position``; ``False`` if RocksDB is too busy.

        Raises:
            OSError: the disk doesn't take it.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in changes:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if position is not None:
            marker = Marker(FORMAT, self._owner, position, int(time.time() * 1000))
            batch.put(_MARKER_KEY, msgspec.msgpack.encode(marker))
        try:
            self._db.write(batch, self._unlogged)
        except Exception as error:
            if "incomplete" in str(error).lower():
                return False
            raise OSError(str(error)) from error
        if position is not None:
            self.position = position
        return True

    def flush(self) -> None:
        """Begins to bring out of RocksDB's memory what was written.

        Raises:
            OSError: the disk doesn't take it.
        """
        try:
            self._db.flush(False)
        except Exception as error:
            raise OSError(str(error)) from error
        self.flushed()

    def flushed(self) -> bool:
        """Whether nothing is on its way to disk.

        Raises:
            OSError: the disk doesn't take it.
        """
        if self._db.property_int_value("rocksdb.background-errors"):
            # Nobody tells what went wrong in the background but the next write; the marker says what it said before.
            self.write((), self.position)
            raise OSError("the last changes could not be brought to disk; RocksDB's own LOG there says why")
        return not self._db.property_int_value("rocksdb.num-immutable-mem-table")

    def close(self) -> None:
        """Lets go of the folder."""
        with contextlib.suppress(Exception):
            self._db.close()


def open_disk(path: Path, owner: Owner, *, beginning: int, end: int) -> Disk:
    """The folder of a partition, empty if what was in it is of no use.

    Raises:
        Busy: another process has it.
        StateDirError: it can't be used at all.
    """
    for attempt in itertools.count():
        disk = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            disk = Disk(path, owner)
            disk.check(beginning, end)
            return disk
        except Exception as error:
            if disk is not None:
                disk.close()
            if _is_locked(error):
                raise Busy(f"{path} is in use by another process; waiting for it") from error
            if attempt:
                raise StateDirError(f"{path} can't be used: {error}") from error
            wipe(path, error)
    raise AssertionError


def wipe(path: Path, why: Exception) -> None:
    """Throws a folder away; the changelog has everything.

    Raises:
        StateDirError: it can't be removed.
    """
    _log.warning("%s is thrown away: %s; the state is read from the changelog instead", path, why)
    try:
        if path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise StateDirError(f"{path} can't be removed: {error}") from error


def _is_locked(error: Exception) -> bool:
    text = str(error).lower()
    return "while lock file" in text or "lock hold by" in text


def _shown(owner: Owner) -> str:
    return f"{owner.topic}[{owner.partition} of {owner.partitions}] ({owner.topic_id or 'no id'}) of {owner.app_id!r}"


@cache
def _cache() -> Cache:
    return Cache(_CACHE_BYTES)


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_MEMTABLE_BYTES)
    options.set_max_write_buffer_number(4)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_level_zero_slowdown_writes_trigger(_STALL_FILES)
    options.set_level_zero_stop_writes_trigger(2 * _STALL_FILES)
    options.set_soft_pending_compaction_bytes_limit(0)
    options.set_hard_pending_compaction_bytes_limit(0)
    # An idle worker does nothing, and a folder holds the last two logs of RocksDB's own.
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_keep_log_file_num(2)
    table = BlockBasedOptions()
    table.set_block_cache(_cache())
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options
