"""From files to lines by process and time: who a line is about, and when it happened, without decoding all of it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream.errors import ConfigurationError
from stream.events.codec import skew_ms
from stream.events.instants import to_ms
from stream.replay.spill import Block, Spill

SLICE_BYTES = 16 << 20
"""What one process reads at a time. Larger: the last one to finish keeps the others waiting; smaller: more to send."""
READ_MEMORY_BYTES = 192 << 20
"""Lines a process keeps before it sorts and writes them. Larger: memory; smaller: more runs to read back at once."""
_TOLD_LINES = 20_000
_LINE_BITS = 40


class _Head(
    msgspec.Struct,
    rename={
        "user_id": "userId",
        "anonymous_id": "anonymousId",
        "sent_at": "sentAt",
        "received_at": "receivedAt",
        "original": "originalTimestamp",
    },
):
    """What says who and when, of a Segment message or a structured CloudEvent around one."""

    user_id: str | None = None
    anonymous_id: str | None = None
    timestamp: datetime | None = None
    sent_at: datetime | None = None
    received_at: datetime | None = None
    original: datetime | None = None
    specversion: str | None = None
    subject: str | None = None
    time: datetime | None = None
    data: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Head).decode


class Slice(NamedTuple):
    """A part of a file: the lines that begin at bytes ``start`` up to ``end`` (of a packed file always all)."""

    number: int
    path: Path
    start: int
    end: int


class Taken(NamedTuple):
    """What was in a slice."""

    number: int
    lines: int
    blank: int


def slices(paths: Sequence[Path], slice_bytes: int = SLICE_BYTES) -> list[Slice]:
    """The files in parts to share out. Raises `ConfigurationError` with every file that isn't there."""
    missing = [f"{path}: no such file" for path in paths if not path.is_file()]
    if missing:
        raise ConfigurationError(missing)
    found: list[Slice] = []
    for path in paths:
        size = path.stat().st_size
        step = size + 1 if path.suffix == ".gz" else slice_bytes
        for start in range(0, max(size, 1), step):
            found.append(Slice(len(found), path, start, min(size, start + step)))
    return found


def place(value: bytes) -> tuple[int, int]:
    """(event time in ms, a number by which lines are shared out) of a line that may be an event.

    For an event that the decoder accepts, the time is its own and the number is its customer's alone. For anything else the
    time is negative or of no account, and the same for the same bytes; nothing is refused here.

    >>> line = b'{"userId": "42", "timestamp": "2026-01-31T00:00:00.250Z"}'
    >>> place(line) == (1769817600250, zlib.crc32(b"42"))
    True
    """
    try:
        head = _decode(value)
        who = head.user_id or (f"anon:{head.anonymous_id}" if head.anonymous_id else None)
        at = head.timestamp
        if head.specversion is not None:
            outer, head = head, _decode(head.data)
            who = head.user_id or (f"anon:{head.anonymous_id}" if head.anonymous_id else outer.subject)
            at = head.timestamp or outer.time
        if who and at is not None:
            time_ms = to_ms(at) + skew_ms(head.sent_at, head.received_at, head.original)
            return time_ms, zlib.crc32(who.encode())
    except (msgspec.DecodeError, RecursionError, TypeError, ValueError, OverflowError):
        pass
    # Spread over time as well: what is no event may be most of a file, and equal keys must fit into memory together.
    number = zlib.crc32(value)
    return -1 - number, number


class Reader:
    """Reads slices and sorts their lines into a spill for each process that will play them."""

    def __init__(self, folder: Path, number: int, processes: int) -> None:
        self._spills = [
            Spill(folder / f"lines-{number}-{to}", READ_MEMORY_BYTES // processes) for to in range(processes)
        ]

    def read(self, part: Slice, on_bytes: Callable[[int], None]) -> Taken:
        """Takes all lines of a slice; ``on_bytes`` is told how many bytes more have been read, now and then."""
        adders = [spill.add for spill in self._spills]
        several = len(adders)
        blank = number = told = 0
        base = part.number << _LINE_BITS
        add = adders[0]
        position = part.start
        for number, (position, line) in enumerate(_lines(part), start=1):
            value = line.strip()
            if not value:
                blank += 1
                continue
            time_ms, share = place(value)
            if several > 1:
                add = adders[share % several]
            add(time_ms, (value, base + number), len(value))
            if not number % _TOLD_LINES:
                on_bytes(position - part.start - told)
                told = position - part.start
        on_bytes(part.end - part.start - told)
        return Taken(part.number, number, blank)

    def close(self) -> list[list[Block]]:
        """The blocks for each process."""
        return [spill.close() for spill in self._spills]


def slice_and_line(number: int) -> tuple[int, int]:
    """The slice and the line in it, counted from 1, of a line's number as `Reader` gives it."""
    return number >> _LINE_BITS, number & ((1 << _LINE_BITS) - 1)


def _lines(part: Slice) -> Iterator[tuple[int, bytes]]:
    """(bytes of the file read, line)."""
    try:
        with part.path.open("rb", buffering=1 << 20) as file:
            if part.path.suffix == ".gz":
                with gzip.open(file, "rb") as packed:
                    for line in packed:
                        yield file.tell(), line
                return
            position = part.start
            if position:
                # A line belongs to the slice in which it begins; one may begin right here.
                file.seek(position - 1)
                position += len(file.readline()) - 1
            for line in file:
                if position >= part.end:
                    return
                position += len(line)
                yield position, line
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError([f"{part.path}: {error}"]) from error
