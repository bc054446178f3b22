"""From what the Kafka client has fetched to records of ours, a whole record batch at a time.

aiokafka makes an object of its own for every record, in Python, of which we would make another one. Its parsed batches
are C, so reading them directly costs a third. What decides which records count is the client's as before: the check of
each batch's CRC, the list of aborted transactions, the offsets that markers and compaction leave out, and the position.

Holds for aiokafka 0.14.0: ``tests/agents/test_internals.py`` fails when what is used here changes, and
``tests/agents/test_fetched.py`` compares the result with the client's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException

from stream.events.record import Record

Fetched = dict[TopicPartition, list[Record]]
"""Records by topic-partition, each list in the order of offsets."""


async def fetched(consumer: AIOKafkaConsumer, tps: Collection[TopicPartition], seconds: float, most: int) -> Fetched:
    """What `AIOKafkaConsumer.getmany` would return, as our records; at least ``most`` of them if there are so many.

    Waits for the first fetch that arrives, at most so long. Between taking the records and returning there is no await.

    Raises:
        KafkaError: of the group or of one of these partitions. Nothing was taken then.
    """
    if consumer._closed:  # noqa: SLF001
        raise ConsumerStoppedError
    consumer._coordinator.check_errors()  # noqa: SLF001
    fetcher, subscription = consumer._fetcher, consumer._subscription  # noqa: SLF001
    with subscription.fetch_context():
        if subscription.reassignment_in_progress:
            await subscription.wait_for_assignment()
        found = _take(fetcher, tps, most)
        if found:
            return found
        waiter = fetcher._create_fetch_waiter()  # noqa: SLF001
        await asyncio.wait([waiter], timeout=seconds)
        if not waiter.done():
            waiter.cancel()
            return {}
        waiter.result()  # errors of the group
        return {} if subscription.reassignment_in_progress else _take(fetcher, tps, most)


def holds_any(consumer: AIOKafkaConsumer) -> bool:
    """Whether records have been fetched that nobody has taken."""
    return bool(consumer._fetcher._records)  # noqa: SLF001


def set_wait(consumer: AIOKafkaConsumer, wait_ms: int) -> None:
    """How long the broker may wait with its answer to the next requests if there is nothing new."""
    consumer._fetcher._fetch_max_wait_ms = wait_ms  # noqa: SLF001


def stop_waiting(consumer: AIOKafkaConsumer) -> None:
    """Ends a `fetched` that waits."""
    for waiter in list(consumer._fetcher._fetch_waiters):  # noqa: SLF001
        consumer._fetcher._notify(waiter)  # noqa: SLF001


def _take(fetcher: Any, tps: Collection[TopicPartition], most: int) -> Fetched:
    waiting = fetcher._records  # noqa: SLF001
    here = [tp for tp in tps if tp in waiting]
    for tp in here:
        if not isinstance(waiting[tp], FetchResult):
            error = waiting.pop(tp)
            _go_on(fetcher)
            error.check_raise()
    found: Fetched = {}
    for tp in here:
        result: FetchResult = waiting[tp]
        if result.check_assignment(tp) and result.has_more():
            part = result._partition_records  # noqa: SLF001
            try:
                records, more = unpack(part, most)
            except CorruptRecordException:
                if found:
                    # It is fetched again, and then it is the first.
                    del waiting[tp]
                    continue
                del waiting[tp]
                _go_on(fetcher)
                raise
            result._update_position()  # noqa: SLF001
            if records:
                found[tp] = records
                most -= len(records)
            if more:
                if most <= 0:
                    break
                continue
        del waiting[tp]
        if most <= 0:
            break
    _go_on(fetcher)
    return found


def _go_on(fetcher: Any) -> None:
    """Lets the client fetch what is not waiting any more."""
    fetcher._notify(fetcher._wait_consume_future)  # noqa: SLF001


def unpack(part: PartitionRecords, most: int) -> tuple[list[Record], bool]:
    """The committed records of one partition's fetch, whole batches up to at least ``most``; and if there may be more.

    Raises:
        CorruptRecordException: the first batch has not the bytes that were written.
    """
    topic, partition = part._tp  # noqa: SLF001
    batches, found = part._records, list[Record]()  # noqa: SLF001
    # The client's own iterator is not used, and holds the fetched bytes in a cycle.
    part._records_iterator = None  # noqa: SLF001
    while batches.has_next():
        if len(found) >= most:
            return found, True
        batch = batches.next_batch()
        if not batch.validate_crc():
            if found:
                return found, False
            raise CorruptRecordException(f"invalid CRC in {topic}[{partition}] at {part.next_fetch_offset}")
        if not _is_void(part, batch):
            records = [
                Record(
                    topic,
                    partition,
                    row.offset,
                    -1 if (at := row.timestamp) is None else at,
                    row.key,
                    row.value,
                    tuple(headers) if (headers := row.headers) else (),
                )
                for row in batch
            ]
            if records and records[0].offset < part.next_fetch_offset:
                # The position is in the middle of the batch.
                records = [record for record in records if record.offset >= part.next_fetch_offset]
            found += records
        # Of the batch, not of its last record, which compaction may have removed.
        part.next_fetch_offset = batch.next_offset
    return found, False


def _is_void(part: PartitionRecords, batch: Any) -> bool:
    """Whether a batch is of an aborted transaction, or a marker."""
    if batch.producer_id is not None:
        aborted = part._aborted_producers  # noqa: SLF001
        part._consume_aborted_up_to(batch.base_offset)  # noqa: SLF001
        if batch.is_control_batch and part._contains_abort_marker(batch):  # noqa: SLF001
            aborted.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in aborted:
            return True
    return bool(batch.is_control_batch)
