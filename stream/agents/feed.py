"""Records of one topic-partition that wait: added in parts as they were fetched, read and taken away from the front.

Nothing is copied from part to part, and what only some callers need, the times by which topics are merged, is found out when
it is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from stream.events.record import Record


class _Part:
    """Records that came together."""

    __slots__ = ("bytes", "records", "times")

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        # While they are hot: whoever counts them again when they are done waits for memory.
        self.bytes = _size(records)
        """Of the values that wait."""
        self.times: list[int] | None = None
        """When each of the records happened, -1 if that isn't known; found out when somebody asks."""


class Feed:
    """One topic of a partition: parts, of which the first may be done up to its head.

    >>> feed = Feed("t", 0, None)
    >>> feed.add([Record("t", 0, 7, 1_000, b"k", b"one"), Record("t", 0, 8, 2_000, b"k", b"three")]); feed.drop(1)
    >>> len(feed), feed.bytes, feed.offset(0), feed.times(5)
    (1, 5, 8, [2000])
    """

    __slots__ = ("_head", "_number", "_parts", "_time_ms", "bytes", "expected", "shut", "topic")

    def __init__(self, topic: str, expected: int, time_ms: Callable[[Record], int | None] | None) -> None:
        self.topic = topic
        self.expected = expected
        self.shut = False
        self.bytes = 0
        """Of the values that wait."""
        self._time_ms = time_ms
        self._parts: deque[_Part] = deque()
        self._number = 0
        """Of the records that wait."""
        self._head = 0
        """How many records of the first part are done. There is always one that isn't."""

    def __len__(self) -> int:
        return self._number

    def add(self, records: list[Record]) -> None:
        """They wait now, after the others."""
        if records:
            part = _Part(records)
            self._parts.append(part)
            self._number += len(records)
            self.bytes += part.bytes

    def records(self, most: int) -> list[Record]:
        """The first ones."""
        head, found = self._head, list[Record]()
        for part in self._parts:
            if len(found) >= most:
                break
            found += part.records[head : head + most - len(found)]
            head = 0
        return found

    def times(self, most: int) -> list[int]:
        """Of the first records."""
        head, found = self._head, list[int]()
        for part in self._parts:
            if len(found) >= most:
                break
            found += self._times_of(part)[head : head + most - len(found)]
            head = 0
        return found

    def _times_of(self, part: _Part) -> list[int]:
        if part.times is None:
            if self._time_ms is None:
                part.times = [record.timestamp_ms for record in part.records]
            else:
                part.times = [-1 if at is None else at for at in map(self._time_ms, part.records)]
        return part.times

    def offset(self, number: int) -> int:
        """Of the record that has so many before it; behind the last one, where the next chunk begins."""
        number += self._head
        for part in self._parts:
            if number < len(part.records):
                return part.records[number].offset
            number -= len(part.records)
        return self.expected

    def next_ms(self) -> int:
        """Time of the first record."""
        return self._times_of(self._parts[0])[self._head]

    def drop(self, number: int) -> None:
        """The first records are done."""
        self._number -= number
        while number:
            part = self._parts[0]
            records = part.records
            left = len(records) - self._head
            if number >= left:
                number -= left
                self.bytes -= part.bytes
                self._parts.popleft()
                self._head = 0
                continue
            done = _size(records[self._head : self._head + number])
            self.bytes -= done
            part.bytes -= done
            self._head += number
            if self._head > len(records) // 2:
                part.records = records[self._head :]
                if part.times is not None:
                    del part.times[: self._head]
                self._head = 0
            return


def _size(records: list[Record]) -> int:
    return sum([len(value) if (value := record.value) else 0 for record in records])
