"""Looks decisions and versions up on the topics that they were published on, as a reader of committed records sees them."""

from __future__ import annotations

from collections.abc import Callable

from aiokafka import TopicPartition

from stream.agents.connection import start_reader, stop_reader
from stream.config import Settings
from stream.errors import TopicError
from stream.events.hashing import owner_partition

_WAIT_MS = 200


async def find_decisions(
    settings: Settings, action_id: str, customer_id: str = "", tell: Callable[[int, int], None] = lambda read, of: None
) -> list[bytes]:
    """Every record of an action id, of actions and suppressions, by time.

    All partitions are read from their beginning, or only the customer's when it is known. ``tell`` hears how many of how many
    offsets are done.

    Raises:
        BrokerUnavailable: no broker answers.
        TopicError: a topic doesn't exist.
    """
    wanted = action_id.encode()
    found: list[tuple[bytes, bytes]] = []
    reader = await start_reader(settings)
    try:
        tps = []
        known = await reader.topics()
        for topic in (settings.topic_actions, settings.topic_suppressions):
            if topic not in known:
                raise TopicError(f"{topic} doesn't exist on {settings.broker}")
            numbers = sorted(reader.partitions_for_topic(topic) or await reader._client._wait_on_metadata(topic))  # noqa: SLF001
            if customer_id:
                numbers = [owner_partition(customer_id.encode(), len(numbers))]
            tps += [TopicPartition(topic, number) for number in numbers]
        reader.assign(tps)
        begins, ends = await reader.beginning_offsets(tps), await reader.end_offsets(tps)
        for tp in tps:
            reader.seek(tp, begins[tp])
        total = sum(ends[tp] - begins[tp] for tp in tps)
        while left := [tp for tp in tps if await reader.position(tp) < ends[tp]]:
            for records in (await reader.getmany(*left, timeout_ms=_WAIT_MS)).values():
                for record in records:
                    headers = dict(record.headers)
                    if headers.get("ce_id") == wanted and record.value:
                        found.append((headers.get("ce_time", b""), record.value))
            tell(sum([await reader.position(tp) - begins[tp] for tp in tps]), total)
    finally:
        await stop_reader(reader)
    return [value for _, value in sorted(found)]


async def latest_epoch(settings: Settings) -> bytes | None:
    """The newest version on the epochs topic, for whoever only wants to look; ``None`` before the first full day.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    tp = TopicPartition(settings.topic_epochs, 0)
    reader = await start_reader(settings)
    value: bytes | None = None
    try:
        if settings.topic_epochs in await reader.topics():
            reader.assign([tp])
            end = (await reader.end_offsets([tp]))[tp]
            reader.seek(tp, (await reader.beginning_offsets([tp]))[tp])
            while await reader.position(tp) < end:
                for records in (await reader.getmany(tp, timeout_ms=_WAIT_MS)).values():
                    value = records[-1].value or value
    finally:
        await stop_reader(reader)
    return value
