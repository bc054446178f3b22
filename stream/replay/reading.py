"""From files to lines by process and time: who a line is about, and when it happened, without decoding all of it."""

from __future__ import annotations

import gzip
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream.errors import ConfigurationError
from stream.events.codec import skew_ms
from stream.events.instants import DAY_MS, to_ms
from stream.replay.spill import Block, Spill

SLICE_BYTES = 16 << 20
"""What one process reads at a time. Larger: the last one to finish keeps the others waiting; smaller: more to send."""
READ_MEMORY_BYTES = 192 << 20
"""Lines a process keeps before it sorts and writes them. Larger: memory; smaller: more runs to read back at once."""
_TOLD_LINES = 20_000
_LINE_BITS = 40
_TIME_BITS = 27
"""A day has fewer milliseconds than 2^27."""
_GROUP_BITS = 13
"""So many groups of customers. More: no room is left in 64 bits for every day that a clock of somebody's may show; fewer: more
customers take turns in the processor's caches."""
_TIME_MASK = (1 << _TIME_BITS) - 1


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


def key_of(time_ms: int, share: int, cuts: Sequence[int]) -> int:
    """What lines are sorted by: the stretch of time, in it a group of customers, in it the time. Fits into 64 bits."""
    day, time_of_day_ms = divmod(time_ms, DAY_MS)
    if cuts:
        day = stretch(time_ms, cuts)
    return (day << _GROUP_BITS | share >> 32 - _GROUP_BITS) << _TIME_BITS | time_of_day_ms


def stretch(time_ms: int, cuts: Sequence[int]) -> int:
    """Number of the UTC day, or the part of one: a day is cut at each of ``cuts`` (ascending), which begins the next part."""
    return time_ms // DAY_MS + (bisect_right(cuts, time_ms) if cuts else 0)


def end_of_stretch(key: int) -> int:
    """What the keys of the stretch in which a key lies are all less than."""
    bits = _GROUP_BITS + _TIME_BITS
    return (key >> bits) + 1 << bits


def start_of_stretch(time_ms: int, cuts: Sequence[int]) -> int:
    """The instant at which the stretch begins in which an instant lies."""
    midnight_ms = time_ms // DAY_MS * DAY_MS
    before = bisect_right(cuts, time_ms)
    return max(midnight_ms, cuts[before - 1]) if before else midnight_ms


def is_at(key: int, time_ms: int, cuts: Sequence[int]) -> bool:
    """Whether a line with this key was read as one of this time."""
    same_time = key & _TIME_MASK == time_ms % DAY_MS
    return same_time and key >> _GROUP_BITS + _TIME_BITS == stretch(time_ms, cuts)


class Reader:
    """Reads slices and sorts their lines into a spill for each process that will play them.

    ``in_order``: a day's lines by time alone, and not customer by customer.
    """

    def __init__(
        self, folder: Path, number: int, processes: int, cuts: Sequence[int] = (), *, in_order: bool = False
    ) -> None:
        self._cuts = tuple(cuts)
        self._in_order = in_order
        self._spills = [
            Spill(folder / f"lines-{number}-{to}", READ_MEMORY_BYTES // processes) for to in range(processes)
        ]

    def read(self, part: Slice, on_bytes: Callable[[int], None]) -> Taken:
        """Takes all lines of a slice; ``on_bytes`` is told how many bytes more have been read, now and then."""
        adders = [spill.add for spill in self._spills]
        several, cuts, in_order = len(adders), self._cuts, self._in_order
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
            add(key_of(time_ms, 0 if in_order else share, cuts), (value, base + number), len(value))
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
