"""Sorting more rows than memory holds: sorted runs on disk, cut into blocks, read back in order.

A block knows its first key, so reading needs in memory only the blocks that overlap: one per run at worst, and where rows
came nearly in order (most files of events) one in all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

BLOCK_BYTES = 1 << 20
"""Content of one block. Larger: reading needs more memory where many runs overlap; smaller: more to keep and to seek."""
ENOUGH = 20_000
"""Rows to hand out at once. Fewer: a customer's record is encoded more often; more: memory (a decoded event is 1 KB)."""

_encode = msgspec.msgpack.Encoder().encode


class Block(NamedTuple):
    """A sorted piece: rows whose first key is ``first``, at ``offset`` of ``file``."""

    first: Any
    file: str
    offset: int
    size: int
    rows: int

    def read(self) -> bytes:
        """The encoded content."""
        with Path(self.file).open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Spill:
    """Takes (key, row) in any order, keeps up to ``most_bytes`` in memory and writes the rest as sorted runs.

    Keys of one spill can be compared with each other; keys and rows are what msgpack can carry. ``close`` gives the blocks.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path = path
        self._most = most_bytes
        self._keys: list[Any] = []
        self._rows: list[Any] = []
        self._bytes = 0
        self._blocks: list[Block] = []
        self._file: IO[bytes] | None = None

    def add(self, key: Any, row: Any, size: int) -> None:
        """One more row; ``size`` is about what it takes."""
        self._keys.append(key)
        self._rows.append(row)
        self._bytes += size
        if self._bytes > self._most:
            self._write()

    def close(self) -> list[Block]:
        """All blocks, in no particular order; everything is in the file."""
        self._write()
        if self._file is not None:
            self._file.close()
        return self._blocks

    def _write(self) -> None:
        if not self._keys:
            return
        if self._file is None:
            self._file = self._path.open("wb")
        keys, rows = self._keys, self._rows
        places = sorted(range(len(keys)), key=keys.__getitem__)
        step = max(1, len(keys) * BLOCK_BYTES // max(1, self._bytes))
        for start in range(0, len(places), step):
            chosen = places[start : start + step]
            content = _encode(([keys[place] for place in chosen], [rows[place] for place in chosen]))
            self._blocks.append(Block(keys[chosen[0]], str(self._path), self._file.tell(), len(content), len(chosen)))
            self._file.write(content)
        self._keys, self._rows, self._bytes = [], [], 0


def in_order(
    blocks: Sequence[Block], load: Callable[[Block], list[tuple[Any, ...]]], enough: int = ENOUGH
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of all blocks in sorted portions; every row of a portion has a lower key than all later portions' rows.

    ``load`` makes a block's rows into tuples that begin with the row's key; the rest of them sorts rows of equal keys.
    """
    waiting = sorted(blocks, key=lambda block: block.first, reverse=True)
    rows: list[tuple[Any, ...]] = []
    while waiting:
        # At least as much again as was left over, so that sorting costs the same per row however many runs overlap.
        wanted = 2 * len(rows) + enough
        while waiting and len(rows) < wanted:
            rows += load(waiting.pop())
        rows.sort()
        cut = bisect_left(rows, (waiting[-1].first,)) if waiting else len(rows)
        if cut:
            yield rows[:cut]
            del rows[:cut]
