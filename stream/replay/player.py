"""One process's share of the customers, played from the first event to the end; asks in between, so it needs nobody's I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import msgspec

from stream.actions.message import Stream
from stream.config import Settings
from stream.errors import StateError
from stream.events.codec import Decoded, Decoder
from stream.events.kinds import Event
from stream.events.record import Record
from stream.events.rejected import Rejected
from stream.governance.policy import limits_are_shared
from stream.outcome import Outcome
from stream.processor import Partition
from stream.processor.epochs import decode_epoch
from stream.replay.lockstep import Answer, Asked, Goal, Rests, Version, Waits
from stream.replay.outputs import Collects
from stream.replay.reading import end_of_stretch, is_at, start_of_stretch
from stream.replay.spill import Block
from stream.rules.rule import RuleSet

ROOM_BYTES = 512 << 20
"""Memory for customers at hand, by estimate; one who began in this run may take twice as much. More: a process may need it all;
less: where more customers are active in a day, each is packed and unpacked once a day, some 10 us."""
Item = tuple[Record, Decoded]
Asking = Generator[Asked | int, Answer | None, None]
"""Yields questions, to be sent their answers, and numbers of lines done, to be sent ``None``."""

_lines = msgspec.msgpack.Decoder(tuple[list[int], list[tuple[bytes, int]]])


def load(block: Block, decoder: Decoder, cuts: Sequence[int] = ()) -> list[tuple[Any, ...]]:
    """The lines of a block, decoded: (time, message id, line, its number, record, what it is)."""
    keys, lines = _lines.decode(block.read())
    decode = decoder.decode
    rows: list[tuple[Any, ...]] = []
    for key, (value, number) in zip(keys, lines, strict=True):
        record = Record("", 0, -1, -1, None, value)
        decoded = decode(record)
        if isinstance(decoded, Event):
            if not is_at(key, decoded.time_ms, cuts):
                raise StateError(f"read as an event of another time than {decoded.time_ms} ms: {value!r}")
            rows.append((key, decoded.message_id, value, number, record, decoded))
        else:
            rows.append((key, "", value, number, record, decoded))
    return rows


class Player:
    """Plays blocks of lines through a `Partition` of its own into what `Collects`."""

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        outputs: Collects,
        *,
        number: int,
        decoder: Decoder,
        until_ms: int | None,
        score_at_ms: Sequence[int],
        room_bytes: int = ROOM_BYTES,
    ) -> None:
        self._outputs = outputs
        self._decoder = decoder
        self._until_ms = until_ms
        self._score_at = sorted(set(score_at_ms))
        self._cuts = tuple(self._score_at)
        self._store: dict[bytes, bytes] = {}
        # To itself it is the only partition: lines are shared out by another hash, and nothing is to be repartitioned.
        self._partition = Partition(
            settings,
            rules,
            partition=number,
            partitions=1,
            store=self._store,
            decoder=decoder,
            # Where one customer's action may keep another's from going out, the day is played in order, as live does.
            records=None if limits_are_shared(settings, rules) else self._store,
            room_bytes=room_bytes,
        )
        self._contributions: list[bytes] = []
        self._last_ms: int | None = None
        self._model: Any = None
        self._muted = False

    @property
    def store(self) -> dict[bytes, bytes]:
        """Every customer's record, as of now."""
        self._partition.write_down()
        return self._store

    def load(self, block: Block) -> list[tuple[Any, ...]]:
        """The lines of a block, decoded: (time, message id, line, its number, record, what it is)."""
        return load(block, self._decoder, self._cuts)

    def play(self, portions: Iterable[list[tuple[Any, ...]]]) -> Asking:
        """Plays portions of `load`'s rows to ``until``, then on to the last time to score at, deciding nothing any more."""
        for rows in portions:
            keys, events = self._distinct(rows)
            if events:
                yield from self._events(keys, events)
            yield len(rows)
        until_ms = self._until_ms
        while until_ms is None:
            goal = yield Rests(self._last_ms)
            assert isinstance(goal, Goal)
            if goal.at_ms is None:
                return
            if goal.final:
                until_ms = goal.at_ms
            elif goal.at_ms > self._partition.now_ms:
                yield from self._score_until(goal.at_ms)
                yield from self._to(goal.at_ms)
        yield from self._score_until(until_ms)
        yield from self._to(until_ms)
        self._outputs.until_ms = until_ms
        self._outputs.customers(self._partition.customers(until_ms))
        self._outputs.quality = {} if self._model is None else msgspec.to_builtins(self._model.quality)
        self._muted = True
        if self._score_at:
            yield from self._score_until(self._score_at[-1])

    # -- inside

    def _distinct(self, rows: list[tuple[Any, ...]]) -> tuple[list[int], list[Item]]:
        """The events among the rows, without exact repeats of a line; all else is dealt with at once: it touches nobody."""
        outputs = self._outputs
        keys: list[int] = []
        events: list[Item] = []
        others: list[Item] = []
        last = None
        for key, _, value, number, record, decoded in rows:
            if isinstance(decoded, Rejected):
                outputs.refused.append((number, decoded.reason.value, decoded.detail))
            if value == last:
                outputs.repeats += 1
                continue
            last = value
            if isinstance(decoded, Event):
                keys.append(key)
                events.append((record, decoded))
            else:
                others.append((record, decoded))
        if others:
            self._sink(self._partition.apply_decoded(others, 0))
        return keys, events

    def _events(self, keys: list[int], items: list[Item]) -> Asking:
        """Events in order, one stretch after the other: before each, time moves on to where it begins."""
        start = 0
        while start < len(keys):
            end = bisect_left(keys, end_of_stretch(keys[start]), start)
            _, first = items[start]
            assert isinstance(first, Event)
            began_ms = start_of_stretch(first.time_ms, self._cuts)
            yield from self._score_until(began_ms)
            yield from self._to(began_ms)
            self._sink(self._partition.apply_decoded(items[start:end], began_ms))
            start = end
        times = [decoded.time_ms for _, decoded in items if isinstance(decoded, Event)]
        self._last_ms = max(times) if self._last_ms is None else max(self._last_ms, *times)

    def _to(self, at_ms: int) -> Asking:
        """Moves time on to an instant, day by day, each day with the version that was folded for it."""
        partition = self._partition
        if partition.awaits_epoch(at_ms):
            self._sink(partition.tick(at_ms))
        while True:
            due_ms = partition.next_due_ms()
            if due_ms is None:
                contributions, self._contributions = self._contributions, []
                version = yield Waits(contributions, at_ms)
                assert isinstance(version, Version)
                epoch = decode_epoch(version.epoch)
                self._model = epoch.model
                self._outputs.tallies = epoch.tallies
                partition.adopt(epoch)
            elif due_ms <= at_ms:
                self._sink(partition.tick(at_ms))
            else:
                return

    def _score_until(self, until_ms: int) -> Asking:
        while self._score_at and self._score_at[0] <= until_ms:
            at_ms = self._score_at.pop(0)
            yield from self._to(at_ms)
            self._outputs.scored(at_ms, self._partition.scores(at_ms))

    def _sink(self, out: Outcome) -> None:
        """Makes an outcome durable: here, in a dictionary."""
        self._store.update((key, value) for key, value in out.changed.items() if value is not None)
        self._partition.commit()
        for message in out.messages:
            if message.stream is Stream.CONTRIBUTIONS:
                self._contributions.append(message.value or b"")
            elif not self._muted:
                self._outputs.message(message)
        if not self._muted:
            self._outputs.count(out.telemetry)
