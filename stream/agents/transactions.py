"""Making the outcome of a step durable: changelog, messages and source offsets in one Kafka transaction.

A transactional producer belongs to one partition of the worker (``<app id>-<partition>``). Starting it fences whoever
had it before and ends their open transaction, so it is the first thing a new owner does, and the only thing that
decides who owns a partition: not the group's assignment, which a paused process can be wrong about.

A writer whose ``write`` failed is used up: the transaction's fate may be unknown, and the client's sequence numbers may
be out of step with the broker's. The owner of the partition starts another one and reads the state back from the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from aiokafka import AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)
from aiokafka.producer import sender
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import AddPartitionsToTxnHandler, Sender
from faust.types import TP

from stream.agents.connection import MAX_MESSAGE_BYTES, RETRY_BACKOFF_MS, client_options
from stream.agents.topics import Row, Rows
from stream.agents.turns import turns
from stream.config import Settings
from stream.errors import Fenced, TransientError, WinbackError

_BATCH_BYTES = 512 * 1024
"""Kafka's record batches of messages are filled up to this: half of what a broker takes by default (1 MiB), because the builder's
estimate leaves out some header bytes. Larger ones would be refused by topics with the default limit."""

_STATE_BATCH_BYTES = MAX_MESSAGE_BYTES * 3 // 4
"""And those of the changelog, whose limit is known, up to this. A producer sends one at a time per partition, so small ones cost
a round trip each: at 2.5 KB a customer, 512 KiB are 200 of them."""

_CLOSE_SECONDS = 10.0
"""How long a clean stop waits for a producer. Nothing is open in it then, so it only has to close its connections."""

_RECENT_STEPS = 4
"""A transaction begins with the partitions that so many before it wrote to. More: markers where nothing was written; fewer: a step
with a message for a topic that the last one had none for takes a round trip more."""

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


class TransactionalWriter:
    """`Writer` of exactly-once delivery. ``mark`` is committed as metadata of every offset.

    The broker wants to be told which partitions and which group take part before anything is written. That is two questions, and
    the answers to both are usually there when the step has been computed if they are asked before: for the partitions, those
    of the last few steps. What is missing then is added in the client's own way; a partition that was asked for and gets nothing
    only has a transaction marker more.
    """

    def __init__(self, settings: Settings, transactional_id: str, mark: str = "") -> None:
        self.transactional_id = transactional_id
        self._mark = mark
        self._state_topic = settings.topic_changelog
        self._group = settings.app_id
        self._timeout_seconds = settings.transaction_timeout_ms / 1000
        self._options = producer_options(settings) | {
            "transactional_id": transactional_id,
            "transaction_timeout_ms": settings.transaction_timeout_ms,
        }
        self._producer: AIOKafkaProducer | None = None
        self._recent: deque[Collection[tuple[str, int]]] = deque(maxlen=_RECENT_STEPS)
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fences every earlier producer of this transactional id and ends what it left open (10–30 ms)."""
        # How long the client sleeps when the broker still writes the last transaction's markers; 20 ms of its own accord,
        # which is as long as the whole transaction.
        sender.BACKOFF_OVERRIDE = RETRY_BACKOFF_MS / 1000
        self._producer = AIOKafkaProducer(**self._options)
        await self._producer.start()

    def prepare(self) -> None:
        """Begins the transaction with the partitions that it will probably have, and the group's offsets.

        It must be written soon (the broker ends it after its time-out), or given up.
        """
        if self._opening is None:
            self._open(with_group=True)

    async def write(self, rows: Rows, offsets: Mapping[TP, int]) -> Written:
        """One transaction."""
        producer = self._producer
        assert producer is not None, "a writer is started before it writes"
        opening = self._opening or self._open(with_group=bool(offsets))
        try:
            # The broker ends a transaction that is open longer, so an answer after that wouldn't matter.
            async with asyncio.timeout(self._timeout_seconds):
                await opening
                # The offsets leave before the rows are encoded: of two requests of one producer that the broker has to check
                # at the same time, it refuses one.
                committing = _heard(asyncio.create_task(self._send_offsets(producer, offsets)))
                await turns()
                sent = await _send(producer, rows, self._state_topic)
                await committing
                # aiokafka commits a transaction even if a batch of it could not be sent: look at each.
                written = await _written(sent)
                await producer.commit_transaction()
        except Exception as error:
            raise _translated(_objection(producer) or error) from error
        self._opening = None
        self._recent.append(rows.keys())
        return {tp: Span(first, after + 1) for tp, (first, after) in written.items()}

    async def _send_offsets(self, producer: AIOKafkaProducer, offsets: Mapping[TP, int]) -> None:
        if offsets:
            committed = {TopicPartition(*tp): OffsetAndMetadata(at, self._mark) for tp, at in offsets.items()}
            await producer.send_offsets_to_transaction(committed, self._group)

    def _open(self, *, with_group: bool) -> asyncio.Task[None]:
        self._opening = _heard(asyncio.create_task(self._begin(with_group=with_group)))
        return self._opening

    async def _begin(self, *, with_group: bool) -> None:
        producer = self._producer
        assert producer is not None, "a writer is started before it writes"
        manager, sender_of = producer._txn_manager, producer._sender  # noqa: SLF001
        # `AIOKafkaProducer.begin_transaction` without its wait for a producer id, which is there since the start.
        manager.begin_transaction()
        expected = {TopicPartition(*tp) for step in self._recent for tp in step}
        asking = _heard(asyncio.create_task(_ask_for(sender_of, expected))) if expected else None
        # The client would ask for the group after the partitions, and for both only when there is something to write.
        while with_group and manager.is_in_transaction():
            if await sender_of._do_add_offsets_to_txn(self._group):  # noqa: SLF001
                break
        if asking is not None:
            await asking
        if not manager.is_in_transaction():
            await manager.wait_for_transaction_end()  # raises what the broker has against it

    async def close(self) -> None:
        """Disconnects. A transaction that was only prepared is left to the next owner's fence."""
        self._forget_opening()
        await _stop(self._producer, _CLOSE_SECONDS)
        self._producer = None

    async def give_up(self) -> None:
        """Disconnects in the background: what this producer may still send is of a fenced epoch by then."""
        self._forget_opening()
        if self._producer is not None:
            _in_background(_stop(self._producer, None))
            self._producer = None

    def _forget_opening(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None


def _heard(answer: _Answer) -> _Answer:
    """If another part of a step fails first, nobody asks this one any more, and asyncio would complain."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer


async def _ask_for(client: Sender, expected: set[TopicPartition]) -> None:
    """Adds partitions to the transaction at once, and not after whatever else the client's own task has to do before."""
    node = await client._find_coordinator(CoordinationType.TRANSACTION, client._txn_manager.transactional_id)  # noqa: SLF001
    await _Expected(client, expected).do(node)


class _Expected(AddPartitionsToTxnHandler):  # type: ignore[misc]
    """The client's request, for partitions to which nothing has been sent yet."""

    def handle_response(self, resp: Any) -> float | None:
        """Takes them for what they would be had something been sent: what has to be asked again is asked by the client."""
        manager = self._sender._txn_manager  # noqa: SLF001
        if not manager.is_in_transaction():
            return None
        for tp in self._tps:
            manager.maybe_add_partition_to_txn(tp)
        return cast("float | None", super().handle_response(resp))


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
                written |= await _written(await _send(producer, part, self._state_topic))
        except Exception as error:
            raise _translated(error) from error
        self._note(offsets)
        return written

    async def close(self) -> None:
        """Disconnects."""
        await _stop(self._producer, _CLOSE_SECONDS)
        self._producer = None

    async def give_up(self) -> None:
        """Waits until the producer has nothing left to send.

        There is no fence here: a record of the failed step that arrives later would overwrite a newer state.
        """
        await _stop(self._producer, None)
        self._producer = None


def producer_options(settings: Settings) -> dict[str, Any]:
    """Arguments of the producers."""
    return client_options(settings) | {
        "acks": "all",
        "max_batch_size": _BATCH_BYTES,
        "max_request_size": MAX_MESSAGE_BYTES,
        "linger_ms": 0,
    }


async def _send(producer: AIOKafkaProducer, rows: Rows, state_topic: str) -> list[tuple[Awaitable[Any], int]]:
    """Hands everything over in ready-made batches: a future per batch, and how many records it is for."""
    now_ms = int(time.time() * 1000)
    sent: list[tuple[Awaitable[Any], int]] = []

    async def send(batch: Any, topic: str, partition: int) -> None:
        answer = _heard(await producer.send_batch(batch, topic, partition=partition))
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


async def _written(sent: list[tuple[Awaitable[Any], int]]) -> Written:
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


def _objection(producer: AIOKafkaProducer) -> BaseException | None:
    """What the broker has against the open transaction, if the client's own task has heard it.

    Whatever is asked of the client afterwards only says that there is no transaction: a fenced writer would look like a slow broker.
    """
    ending = producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001
    return ending.exception() if ending.done() and not ending.cancelled() else None


def _translated(error: BaseException) -> Exception:
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


async def _stop(producer: AIOKafkaProducer | None, seconds: float | None) -> None:
    if producer is None:
        return
    try:
        await asyncio.wait_for(producer.stop(), seconds)
    except Exception as error:
        # What ended is already known to the caller; this is only about its connections.
        _log.debug("closing a producer: %r", error)


_background: set[asyncio.Task[None]] = set()


def _in_background(work: Any) -> None:
    task: asyncio.Task[None] = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
