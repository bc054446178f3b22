"""Records of one partition that were fetched and not applied yet, by topic, and the order in which they are taken.

An inbox is where the shell stops trusting the way: it knows the position at which each topic goes on, accepts a chunk
only if it begins there, and keeps records until the transaction that applied them is committed. So a failed batch needs
no rewinding: its records are still at the head.
"""

from __future__ import annotations

import enum
import heapq
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import msgspec

from stream.agents.transport import Chunk
from stream.events.record import Record

MOST_BATCH_BYTES = 8 * 1024 * 1024
"""A batch ends here even if it may have more records: two thousand records of 1 MiB would be a transaction of 2 GiB."""

FULL_RECORDS, FULL_BYTES = 20_000, 16 * 1024 * 1024
"""A topic with this much waiting is fetched no further until half of it is done. It bounds the memory of a worker that
is far behind (topics x partitions x 16 MiB at worst) and is more than a processor does during one long poll, so that
it doesn't run dry."""


class Arrival(enum.Enum):
    """What became of a chunk."""

    TAKEN = enum.auto()
    STALE = enum.auto()
    """All of it was here before."""
    GAP = enum.auto()
    """It begins later than expected: a chunk got lost on the way, the position must be sought again."""
    BACKWARDS = enum.auto()
    """It ends before it begins: the topic was deleted and made again, or cut off."""


class Batch(msgspec.Struct, frozen=True):
    """Records to apply next, in order."""

    records: list[Record]
    offsets: dict[str, int]
    """By topic, where to go on once they are applied: what the transaction commits."""
    taken: Counter[str]
    """How many records of each topic these are."""
    last_ms: int | None
    """Greatest time in the batch, by the inbox's own clock; ``None`` if no record has one."""


class _Feed:
    """One topic of the partition."""

    __slots__ = ("bytes", "expected", "rows", "shut", "topic")

    def __init__(self, topic: str, expected: int) -> None:
        self.topic = topic
        self.rows: deque[tuple[int, Record]] = deque()
        self.expected = expected
        self.bytes = 0
        self.shut = False


class Inbox:
    """Fetched records of one partition.

    ``time_ms`` says when a record happened, and so how topics are merged: the record's own Kafka time-stamp with the
    wall clock (best effort, as Kafka Streams does), the event's time with the event clock. A record without a time is
    taken at once.
    """

    def __init__(self, topics: Sequence[str], time_ms: Callable[[Record], int | None]) -> None:
        self._time_ms = time_ms
        self._feeds = {topic: _Feed(topic, 0) for topic in topics}

    def start_at(self, positions: Mapping[str, int]) -> None:
        """Forgets everything and expects each topic to go on at its position."""
        self._feeds = {topic: _Feed(topic, positions[topic]) for topic in self._feeds}

    def __len__(self) -> int:
        return sum(len(feed.rows) for feed in self._feeds.values())

    @property
    def expected(self) -> dict[str, int]:
        """Where the next chunk of each topic begins."""
        return {topic: feed.expected for topic, feed in self._feeds.items()}

    @property
    def positions(self) -> dict[str, int]:
        """Where each topic goes on after what was applied."""
        return {topic: feed.rows[0][1].offset if feed.rows else feed.expected for topic, feed in self._feeds.items()}

    def put(self, chunk: Chunk) -> Arrival:
        """Takes a chunk if it goes on where the last one ended."""
        feed = self._feeds[chunk.topic]
        if chunk.next < chunk.start:
            return Arrival.BACKWARDS
        if chunk.start > feed.expected:
            return Arrival.GAP
        if chunk.next <= feed.expected:
            return Arrival.STALE
        time_ms, expected = self._time_ms, feed.expected
        size = 0
        for row in chunk.records:
            if row.offset < expected:
                continue
            record = Record(row.topic, row.partition, row.offset, row.timestamp, row.key, row.value, tuple(row.headers))
            at = time_ms(record)
            feed.rows.append((-1 if at is None else at, record))
            size += len(record.value or b"")
        feed.bytes += size
        feed.expected = chunk.next
        return Arrival.TAKEN

    def peek(self, most: int, before_ms: int | None = None) -> Batch:
        """The next records in order of time, without taking them; only those before ``before_ms``, if given."""
        records: list[Record] = []
        taken: Counter[str] = Counter()
        last_ms, size = -1, 0
        for at, record in heapq.merge(*(feed.rows for feed in self._feeds.values()), key=_time_of):
            size += len(record.value or b"")
            if len(records) >= most or (records and size > MOST_BATCH_BYTES):
                break
            if before_ms is not None and at >= before_ms:
                break
            records.append(record)
            taken[record.topic] += 1
            last_ms = max(last_ms, at)
        return Batch(records, self._offsets_after(taken), taken, None if last_ms < 0 else last_ms)

    def _offsets_after(self, taken: Mapping[str, int]) -> dict[str, int]:
        offsets = {}
        for topic, number in taken.items():
            feed = self._feeds[topic]
            # The chunk's end may lie behind its last record: markers of transactions take offsets too.
            whole = number == len(feed.rows)
            offsets[topic] = feed.expected if whole else feed.rows[number - 1][1].offset + 1
        return offsets

    def done(self, batch: Batch) -> None:
        """The records of the batch that `peek` gave last are applied and committed."""
        for topic, number in batch.taken.items():
            feed = self._feeds[topic]
            for _ in range(number):
                _, record = feed.rows.popleft()
                feed.bytes -= len(record.value or b"")

    def next_ms(self) -> int | None:
        """Time of the next record; -1 if it has none; ``None`` if no record waits."""
        return min((feed.rows[0][0] for feed in self._feeds.values() if feed.rows), default=None)

    def behind(self, ends: Mapping[str, int]) -> bool:
        """Whether a topic has nothing waiting though it has not been fetched up to its end."""
        return any(not feed.rows and feed.expected < ends.get(topic, 0) for topic, feed in self._feeds.items())

    def missing(self, end_of: Callable[[str], int | None]) -> frozenset[tuple[str, int]]:
        """(topic, offset) of what would be next of topics that have nothing waiting, though more of them is known or
        nothing is known yet."""
        found = []
        for topic, feed in self._feeds.items():
            if not feed.rows:
                end = end_of(topic)
                if end is None or feed.expected < end:
                    found.append((topic, feed.expected))
        return frozenset(found)

    def waiting(self, topic: str) -> int:
        """Records of a topic that wait here."""
        return len(self._feeds[topic].rows)

    def newly_full(self) -> list[str]:
        """Topics to fetch no further for now."""
        found = []
        for feed in self._feeds.values():
            if not feed.shut and (len(feed.rows) >= FULL_RECORDS or feed.bytes >= FULL_BYTES):
                feed.shut = True
                found.append(feed.topic)
        return found

    def newly_free(self) -> list[str]:
        """Topics to fetch again."""
        found = []
        for feed in self._feeds.values():
            if feed.shut and len(feed.rows) <= FULL_RECORDS // 2 and feed.bytes <= FULL_BYTES // 2:
                feed.shut = False
                found.append(feed.topic)
        return found


def _time_of(row: tuple[int, Record]) -> int:
    return row[0]
