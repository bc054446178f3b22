"""The event clock as a pure strategy: midnights, epochs, late records, the way to the end."""

from __future__ import annotations

from types import SimpleNamespace

from stream.actions.message import Stream
from stream.agents.inbox import Inbox
from stream.agents.pace import Apply, EventPace, Move, Tick, Wait, WallPace
from stream.agents.transport import Chunk
from stream.config import DAY_MS, Settings, make_settings
from stream.events.record import Record
from tests.agents.counting import CountingPartition

SETTINGS = make_settings(clock="event", partitions=1)
DAY = 10_000


def at(day: int, ms: int = 0) -> int:
    """An instant of a day of the test's calendar."""
    return (DAY + day) * DAY_MS + ms


class Line:
    """One partition with its strategy, driven by hand."""

    def __init__(self, until_ms: int | None = None, settings: Settings = SETTINGS) -> None:
        self.store: dict[bytes, bytes] = {}
        self.inbox = Inbox(("a", "b"), _time)
        self.inbox.start_at({"a": 0, "b": 0})
        self.processor = CountingPartition(settings, 0, 1, self.store)
        self.pace = EventPace(until_ms)
        self.pace.ends = {"a": 0, "b": 0}
        self._next = {"a": 0, "b": 0}

    def write(self, topic: str, *times_ms: int | None) -> None:
        """Events at these times arrive on a topic."""
        rows = []
        for time_ms in times_ms:
            value = b"?" if time_ms is None else b"at:%d" % time_ms
            rows.append(Record(topic, 0, self._next[topic], 0, b"k", value))
            self._next[topic] += 1
        start = self._next[topic] - len(rows)
        self.inbox.put(Chunk(topic, 0, start, self._next[topic], rows))
        self.pace.ends[topic] = self._next[topic]

    def move(self) -> Move:
        """Makes the next move, if it is one."""
        move = self.pace.next(self.processor, self.inbox, 100)
        if isinstance(move, Apply):
            out = self.processor.apply(move.batch.records, move.now_ms)
            self.inbox.done(move.batch)
        elif isinstance(move, Tick):
            out = self.processor.tick(move.now_ms)
        else:
            return move
        self.store.update({key: value for key, value in out.changed.items() if value is not None})
        self.closed = [message for message in out.messages if message.stream is Stream.CONTRIBUTIONS]
        self.processor.commit()
        self.pace.moved(move)
        return move

    def shown(self) -> tuple[str, int] | Wait:
        """The next move in short: what, and to which instant."""
        move = self.move()
        return move if isinstance(move, Wait) else (type(move).__name__, move.now_ms)


def test_a_day_begins_with_its_epoch() -> None:
    """Close the day before, wait, and only then apply; the batch ends at midnight."""
    line = Line()
    line.write("a", at(0, 5), at(0, 9), at(1, 1))
    line.write("b", at(0, 7))

    assert ("Tick", at(0)) == line.shown()
    assert Wait.EPOCH is line.shown()
    assert Wait.EPOCH is line.shown()
    line.processor.follow(b"%d" % DAY)
    assert ("Apply", at(0, 9)) == line.shown()
    assert ("Tick", at(1)) == line.shown()
    assert 1 == len(line.closed)
    assert Wait.EPOCH is line.shown()
    line.processor.follow(b"%d" % (DAY + 1))
    assert ("Apply", at(1, 1)) == line.shown()


def test_empty_days_are_passed_one_by_one() -> None:
    """A timer of an empty day fires on the version of that day."""
    line = Line()
    line.processor.follow(b"%d" % (DAY + 1))
    line.write("a", at(0, 5), at(3, 5))

    before = [line.shown() for _ in range(5)]
    line.processor.follow(b"%d" % (DAY + 3))
    after = [line.shown() for _ in range(2)]

    assert [("Tick", at(0)), ("Apply", at(0, 5)), ("Tick", at(1)), ("Tick", at(2)), Wait.EPOCH] == before
    assert [("Tick", at(3)), ("Apply", at(3, 5))] == after


def test_a_topic_that_is_behind_is_waited_for() -> None:
    """Nothing is applied while another topic may still have something earlier."""
    line = Line()
    line.processor.follow(b"%d" % (DAY + 9))
    line.write("a", at(0, 5))
    line.pace.ends["b"] = 1

    assert Wait.RECORDS is line.shown()
    line.write("b", at(0, 1))
    assert [("Tick", at(0)), ("Apply", at(0, 5))] == [line.shown(), line.shown()]


