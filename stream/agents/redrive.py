"""Sending dead letters back: each exactly once, however often the command is called or killed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP

from stream.actions.codec import ATTEMPT_HEADER, dead_letter
from stream.agents.connection import client_options, start_reader, stop_reader
from stream.agents.topics import Row, dead_letter_topic
from stream.agents.transactions import TransactionalWriter
from stream.config import Settings
from stream.errors import TopicError
from stream.events.hashing import owner_partition
from stream.events.record import Headers, Record
from stream.events.rejected import Reason, Rejected, Stage

_BATCH = 500
"""Letters in one transaction. More would be lost work if the command is stopped, fewer would be slower."""

_WAIT_MS = 500

_NOTHING = dead_letter(Record("", 0, 0, 0, None, None), Rejected(Stage.PROCESS, Reason.PROCESSING_FAILED, ""))
_ADDED = {ATTEMPT_HEADER, *(name for name, _ in _NOTHING.headers)}
"""Headers that say why a record is a dead letter: they don't go back with it."""


class Letter(msgspec.Struct, frozen=True):
    """One dead letter."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def attempt(self) -> int:
        """How often it was sent back already."""
        text = self.header(ATTEMPT_HEADER)
        return int(text) if text.isdecimal() else 0

    def header(self, name: str) -> str:
        """The last header of this name, which is ours if the sender used it too; empty if there is none."""
        return next((value.decode(errors="replace") for key, value in reversed(self.headers) if key == name), "")


class Redriven(msgspec.Struct):
    """What was done."""

    source: str
    sent: int = 0
    mended: int = 0
    given_up: int = 0


async def read_letters(settings: Settings, topic: str, most: int | None) -> list[Letter]:
    """The letters that the next redrive would take, without taking them."""
    async with _Dlq(settings, topic) as dlq:
        letters: list[Letter] = []
        while more := await dlq.next(_BATCH if most is None else min(_BATCH, most - len(letters))):
            letters += more
        return letters


async def redrive_letters(
    settings: Settings, topic: str, most: int | None, mended: Mapping[tuple[int, int], bytes]
) -> Redriven:
    """Sends the letters back, with their offsets in the same transaction.

    Raises:
        TopicError: this is not the dead-letter topic of one of the worker's inputs.
        BrokerUnavailable: no broker answers.
    """
    async with _Dlq(settings, topic) as dlq:
        done = Redriven(dlq.source)
        # Fencing by topic: of two redrives of one topic at a time, the first one ends with an error.
        writer = TransactionalWriter(
            msgspec.structs.replace(settings, app_id=_group(settings)), f"{_group(settings)}-{topic}"
        )
        await writer.start()
        try:
            # Only now is it settled what an earlier, killed redrive has committed.
            await dlq.go_on()
            taken = 0
            while more := await dlq.next(_BATCH if most is None else min(_BATCH, most - taken)):
                taken += len(more)
                rows: dict[tuple[str, int], list[Row]] = {}
                for letter in more:
                    if letter.attempt >= settings.redrive_attempts:
                        done.given_up += 1
                        continue
                    value = mended.get((letter.partition, letter.offset), letter.value)
                    done.mended += (letter.partition, letter.offset) in mended
                    at = owner_partition(letter.key, dlq.partitions) if letter.key else letter.partition
                    rows.setdefault((dlq.source, at % dlq.partitions), []).append(_row(letter, value))
                    done.sent += 1
                await writer.write(rows, dlq.offsets())
        finally:
            await writer.close()
        return done


def _row(letter: Letter, value: bytes | None) -> Row:
    kept = [(name, text) for name, text in letter.headers if name not in _ADDED]
    return letter.key, value, (*kept, (ATTEMPT_HEADER, str(letter.attempt + 1).encode()))


def _group(settings: Settings) -> str:
    return f"{settings.app_id}-redrive"


class _Dlq:
    """A dead-letter topic, read from where the last redrive ended to where it ends now."""

    def __init__(self, settings: Settings, topic: str) -> None:
        known = {dead_letter_topic(name): name for name in (*settings.input_topics, settings.topic_repartition)}
        if topic not in known:
            raise TopicError(f"{topic} is none of the dead-letter topics: {', '.join(sorted(known))}")
        self.source = known[topic]
        self.partitions = 0
        self._settings = settings
        self._topic = topic
        self._reader: AIOKafkaConsumer
        self._tps: list[TopicPartition] = []
        self._ends: dict[TopicPartition, int] = {}
        self._moved: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        self._reader = await start_reader(self._settings)
        try:
            await self._assign()
            await self.go_on()
        except BaseException:
            await stop_reader(self._reader)
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await stop_reader(self._reader)

    async def _assign(self) -> None:
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        await admin.start()
        try:
            existing = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        finally:
            await admin.close()
        missing = [name for name in (self._topic, self.source) if name not in existing]
        if missing:
            raise TopicError(f"{' and '.join(missing)} doesn't exist on {self._settings.broker}")
        self.partitions = existing[self.source]
        self._tps = [TopicPartition(self._topic, number) for number in range(existing[self._topic])]
        self._reader.assign(self._tps)

    async def go_on(self) -> None:
        """Seeks to where the last redrive ended."""
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(_group(self._settings), partitions=self._tps)
        finally:
            await admin.close()
        self._ends = await self._reader.end_offsets(self._tps)
        beginnings = await self._reader.beginning_offsets(self._tps)
        for tp in self._tps:
            committed = found[tp].offset if tp in found else -1
            self._reader.seek(tp, max(committed, beginnings[tp]))

    async def next(self, most: int) -> list[Letter]:
        """Up to ``most`` further letters; none when the end is reached."""
        while most > 0:
            left = [tp for tp in self._tps if await self._reader.position(tp) < self._ends[tp]]
            if not left:
                return []
            found = await self._reader.getmany(*left, timeout_ms=_WAIT_MS, max_records=most)
            letters = []
            for tp, records in found.items():
                letters += [Letter(tp.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in records]
                self._moved[tp] = records[-1].offset + 1
            if letters:
                return letters
        return []

    def offsets(self) -> dict[TP, int]:
        """Where the next redrive goes on."""
        return {TP(tp.topic, tp.partition): offset for tp, offset in self._moved.items()}
