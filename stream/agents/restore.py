"""Reading a compacted topic's partition into memory, in bulk and committed records only.

Faust's own table recovery is not used: it waits for an offset that may be a transaction's marker, which no consumer ever
returns, and so never ends; and it reads uncommitted records, which lets an aborted batch into the state. Here the end
is reached when the consumer's *position* is there.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import AsyncIterator, Callable, MutableMapping

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.agents.connection import reader_options, stop_reader
from stream.agents.fetched import fetched
from stream.agents.store import Store, open_store
from stream.agents.store_disk import Owner
from stream.agents.topic_ids import topic_facts
from stream.config import Settings
from stream.errors import TransientError

_CHUNK_RECORDS = 5_000
"""Records between two looks at the rest of the worker: some 15 ms in which nothing else runs."""

_POLL_SECONDS = 0.05
"""Longest wait of one poll. A changelog ends with a transaction's marker, for which a poll waits in vain: so long is what
the end of a restore costs. Shorter would ask more often while the broker reads from disk."""

_STALL_SECONDS = 90.0
"""No progress for so long ends the attempt. It must be longer than the broker's longest transaction (60 s by default):
until an abandoned transaction of somebody else times out, a committed read stands still rightly."""


class Progress(msgspec.Struct):
    """How far a restore is."""

    start: int = 0
    position: int = 0
    end: int = 0
    records: int = 0
    loaded: int = 0
    """Customers that were on disk."""
    seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """Part that is done, 0 to 1.

        >>> Progress(start=100, position=150, end=200).ratio, Progress().ratio
        (0.5, 1.0)
        """
        return (self.position - self.start) / (self.end - self.start) if self.end > self.start else 1.0


async def restore(
    settings: Settings,
    topic: str,
    partition: int,
    store: MutableMapping[bytes, bytes],
    progress: Progress,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Fills ``store`` with the latest committed value of every key of the partition; tombstones remove their key."""
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(**reader_options(settings))
    try:
        await consumer.start()
        start, end = await _range(consumer, tp)
        async for changed in _changes(consumer, tp, start, end, progress, on_progress):
            for key, value in changed.items():
                if value is None:
                    store.pop(key, None)
                else:
                    store[key] = value
    finally:
        await stop_reader(consumer)


async def restore_store(
    settings: Settings,
    topic: str,
    partition: int,
    partitions: int,
    progress: Progress,
    on_progress: Callable[[], None],
) -> Store:
    """The store of a partition as the changelog has it: what its disk has, and from there on what the changelog has."""
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(**reader_options(settings))
    store: Store | None = None
    try:
        await consumer.start()
        began = time.monotonic()
        start, end = await _range(consumer, tp)
        facts = await topic_facts(consumer._client, [topic]) if settings.state_dir else {}  # noqa: SLF001
        name = facts[topic].id if topic in facts else ""
        owner = Owner(settings.app_id, topic, name, partition, partitions)
        store = await open_store(settings, owner, beginning=start, end=end)
        progress.loaded = len(store) if isinstance(store, dict) else 0
        async for changed in _changes(consumer, tp, store.position, end, progress, on_progress):
            store.put(changed, progress.position)
            await store.room()
        await store.settle()
        progress.seconds = time.monotonic() - began
    except BaseException:
        if store is not None:
            await store.close()
        raise
    finally:
        await stop_reader(consumer)
    await asyncio.to_thread(_give_back)
    return store


def _give_back() -> None:
    """Asks the C library to return what a restore leaves behind (buffers, and what RocksDB wrote out) to the system.

    It keeps free memory in an arena for each thread: 100 to 200 MiB after 300,000 customers, and 0.1 s to give back.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc's
        trim(0)


async def _range(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """First offset, and the one after the last committed record."""
    return (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]


async def _changes(
    consumer: AIOKafkaConsumer,
    tp: TopicPartition,
    start: int,
    end: int,
    progress: Progress,
    on_progress: Callable[[], None],
) -> AsyncIterator[dict[bytes, bytes | None]]:
    """The latest value of each key, chunk by chunk; ``progress`` is already past a chunk when it comes."""
    began = last_move = time.monotonic()
    consumer.assign([tp])
    consumer.seek(tp, start)
    progress.start = progress.position = start
    progress.end = end
    while progress.position < end:
        records = (await fetched(consumer, [tp], _POLL_SECONDS, _CHUNK_RECORDS)).get(tp, [])
        progress.records += len(records)
        position, now = await consumer.position(tp), time.monotonic()
        if position != progress.position:
            progress.position, last_move = position, now
        elif now - last_move > _STALL_SECONDS:
            raise TransientError(f"{tp.topic}[{tp.partition}] stands still at {position} of {end}")
        yield {record.key: record.value for record in records if record.key is not None}
        progress.seconds = now - began
        on_progress()
