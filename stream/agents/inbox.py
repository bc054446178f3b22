"""Records of one partition that were fetched and not applied yet, by topic, and the order in which they are taken.

An inbox is where the shell stops trusting the way: it knows the position at which each topic goes on, accepts a chunk
only if it begins there, and keeps records until the transaction that applied them is committed. So a failed batch needs
no rewinding: its records are still at the head.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter

import msgspec

from stream.agents.feed import Feed
from stream.agents.transport import Chunk
from stream.events.record import Record

MOST_BATCH_BYTES = 8 * 1024 * 1024
"""A batch ends here even if it may have more records: two thousand records of 1 MiB would be a transaction of 2 GiB."""

FULL_RECORDS, FULL_BYTES = 20_000, 4 * 1024 * 1024
"""A topic with this much waiting is fetched no further until half of it is done. It bounds the memory of a worker that
is far behind (topics x partitions x 4 MiB at worst, and the last fetch of 2) and is more than a processor does during one
long poll, so that it doesn't run dry."""


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
    """Greatest time in the batch, by the inbox's own clock; ``None`` if no record has one, or if nothing depended on times:
    with one topic and no end by time."""


class Inbox:
    """Fetched records of one partition.

    ``time_ms`` says when a record happened, and so how topics are merged: the event's time with the event clock; without
    it, the record's own Kafka time-stamp (best effort, as Kafka Streams does). A record without a time is taken at once.
    """

    def __init__(self, topics: Sequence[str], time_ms: Callable[[Record], int | None] | None = None) -> None:
        self._time_ms = time_ms
        self._feeds = {topic: Feed(topic, 0, time_ms) for topic in topics}

    def start_at(self, positions: Mapping[str, int]) -> None:
        """Forgets everything and expects each topic to go on at its position."""
        self._feeds = {topic: Feed(topic, positions[topic], self._time_ms) for topic in self._feeds}

    def __len__(self) -> int:
        return sum(len(feed) for feed in self._feeds.values())

    @property
    def expected(self) -> dict[str, int]:
        """Where the next chunk of each topic begins."""
        return {topic: feed.expected for topic, feed in self._feeds.items()}

    @property
    def positions(self) -> dict[str, int]:
        """Where each topic goes on after what was applied."""
        return {topic: feed.offset(0) for topic, feed in self._feeds.items()}

    def put(self, chunk: Chunk) -> Arrival:
        """Takes a chunk if it goes on where the last one ended."""
        feed = self._feeds[chunk.topic]
        if chunk.next < chunk.start:
            return Arrival.BACKWARDS
        if chunk.start > feed.expected:
            return Arrival.GAP
        if chunk.next <= feed.expected:
            return Arrival.STALE
        records = chunk.records
        if records and records[0].offset < feed.expected:
            records = [record for record in records if record.offset >= feed.expected]
        feed.add(records)
        feed.expected = chunk.next
        return Arrival.TAKEN

    def peek(self, most: int, before_ms: int | None = None) -> Batch:
        """The next records in order of time, without taking them; only those before ``before_ms``, if given.

        The order of a topic is kept whatever its times are: a record is as late as the latest one before it.
        """
        feeds = [feed for feed in self._feeds.values() if len(feed)]
        times: list[int] | None = None
        if len(feeds) == 1 and before_ms is None:
            # Nothing to put in order: nobody needs to know when the records happened.
            records = feeds[0].records(most)
        else:
            records, times = _merged(feeds, most)
            if before_ms is not None:
                del records[bisect_left(times, before_ms) :]
        if sum(feed.bytes for feed in feeds) > MOST_BATCH_BYTES:
            del records[_fitting(records) :]
        taken = Counter({feeds[0].topic: len(records)} if len(feeds) == 1 else map(_topic_of, records))
        last_ms = times[len(records) - 1] if times is not None and records else -1
        return Batch(records, self._offsets_after(taken), taken, None if last_ms < 0 else last_ms)

    def _offsets_after(self, taken: Mapping[str, int]) -> dict[str, int]:
        offsets = {}
        for topic, number in taken.items():
            feed = self._feeds[topic]
            # The chunk's end may lie behind its last record: markers of transactions take offsets too.
            offsets[topic] = feed.expected if number == len(feed) else feed.offset(number - 1) + 1
        return offsets

    def done(self, batch: Batch) -> None:
        """The records of the batch that `peek` gave last are applied and committed."""
        for topic, number in batch.taken.items():
            self._feeds[topic].drop(number)

    def next_ms(self) -> int | None:
        """Time of the next record; -1 if it has none; ``None`` if no record waits."""
        return min((feed.next_ms() for feed in self._feeds.values() if len(feed)), default=None)

    def behind(self, ends: Mapping[str, int]) -> bool:
        """Whether a topic has nothing waiting though it has not been fetched up to its end."""
        return any(not len(feed) and feed.expected < ends.get(topic, 0) for topic, feed in self._feeds.items())

    def missing(self, end_of: Callable[[str], int | None]) -> frozenset[tuple[str, int]]:
        """(topic, offset) of what would be next of topics that have nothing waiting, though more of them is known or
        nothing is known yet."""
        found = []
        for topic, feed in self._feeds.items():
            if not len(feed):
                end = end_of(topic)
                if end is None or feed.expected < end:
                    found.append((topic, feed.expected))
        return frozenset(found)

    def waiting(self, topic: str) -> int:
        """Records of a topic that wait here."""
        return len(self._feeds[topic])

    def newly_full(self) -> list[str]:
        """Topics to fetch no further for now."""
        found = []
        for feed in self._feeds.values():
            if not feed.shut and (len(feed) >= FULL_RECORDS or feed.bytes >= FULL_BYTES):
                feed.shut = True
                found.append(feed.topic)
        return found

    def newly_free(self) -> list[str]:
        """Topics to fetch again."""
        found = []
        for feed in self._feeds.values():
            if feed.shut and len(feed) <= FULL_RECORDS // 2 and feed.bytes <= FULL_BYTES // 2:
                feed.shut = False
                found.append(feed.topic)
        return found


_topic_of = attrgetter("topic")


def _merged(feeds: list[Feed], most: int) -> tuple[list[Record], list[int]]:
    """The first ``most`` records of all feeds by ascending times, and these; of equal times the earlier feed's first."""
    runs = [list(accumulate(feed.times(most), max)) for feed in feeds]
    if len(feeds) == 1:
        return feeds[0].records(most), runs[0]
    # A feed with enough of its own sets a time after which nothing is needed of the others.
    last = min((run[-1] for run in runs if len(run) >= most), default=None)
    records: list[Record] = []
    times: list[int] = []
    for feed, run in zip(feeds, runs, strict=True):
        number = len(run) if last is None else bisect_right(run, last)
        records += feed.records(number)
        times += run[:number]
    # Sorting finds the ascending runs and merges them, in C.
    order = sorted(range(len(times)), key=times.__getitem__)[:most]
    return [records[at] for at in order], [times[at] for at in order]


def _fitting(records: list[Record]) -> int:
    """How many of the records are within `MOST_BATCH_BYTES`, at least one."""
    sizes = accumulate(len(record.value or b"") for record in records)
    return max(1, sum(size <= MOST_BATCH_BYTES for size in sizes))
