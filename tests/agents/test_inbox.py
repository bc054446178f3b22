"""The inbox: nothing that was fetched is lost, doubled or taken out of order."""

from __future__ import annotations

import heapq
import itertools

from hypothesis import given
from hypothesis import strategies as st

from stream.agents.inbox import FULL_BYTES, FULL_RECORDS, MOST_BATCH_BYTES, Arrival, Inbox
from stream.agents.transport import Chunk
from stream.events.record import Record


def chunk(topic: str, offsets: list[int], *, start: int | None = None, following: int | None = None) -> Chunk:
    """A chunk whose records' time-stamps are their offsets."""
    rows = [Record(topic, 0, o, o, b"k", b"%d" % o) for o in offsets]
    return Chunk(
        topic, 0, offsets[0] if start is None else start, offsets[-1] + 1 if following is None else following, rows
    )


def inbox(*topics: str) -> Inbox:
    """An inbox at the beginning of its topics, in the order of time-stamps."""
    box = Inbox(topics)
    box.start_at(dict.fromkeys(topics, 0))
    return box


def offsets(records: list[Record]) -> list[tuple[str, int]]:
    """What was taken."""
    return [(record.topic, record.offset) for record in records]


def test_a_chunk_is_taken_only_where_the_last_one_ended() -> None:
    """A lost chunk shows as a gap, one that comes twice is stale, an overlap counts once."""
    box = inbox("a")

    assert Arrival.TAKEN is box.put(chunk("a", [0, 1, 2]))
    assert Arrival.GAP is box.put(chunk("a", [5, 6]))
    assert Arrival.STALE is box.put(chunk("a", [0, 1, 2]))
    assert Arrival.TAKEN is box.put(chunk("a", [2, 3, 4]))
    assert [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("a", 4)] == offsets(box.peek(10).records)


def test_a_topic_that_went_backwards_is_noticed() -> None:
    """A position that falls means that the topic was made again."""
    box = inbox("a")
    box.put(chunk("a", [0, 1, 2]))

    assert Arrival.BACKWARDS is box.put(chunk("a", [0], start=3, following=1))


def test_nothing_leaves_before_it_is_done() -> None:
    """A batch that failed is still there, in the same order; one that is done is gone."""
    box = inbox("a", "b")
    box.put(chunk("a", [0, 2]))
    box.put(chunk("b", [0, 1], following=3))

    first = box.peek(3)
    again = box.peek(3)
    box.done(again)

    assert offsets(first.records) == offsets(again.records) == [("a", 0), ("b", 0), ("b", 1)]
    assert {"a": 1, "b": 3} == again.offsets
    assert [("a", 2)] == offsets(box.peek(3).records)
    assert {"a": 2, "b": 3} == box.positions


def test_a_batch_commits_the_markers_behind_its_last_record() -> None:
    """The committed offset is the consumer's position, not the last record's offset plus one."""
    box = inbox("a")
    box.put(chunk("a", [0, 1], following=5))

    assert {"a": 1} == box.peek(1).offsets
    assert {"a": 5} == box.peek(2).offsets


def test_a_batch_ends_at_the_given_time() -> None:
    """Records of the next day stay, however many are asked for."""
    box = inbox("a", "b")
    box.put(chunk("a", [1, 5, 9], start=0))
    box.put(chunk("b", [2, 6], start=0))

    assert [("a", 1), ("b", 2)] == offsets(box.peek(10, before_ms=5).records)


