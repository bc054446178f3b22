"""Reading a compacted topic's partition into memory, in bulk and committed records only.

Faust's own table recovery is not used: it waits for an offset that may be a transaction's marker, which no consumer ever
returns, and so never ends; and it reads uncommitted records, which lets an aborted batch into the state. Here the end
is reached when the consumer's *position* is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.agents.connection import reader_options
from stream.config import Settings
from stream.errors import TransientError

_CHUNK_RECORDS = 5_000
"""Records between two looks at the rest of the worker: some 25 ms in which nothing else runs."""

_POLL_MS = 50
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
    began = last_move = time.monotonic()
    consumer = AIOKafkaConsumer(**reader_options(settings))
    try:
        await consumer.start()
        consumer.assign([tp])
        progress.end = (await consumer.end_offsets([tp]))[tp]
        progress.start = progress.position = (await consumer.beginning_offsets([tp]))[tp]
        consumer.seek(tp, progress.start)
        while progress.position < progress.end:
            for record in await _next(consumer, tp):
                progress.records += 1
                if record.key is None:
                    continue
                if record.value is None:
                    store.pop(record.key, None)
                else:
                    store[record.key] = record.value
            position = await consumer.position(tp)
            now = time.monotonic()
            if position != progress.position:
                progress.position, last_move = position, now
            elif now - last_move > _STALL_SECONDS:
                raise TransientError(f"{topic}[{partition}] stands still at {position} of {progress.end}")
            progress.seconds = now - began
            on_progress()
    finally:
        await consumer.stop()
    progress.seconds = time.monotonic() - began


async def _next(consumer: AIOKafkaConsumer, tp: TopicPartition) -> list[Any]:
    found: dict[TopicPartition, list[Any]] = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_CHUNK_RECORDS)
    return found.get(tp, [])