def test_late_and_timeless_records_do_not_move_the_clock() -> None:
    """They are applied at the head."""
    line = Line()
    line.processor.follow(b"%d" % (DAY + 9))
    line.write("a", at(2, 5))
    while line.shown() is not Wait.RECORDS:
        pass
    line.write("b", at(0, 1), None)

    assert ("Apply", at(2, 5)) == line.shown()
    assert at(2, 5) == line.pace.now_ms()


def test_a_timeless_record_at_the_very_beginning_begins_no_calendar() -> None:
    """Time starts with the first record that has one, not in 1970."""
    line = Line()
    line.processor.follow(b"%d" % (DAY + 9))
    line.write("a", None, at(0, 5))

    assert [("Apply", 0), ("Tick", at(0)), ("Apply", at(0, 5))] == [line.shown() for _ in range(3)]


def test_time_goes_on_to_the_end() -> None:
    """After the last record every midnight is passed, then the given end is reached, once."""
    line = Line(until_ms=at(2, 7))
    line.processor.follow(b"%d" % (DAY + 9))
    line.write("a", at(0, 5))
    while line.shown() is not Wait.RECORDS:
        pass
    line.pace.at_ends = True

    assert [("Tick", at(1)), ("Tick", at(2)), ("Tick", at(2, 7))] == [line.shown() for _ in range(3)]
    assert Wait.CAUGHT_UP is line.shown()
    assert at(2, 7) == line.pace.now_ms()


def test_what_happens_after_the_end_stays_on_its_topic() -> None:
    """A partition without such events closes no day beyond the end, so those days would never begin."""
    line = Line(until_ms=at(1, 7))
    line.processor.follow(b"%d" % (DAY + 9))
    line.write("a", at(0, 5), at(1, 7), at(1, 8), at(4))
    line.write("b", at(3))

    moves = []
    while (move := line.shown()) is not Wait.CAUGHT_UP:
        moves.append(move)
    assert [("Tick", at(0)), ("Apply", at(0, 5)), ("Tick", at(1)), ("Apply", at(1, 7))] == moves
    assert (2, 1) == (line.inbox.waiting("a"), line.inbox.waiting("b"))
    assert at(1, 7) == line.pace.now_ms()


def test_an_empty_partition_goes_straight_to_the_end() -> None:
    """It has nothing to close day by day, but it must not hold up the others."""
    line = Line(until_ms=at(5, 7))
    line.pace.at_ends = True

    assert ("Tick", at(5)) == line.shown()
    assert Wait.EPOCH is line.shown()
    line.processor.follow(b"%d" % (DAY + 5))
    assert ("Tick", at(5, 7)) == line.shown()
    assert Wait.CAUGHT_UP is line.shown()


def test_live_timers_are_fired_with_the_records_that_wait() -> None:
    """A step of its own would delay the records by a transaction; without records, or with timers off, there is nothing to join."""
    line = Line(settings=make_settings(partitions=1))
    pace = WallPace(SimpleNamespace(now_ms=lambda: 1_000))
    line.processor._due = {b"x": 1}
    assert Tick(1_000) == pace.next(line.processor, line.inbox, 1)
    line.write("a", 1, 2)

    assert isinstance(pace.next(line.processor, line.inbox, 1), Apply)
    assert pace.joins_tick(line.processor, 1_000)
    assert not pace.joins_tick(line.processor, 0)
    pace.timers_off = True
    assert not pace.joins_tick(line.processor, 1_000)


def test_live_timers_and_records_take_turns_while_a_culprit_is_sought() -> None:
    """Neither a flood of records nor a flood of timers starves the other."""
    line = Line(settings=make_settings(partitions=1))
    clock = SimpleNamespace(now_ms=lambda: 1_000)
    pace = WallPace(clock)
    pace.apart = True
    line.processor._due = {b"x": 1, b"y": 2}
    line.write("a", 1, 2)
    assert not pace.joins_tick(line.processor, 1_000)

    moves = []
    for _ in range(3):
        move = pace.next(line.processor, line.inbox, 1)
        moves.append(type(move).__name__)
        pace.moved(move)

    assert ["Tick", "Apply", "Tick"] == moves


def _time(record: Record) -> int | None:
    value = record.value or b""
    return int(value[3:]) if value.startswith(b"at:") else None
