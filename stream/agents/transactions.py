"""Making the outcome of a step durable: changelog, messages and source offsets in one Kafka transaction.

A transactional producer belongs to one partition of the worker (``<app id>-<partition>``). Starting it fences whoever
had it before and ends their open transaction, so it is the first thing a new owner does, and the only thing that
decides who owns a partition: not the group's assignment, which a paused process can be wrong about.

A writer whose ``write`` failed is used up: the transaction's fate may be unknown, and the client's sequence numbers may
be out of step with the broker's. The owner of the partition starts another one and reads the state back from the log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.producer import sender
from aiokafka.producer.sender import AddPartitionsToTxnHandler
from faust.types import TP

from stream.agents.connection import RETRY_BACKOFF_MS
from stream.agents.topics import Rows
from stream.agents.turns import turns
from stream.agents.writing import (
    CLOSE_SECONDS,
    Span,
    Written,
    heard,
    producer_options,
    send_rows,
    stop_producer,
    translated,
    written_of,
)
from stream.config import Settings

_RECENT_STEPS = 4
"""A transaction begins with the partitions that so many before it wrote to. More: markers where nothing was written; fewer: a step
with a message for a topic that the last one had none for takes a round trip more."""


class _Opening(NamedTuple):
    """A transaction that has been begun."""

    partitions: asyncio.Task[None]
    """Adds the partitions that it will probably have."""
    group: asyncio.Task[None]
    """Adds the group of its offsets, after that: a coordinator that still writes down one of the two refuses the other."""


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
        self._opening: _Opening | None = None

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
            self._open({tp for step in self._recent for tp in step}, with_group=True)

    async def write(self, rows: Rows, offsets: Mapping[TP, int]) -> Written:
        """One transaction."""
        producer = self._producer
        assert producer is not None, "a writer is started before it writes"
        opening = self._opening or self._open(rows.keys(), with_group=bool(offsets))
        try:
            # The broker ends a transaction that is open longer, so an answer after that wouldn't matter.
            async with asyncio.timeout(self._timeout_seconds):
                committing = heard(asyncio.create_task(self._send_offsets(producer, opening, offsets)))
                await opening.partitions
                # What is ready to leave does so before the rows are encoded.
                await turns()
                sent = await send_rows(producer, rows, self._state_topic)
                # aiokafka commits a transaction even if a batch of it could not be sent: look at each.
                written = await written_of(sent)
                await committing
                await producer.commit_transaction()
        except Exception as error:
            raise translated(_objection(producer) or error) from error
        self._opening = None
        self._recent.append(rows.keys())
        return {tp: Span(first, after + 1) for tp, (first, after) in written.items()}

    async def _send_offsets(self, producer: AIOKafkaProducer, opening: _Opening, offsets: Mapping[TP, int]) -> None:
        await opening.group
        if offsets:
            committed = {TopicPartition(*tp): OffsetAndMetadata(at, self._mark) for tp, at in offsets.items()}
            await producer.send_offsets_to_transaction(committed, self._group)

    def _open(self, expected: Collection[tuple[str, int]], *, with_group: bool) -> _Opening:
        producer = self._producer
        assert producer is not None, "a writer is started before it writes"
        # `AIOKafkaProducer.begin_transaction` without its wait for a producer id, which is there since the start.
        producer._txn_manager.begin_transaction()  # noqa: SLF001
        tps = {TopicPartition(*tp) for tp in expected}
        partitions = heard(asyncio.create_task(self._add_partitions(producer, tps)))
        group = heard(asyncio.create_task(self._add_group(producer, partitions))) if with_group else partitions
        self._opening = _Opening(partitions, group)
        return self._opening

    async def _add_partitions(self, producer: AIOKafkaProducer, expected: set[TopicPartition]) -> None:
        """The partitions that will probably be written to. What is missing is added by the client."""
        manager, client = producer._txn_manager, producer._sender  # noqa: SLF001
        while expected and manager.is_in_transaction():
            node = await client._find_coordinator(CoordinationType.TRANSACTION, self.transactional_id)  # noqa: SLF001
            if await _Expected(client, expected).do(node):
                break
        await _while_open(manager)

    async def _add_group(self, producer: AIOKafkaProducer, partitions: asyncio.Task[None]) -> None:
        """The group whose offsets the transaction will commit."""
        manager = producer._txn_manager  # noqa: SLF001
        await partitions
        while manager.is_in_transaction():
            if await producer._sender._do_add_offsets_to_txn(self._group):  # noqa: SLF001
                break
        await _while_open(manager)

    async def close(self) -> None:
        """Disconnects. A transaction that was only prepared is left to the next owner's fence."""
        self._forget_opening()
        await stop_producer(self._producer, CLOSE_SECONDS)
        self._producer = None

    async def give_up(self) -> None:
        """Disconnects in the background: what this producer may still send is of a fenced epoch by then."""
        self._forget_opening()
        if self._producer is not None:
            _in_background(stop_producer(self._producer, None))
            self._producer = None

    def _forget_opening(self) -> None:
        if self._opening is not None:
            self._opening.group.cancel()
            self._opening.partitions.cancel()
            self._opening = None


async def _while_open(manager: Any) -> None:
    """Raises what the broker has against the transaction, if it has anything."""
    if not manager.is_in_transaction():
        await manager.wait_for_transaction_end()


class _Expected(AddPartitionsToTxnHandler):  # type: ignore[misc]
    """The client's request, for partitions to which nothing has been sent yet."""

    def handle_response(self, resp: Any) -> float | None:
        """Takes them for what they would be had something been sent; what has to be asked again is none of the client's business."""
        manager = self._sender._txn_manager  # noqa: SLF001
        if not manager.is_in_transaction():
            return None
        # Not by `maybe_add_partition_to_txn`: the client's own task would wake and ask for them, too.
        asked = set(self._tps) - manager.txn_partitions
        manager._pending_txn_partitions |= asked  # noqa: SLF001
        again = cast("float | None", super().handle_response(resp))
        if again is not None:
            manager._pending_txn_partitions -= asked  # noqa: SLF001
        return again


def _objection(producer: AIOKafkaProducer) -> BaseException | None:
    """What the broker has against the open transaction, if the client's own task has heard it.

    Whatever is asked of the client afterwards only says that there is no transaction: a fenced writer would look like a slow broker.
    """
    ending = producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001
    return ending.exception() if ending.done() and not ending.cancelled() else None


_background: set[asyncio.Task[None]] = set()


def _in_background(work: Any) -> None:
    task: asyncio.Task[None] = asyncio.ensure_future(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
