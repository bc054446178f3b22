"""Topics of the benchmarks: made, filled fast, read, and how far a consumer group has got."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError, for_code
from aiokafka.producer.message_accumulator import BatchBuilder

from stream.events.hashing import owner_partition
from tests.bench._program import PROGRAM_CORE, BenchFailed, on_core

PARTITIONS = 4
_BATCH_BYTES = 256 * 1024
"""Of a record batch of the load. Smaller: filling takes longer; larger than 1 MB: topics don't take it."""
_OPEN_BATCHES = 16
"""Batches under way while filling. More: memory; fewer: the broker waits for us."""
_LEADER_POLL_SECONDS = 0.1


@contextlib.asynccontextmanager
async def administrator(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics and committed offsets."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def create_topics(
    bootstrap: str, names: Iterable[str], partitions: int = PARTITIONS, config: Mapping[str, str] | None = None
) -> None:
    """Makes topics that aren't there yet."""
    wanted = [NewTopic(name, partitions, 1, topic_configs=dict(config or {})) for name in names]
    async with administrator(bootstrap) as admin:
        for name, code, *text in (await admin.create_topics(wanted)).topic_errors:
            if code:
                raise BenchFailed(f"topic {name}: {for_code(code).__name__} {text}")
        while any(  # noqa: ASYNC110  nothing announces a leader but the metadata
            topic["error_code"] or any(partition["leader"] < 0 for partition in topic["partitions"])
            for topic in await admin.describe_topics([topic.name for topic in wanted])
        ):
            await asyncio.sleep(_LEADER_POLL_SECONDS)


async def delete_topics(bootstrap: str, mark: str) -> None:
    """Deletes all topics that have this in their names, to give the disk back (the broker does it within a minute or two)."""
    async with administrator(bootstrap) as admin:
        if names := [name for name in await admin.list_topics() if mark in name]:
            await admin.delete_topics(names)


async def fill(
    bootstrap: str,
    rows: Iterable[tuple[str, bytes, bytes]],
    *,
    partitions: int = PARTITIONS,
    timestamp_ms: int | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Writes (topic, key, value) rows in ready-made batches, each to the partition that owns its key; says how many.

    Args:
        bootstrap: the broker.
        rows: what to write; the topics must exist.
        partitions: of each topic.
        timestamp_ms: of all records; None: the time of writing.
        progress: called with the number of rows now and then.
    """
    owners: dict[bytes, int] = {}
    filling: dict[tuple[str, int], BatchBuilder] = {}
    under_way: set[asyncio.Future[Any]] = set()
    count = 0
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(on_core(PROGRAM_CORE))  # nothing is measured yet, and the broker has enough to do
        producer = await stack.enter_async_context(
            AIOKafkaProducer(
                bootstrap_servers=bootstrap,
                max_batch_size=_BATCH_BYTES,
                max_request_size=8 * _BATCH_BYTES,
                enable_idempotence=True,  # a batch that is sent again must not be there twice
            )
        )

        async def send(at: tuple[str, int], batch: BatchBuilder) -> None:
            batch.close()
            under_way.add(await producer.send_batch(batch, at[0], partition=at[1]))
            while len(under_way) > _OPEN_BATCHES:
                done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                under_way.difference_update(done)
                for sent in done:
                    sent.result()

        for topic, key, value in rows:
            owner = owners.get(key)
            if owner is None:
                owner = owners[key] = owner_partition(key, partitions)
            at = (topic, owner)
            batch = filling.get(at)
            if batch is None or batch.append(timestamp=timestamp_ms, key=key, value=value) is None:
                if batch is not None:
                    await send(at, batch)
                    progress(count)
                filling[at] = batch = producer.create_batch()
                batch.append(timestamp=timestamp_ms, key=key, value=value)
            count += 1
        for at, batch in filling.items():
            await send(at, batch)
        await asyncio.gather(*under_way)
    return count


async def committed_records(bootstrap: str, topic: str) -> AsyncIterator[ConsumerRecord]:
    """All records of a topic that a reader of committed records sees, up to its present end."""
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False,
        auto_offset_reset="earliest", fetch_max_wait_ms=100,
    ) as reader:  # fmt: skip
        numbers = await reader._client._wait_on_metadata(topic)
        tps = [TopicPartition(topic, number) for number in sorted(numbers)]
        reader.assign(tps)
        ends = await reader.end_offsets(tps)
        for tp in tps:
            reader.seek(tp, 0)
        while [tp for tp in tps if await reader.position(tp) < ends[tp]]:
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    yield record


async def committed_offsets(admin: AIOKafkaAdminClient, group: str, topics: Iterable[str]) -> int:
    """Records of these topics that a consumer group has committed (they hold no transaction markers: one writer, no transactions)."""
    wanted = set(topics)
    try:
        found = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:
        return 0  # a new broker has no coordinator before the first group asks for one
    return sum(max(at.offset, 0) for tp, at in found.items() if tp.topic in wanted)