def test_a_topic_that_is_full_is_shut_and_opened_again() -> None:
    """Fetching stops at the limit and goes on when half of it is done."""
    box = inbox("a")
    box.put(chunk("a", list(range(FULL_RECORDS))))

    assert ["a"] == box.newly_full()
    assert [] == box.newly_free()
    box.done(box.peek(FULL_RECORDS // 2))
    assert ["a"] == box.newly_free()
    assert [] == box.newly_full()


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    drops=st.sets(st.integers(0, 11)),
    takes=st.lists(st.integers(1, 7), min_size=1, max_size=30),
)
def test_whatever_gets_lost_on_the_way_every_record_comes_out_once(
    sizes: list[int], drops: set[int], takes: list[int]
) -> None:
    """Chunks are dropped, then read again from the expected position: every offset comes out once, in order."""
    box, total = inbox("a"), sum(sizes)
    out: list[int] = []
    at, number = 0, 0
    for take in [*takes, *[total] * (total + 1)]:
        if at < total:
            size = min(sizes[number % len(sizes)], total - at)
            sent = chunk("a", list(range(at, at + size)))
            at += size
            if number not in drops and box.put(sent) is Arrival.GAP:
                at = box.expected["a"]
            number += 1
        elif box.expected["a"] < total:
            at = box.expected["a"]
        batch = box.peek(take)
        out += [record.offset for record in batch.records]
        box.done(batch)

    assert list(range(len(out))) == out
    assert box.expected["a"] == len(out) + len(box)


@given(
    times=st.lists(st.lists(st.integers(-1, 9), max_size=12), min_size=1, max_size=4),
    takes=st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(0, 10)), min_size=1, max_size=30),
)
def test_topics_are_merged_as_if_always_the_earliest_head_were_taken(
    times: list[list[int]], takes: list[tuple[int, int | None]]
) -> None:
    """Whatever the times are, ascending or not, and however much is taken at once; a topic keeps its order."""
    names = [f"topic-{number}" for number in range(len(times))]
    box = Inbox(names)
    box.start_at(dict.fromkeys(names, 0))
    waiting: dict[str, list[Record]] = {}
    for name, row in zip(names, times, strict=True):
        waiting[name] = [Record(name, 0, offset, at, b"k", b"v") for offset, at in enumerate(row)]
        box.put(Chunk(name, 0, 0, len(row), waiting[name]))

    for most, before in takes:
        rows = heapq.merge(*waiting.values(), key=lambda record: record.timestamp_ms)
        expected = list(itertools.islice(rows, most))
        if before is not None:
            late = (number for number, record in enumerate(expected) if record.timestamp_ms >= before)
            del expected[next(late, len(expected)) :]
        batch = box.peek(most, before)
        box.done(batch)
        last_ms = max((r.timestamp_ms for r in expected), default=-1)
        by_time = before is not None or sum(map(bool, waiting.values())) > 1

        assert expected == batch.records
        assert batch.last_ms == (last_ms if by_time and last_ms >= 0 else None)
        for name in names:
            waiting[name] = waiting[name][sum(record.topic == name for record in expected) :]


def test_a_batch_ends_at_its_bytes() -> None:
    """Large records make small batches, and one that is larger than the limit is a batch of its own."""
    box = inbox("a")
    half = b"x" * (MOST_BATCH_BYTES // 2)
    rows = [Record("a", 0, offset, offset, b"k", half * size) for offset, size in enumerate((1, 1, 1, 3, 1))]
    box.put(Chunk("a", 0, 0, 5, rows))

    sizes = []
    while len(box):
        batch = box.peek(10)
        box.done(batch)
        sizes.append(len(batch.records))

    assert [2, 1, 1, 1] == sizes


def test_a_topic_that_has_more_is_missed_until_it_comes() -> None:
    """Only topics with nothing waiting are missed: those that are known to go on, and those of which nothing is known."""
    box = inbox("a", "b", "c")
    box.put(chunk("a", [0, 1]))
    ends = {"a": 9, "b": 3, "c": 0}

    assert {("b", 0)} == box.missing(ends.get)
    assert {("b", 0), ("c", 0)} == box.missing({"a": 9}.get)
    box.put(chunk("b", [0], following=3))
    assert frozenset() == box.missing(ends.get)


def test_a_topic_is_full_by_bytes_too_and_what_is_done_counts_no_more() -> None:
    """Four megabytes of a few large records shut a topic; half of them done opens it, however the front is cut off."""
    box, size = inbox("a"), FULL_BYTES // 8
    rows = [Record("a", 0, at, at, b"k", b"x" * size) for at in range(8)]
    box.put(Chunk("a", 0, 0, 5, rows[:5]))
    assert [] == box.newly_full()
    box.put(Chunk("a", 0, 5, 8, rows[5:]))
    assert ["a"] == box.newly_full()
    for done in range(1, 4):
        box.done(box.peek(1))
        assert [] == box.newly_free(), done
    box.done(box.peek(1, before_ms=0))
    assert [] == box.newly_free()
    box.done(box.peek(1))
    assert ["a"] == box.newly_free()
    box.put(Chunk("a", 0, 8, 12, [Record("a", 0, at, at, b"k", b"x" * size) for at in range(8, 12)]))
    assert ["a"] == box.newly_full()
