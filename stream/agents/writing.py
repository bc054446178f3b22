"""What both kinds of writer share: rows in ready-made record batches, the producers' options, and what a refusal means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.types import TP

from stream.agents.connection import MAX_MESSAGE_BYTES, client_options
from stream.agents.topics import Row, Rows
from stream.config import Settings
from stream.errors import Fenced, TransientError, WinbackError

_BATCH_BYTES = 512 * 1024
"""Kafka's record batches of messages are filled up to this: half of what a broker takes by default (1 MiB), because the builder's
estimate leaves out some header bytes. Larger ones would be refused by topics with the default limit."""

_STATE_BATCH_BYTES = MAX_MESSAGE_BYTES * 3 // 4
"""And those of the changelog, whose limit is known, up to this. A producer sends one at a time per partition, so small ones cost
a round trip each: at 2.5 KB a customer, 512 KiB are 200 of them."""

CLOSE_SECONDS = 10.0
"""How long a clean stop waits for a producer. Nothing is open in it then, so it only has to close its connections."""

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer", bound="asyncio.Future[Any]")


class Unwritable(WinbackError):
    """The broker refuses a record for what it is, so that trying again can't help."""

    operator_action = "none: the event whose outcome is refused becomes a dead letter"


class Span(NamedTuple):
    """Where a step's records of one topic-partition are."""

    first: int
    """Offset of the first."""
    next: int
    """Offset after the last, and after the transaction's marker."""


Written = dict[tuple[str, int], Span]
"""By topic and partition. What the broker gave no offset for (it had a repeated batch already) is missing."""


class Writer(Protocol):
    """Makes steps durable."""

    async def start(self) -> None:
        """Connects; with transactions, fences the partition's former owners."""

    def prepare(self) -> None:
        """A step is about to be computed and then written: begins whatever doesn't depend on its outcome."""

    async def write(self, rows: Rows, offsets: Mapping[TP, int]) -> Written:
        """Returns when all of it is durable; raises when none of it is, or nobody knows."""

    async def close(self) -> None:
        """Ends a writer in good order."""

    async def give_up(self) -> None:
        """Ends a writer that failed."""


def producer_options(settings: Settings) -> dict[str, Any]:
    """Arguments of the producers."""
    return client_options(settings) | {
        "acks": "all",
        "max_batch_size": _BATCH_BYTES,
        "max_request_size": MAX_MESSAGE_BYTES,
        "linger_ms": 0,
    }


def heard(answer: _Answer) -> _Answer:
    """If another part of a step fails first, nobody asks this one any more, and asyncio would complain."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer


async def send_rows(producer: AIOKafkaProducer, rows: Rows, state_topic: str) -> list[tuple[Awaitable[Any], int]]:
    """Hands everything over in ready-made batches: a future per batch, and how many records it is for."""
    now_ms = int(time.time() * 1000)
    sent: list[tuple[Awaitable[Any], int]] = []

    async def send(batch: Any, topic: str, partition: int) -> None:
        answer = heard(await producer.send_batch(batch, topic, partition=partition))
        sent.append((answer, batch.record_count()))

    for (topic, partition), records in rows.items():
        waiting = iter(records)
        size = _STATE_BATCH_BYTES if topic == state_topic else _BATCH_BYTES
        batch = _new_batch(producer, size)
        left = _fill(batch, waiting, now_ms)
        while left is not None:
            await send(batch, topic, partition)
            batch = _new_batch(producer, size)
            left = _fill(batch, chain([left], waiting), now_ms)
        await send(batch, topic, partition)
    return sent


def _new_batch(producer: AIOKafkaProducer, size: int) -> BatchBuilder:
    """What `AIOKafkaProducer.create_batch` makes, of another size."""
    is_transactional = producer._txn_manager.transactional_id is not None  # noqa: SLF001
    return BatchBuilder(
        size, _UNCOMPRESSED, is_transactional=is_transactional, key_serializer=None, value_serializer=None
    )


async def written_of(sent: list[tuple[Awaitable[Any], int]]) -> Written:
    """Waits for every answer."""
    written: Written = {}
    for answer, number in sent:
        batch = await answer
        if batch.offset >= 0:
            tp = (batch.topic, batch.partition)
            first = written[tp].first if tp in written else batch.offset
            written[tp] = Span(first, batch.offset + number)
    return written


def _fill(batch: BatchBuilder, rows: Iterable[Row], now_ms: int) -> Row | None:
    """Appends records until the batch is full; the one that doesn't fit, or ``None``. The first one always fits.

    `BatchBuilder.append` costs more than the builder below it, which is C; it only counts along.
    """
    append = batch._builder.append  # noqa: SLF001
    number = 0
    try:
        for row in rows:
            key, value, headers = row
            if append(number, now_ms, key, value, list(headers) if headers else _NO_HEADERS) is None:
                return row
            number += 1
    except (TypeError, ValueError) as error:
        raise Unwritable(f"a record can't be encoded: {error!r}") from error
    finally:
        batch._relative_offset = number  # noqa: SLF001
        batch.close()
    return None


_UNCOMPRESSED = 0
"""As the format of a record batch calls it."""

_NO_HEADERS: list[tuple[str, bytes | None]] = []


def translated(error: BaseException) -> Exception:
    """What the client says, as the runners know it: fenced, unwritable, or to be tried again."""
    if isinstance(error, WinbackError):
        return error
    if isinstance(error, ProducerFenced | InvalidProducerEpoch):
        return Fenced(f"the transactional producer was fenced: {error!r}")
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return Unwritable(f"the broker refuses a record as too large: {error!r}")
    if isinstance(error, TimeoutError):
        return TransientError("the transaction took longer than its time-out")
    cause = error.__cause__
    if isinstance(error, KafkaError) and isinstance(cause, ProducerFenced | InvalidProducerEpoch):
        return Fenced(f"the transactional producer was fenced: {cause!r}")
    return TransientError(f"the broker did not take the batch: {error!r}")


async def stop_producer(producer: AIOKafkaProducer | None, seconds: float | None) -> None:
    """Disconnects within so many seconds, or when nothing is left to send."""
    if producer is None:
        return
    try:
        await asyncio.wait_for(producer.stop(), seconds)
    except Exception as error:
        # What ended is already known to the caller; this is only about its connections.
        _log.debug("closing a producer: %r", error)
