"""At-least-once delivery: messages, then state, then offsets, without a transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.agents.topics import Rows
from stream.agents.writing import (
    CLOSE_SECONDS,
    Written,
    producer_options,
    send_rows,
    stop_producer,
    translated,
    written_of,
)
from stream.config import Settings


class PlainWriter:
    """`Writer` of at-least-once delivery: messages are acknowledged before the state is sent, the state before its offsets may
    be committed.

    In another order a crash in between would lose messages: the state would know the event, and nobody had acted on it.
    """

    def __init__(self, settings: Settings, note: Callable[[Mapping[TP, int]], None]) -> None:
        self._state_topic = settings.topic_changelog
        self._options = producer_options(settings) | {"enable_idempotence": True}
        self._note = note
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connects."""
        self._producer = AIOKafkaProducer(**self._options)
        await self._producer.start()

    def prepare(self) -> None:
        """There is nothing to do ahead."""

    async def write(self, rows: Rows, offsets: Mapping[TP, int]) -> Written:
        """Sends messages, then state, each when what is before it is acknowledged, and notes the offsets."""
        producer = self._producer
        assert producer is not None, "a writer is started before it writes"
        written: Written = {}
        try:
            for is_state in (False, True):
                part = {tp: records for tp, records in rows.items() if (tp[0] == self._state_topic) is is_state}
                written |= await written_of(await send_rows(producer, part, self._state_topic))
        except Exception as error:
            raise translated(error) from error
        self._note(offsets)
        return written

    async def close(self) -> None:
        """Disconnects."""
        await stop_producer(self._producer, CLOSE_SECONDS)
        self._producer = None

    async def give_up(self) -> None:
        """Waits until the producer has nothing left to send.

        There is no fence here: a record of the failed step that arrives later would overwrite a newer state.
        """
        await stop_producer(self._producer, None)
        self._producer = None
