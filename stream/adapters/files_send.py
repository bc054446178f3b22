"""Sending many records fast: one idempotent producer, whole batches per partition, acknowledged by all replicas.

A future per record costs more than reading and routing the record. So batches are built here and handed over whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from stream.errors import BrokerUnavailable, TopicError
from stream.events.hashing import owner_partition
from stream.events.record import Headers

BATCH_BYTES = 256 * 1024
"""Size of one batch. Larger: the broker's usual limit of 1 MiB comes near and slow brokers time out; smaller: more
requests for the same records."""
ALONE_BYTES = 128 * 1024
"""A larger record gets a batch of its own: when the broker refuses it for its size, nothing else is refused with it."""
OWNERS = 1_000_000
"""Customers whose partition is remembered (hashing a key costs more than sending it). About 100 MB when full."""

_NO_HEADERS: list[tuple[str, bytes]] = []

Where = tuple[str, int]


class BulkSender:
    """Use as an async context manager; `add` records, then `await flush()`: after it, they are on the broker.

    Records of one key keep their order. ``options`` are the arguments of every Kafka client (address, security).
    ``on_refused`` is told (topic, bytes) of each record that the broker finds too large.
    """

    def __init__(self, options: Mapping[str, Any], on_refused: Callable[[str, int], None] | None = None) -> None:
        self._options = dict(options)
        self._on_refused = on_refused
        self._producer: AIOKafkaProducer | None = None
        self._open: dict[Where, BatchBuilder] = {}
        self._full: dict[Where, list[tuple[BatchBuilder, int]]] = {}
        self._partitions: dict[str, int] = {}
        self._owners: dict[tuple[int, bytes], int] = {}
        self._sending: asyncio.Task[None] | None = None
        self._keyless = 0
        self._now_ms = 0

    async def __aenter__(self) -> Self:
        producer = AIOKafkaProducer(
            **self._options, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES, max_request_size=8 << 20
        )
        try:
            await producer.start()
        except KafkaConnectionError as error:
            await producer.stop()
            raise BrokerUnavailable(f"no Kafka broker answers at {self._options['bootstrap_servers']}") from error
        self._producer = producer
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sending is not None:
            self._sending.cancel()
        await self._client.stop()

    @property
    def _client(self) -> AIOKafkaProducer:
        assert self._producer is not None, "use `async with`"
        return self._producer

    async def open_topics(self, topics: Sequence[str]) -> None:
        """Learn how many partitions the topics have; before the first `add`. Raises `TopicError` for missing ones."""
        for topic in topics:
            if topic in self._partitions:
                continue
            try:
                found = await self._client.partitions_for(topic)
            except KafkaError as error:
                raise TopicError(f"topic {topic}: {error}") from error
            if not found:
                raise TopicError(f"topic {topic} doesn't exist")
            self._partitions[topic] = len(found)
        self._now_ms = int(time.time() * 1000)

    async def cluster_id(self) -> str:
        """The cluster's own id: what was sent to another cluster was not sent to this one."""
        admin = AIOKafkaAdminClient(**self._options)
        await admin.start()
        try:
            return str((await admin.describe_cluster())["cluster_id"])
        finally:
            await admin.close()

    async def written(self, topics: Sequence[str]) -> int:
        """How many records were ever written to the opened topics, by their end offsets."""
        consumer = AIOKafkaConsumer(**self._options, group_id=None)
        await consumer.start()
        try:
            places = [TopicPartition(topic, n) for topic in topics for n in range(self._partitions[topic])]
            return sum((await consumer.end_offsets(places)).values())
        finally:
            await consumer.stop()

    def partitions(self, topic: str) -> int:
        """Number of partitions of an opened topic."""
        return self._partitions[topic]

    def add(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), to: int | None = None
    ) -> None:
        """Put a record into a partition's batch: by key as Java's producer does, in turn without one, or ``to`` one."""
        if to is None:
            to = self._owner(topic, key)
        where = (topic, to)
        listed = list(headers) if headers else _NO_HEADERS
        alone = value is not None and len(value) > ALONE_BYTES
        builder = self._open.get(where)
        if builder is None or alone:
            builder = self._begin(where)
        if builder.append(timestamp=self._now_ms, key=key, value=value, headers=listed) is None:
            builder = self._begin(where)
            builder.append(timestamp=self._now_ms, key=key, value=value, headers=listed)
        if alone:
            self._end(where, len(value or b""))

    async def hand_over(self) -> None:
        """Let full batches go; waits while the ones handed over before are still on their way out."""
        if self._full:
            await self._settle()
            full, self._full = self._full, {}
            self._sending = asyncio.create_task(self._send_all(full))
            # One turn of the loop, so that requests leave while the caller prepares more.
            await asyncio.sleep(0)
        self._now_ms = int(time.time() * 1000)

    async def push(self) -> None:
        """Let everything added go; what was pushed before is acknowledged when this returns."""
        for where in list(self._open):
            self._end(where)
        await self._settle()
        await self.hand_over()

    async def flush(self) -> None:
        """Wait until everything added is acknowledged.

        Raises `BrokerUnavailable` when it can't be; of what was added since the last flush, nothing is sure then.
        """
        await self.push()
        await self._settle()

    async def _settle(self) -> None:
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await sending

    def _begin(self, where: Where) -> BatchBuilder:
        self._end(where)
        builder = self._open[where] = self._client.create_batch()
        return builder

    def _end(self, where: Where, alone_bytes: int = 0) -> None:
        builder = self._open.pop(where, None)
        if builder is not None and builder.record_count():
            builder.close()
            self._full.setdefault(where, []).append((builder, alone_bytes))

    def _owner(self, topic: str, key: bytes | None) -> int:
        partitions = self._partitions[topic]
        if key is None:
            self._keyless += 1
            return self._keyless % partitions
        owner = self._owners.get((partitions, key))
        if owner is None:
            if len(self._owners) >= OWNERS:
                self._owners.clear()
            owner = self._owners[(partitions, key)] = owner_partition(key, partitions)
        return owner

    async def _send_all(self, full: dict[Where, list[tuple[BatchBuilder, int]]]) -> None:
        await asyncio.gather(*(self._send(where, batches) for where, batches in full.items()))

    async def _send(self, where: Where, batches: list[tuple[BatchBuilder, int]]) -> None:
        topic, partition = where
        try:
            waiting = [
                (await self._client.send_batch(builder, topic, partition=partition), alone)
                for builder, alone in batches
            ]
            for acknowledged, alone in waiting:
                try:
                    await acknowledged
                except MessageSizeTooLargeError:
                    if not alone or self._on_refused is None:
                        raise
                    self._on_refused(topic, alone)
        except KafkaError as error:
            raise BrokerUnavailable(f"{topic}, partition {partition}: {error!r}") from error
