"""The feed of an inbox: parts that are added and taken away are the same as one plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.agents.feed import Feed
from stream.events.record import Record

parts = st.lists(st.tuples(st.integers(-1, 9), st.none() | st.binary(max_size=4)), max_size=5)


@given(st.lists(st.tuples(parts, st.integers(0, 7), st.integers(0, 9)), max_size=12), st.booleans())
def test_a_feed_is_a_list_that_is_read_from_its_front(
    steps: list[tuple[list[tuple[int, bytes | None]], int, int]], by_event: bool
) -> None:
    """Number, bytes, first records, their times and every offset, however the parts lie and wherever they are cut."""
    feed = Feed(
        "a", 0, (lambda record: None if record.timestamp_ms == 3 else record.timestamp_ms) if by_event else None
    )
    waiting: list[Record] = []
    for part, dropped, most in steps:
        rows = [Record("a", 0, feed.expected + number, at, b"k", value) for number, (at, value) in enumerate(part)]
        feed.add(rows)
        # A marker behind each part takes an offset too.
        feed.expected += len(rows) + 1
        waiting += rows
        # Asked before and after, because times are kept once they are known.
        for number in (0, min(dropped, len(waiting))):
            feed.drop(number)
            del waiting[:number]
            times = [-1 if by_event and record.timestamp_ms == 3 else record.timestamp_ms for record in waiting]

            assert (len(waiting), sum(len(record.value or b"") for record in waiting)) == (len(feed), feed.bytes)
            assert (waiting[:most], times[:most]) == (feed.records(most), feed.times(most))
            assert [record.offset for record in waiting] == [feed.offset(number) for number in range(len(waiting))]
            assert feed.expected == feed.offset(len(waiting))
            assert not waiting or times[0] == feed.next_ms()


def test_a_chunk_is_left_as_it_came() -> None:
    """What a feed lets go of is its own: the records that were handed in are still all there for whoever has them."""
    rows = [Record("a", 0, at, at, b"k", b"v") for at in range(4)]
    feed = Feed("a", 0, None)
    feed.add(rows)
    feed.drop(3)

    assert (4, 1) == (len(rows), len(feed))
