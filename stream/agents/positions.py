"""Where a partition's processing goes on: the group's committed offsets, checked against what the topics hold."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.agents.connection import client_options, reader_options, stop_reader
from stream.agents.topic_ids import recreated, recreated_error
from stream.config import Settings
from stream.errors import TopicError, TransientError

_NO_IDS: Mapping[str, str] = MappingProxyType({})

_log = logging.getLogger(__name__)


async def start_positions(
    settings: Settings,
    topics: Iterable[str],
    partition: int,
    applied: Mapping[str, int],
    reader: TopicEnds,
    ids: Mapping[str, str] = _NO_IDS,
) -> dict[str, int]:
    """By topic, the offset of the first record that has not been applied.

    Call it only after the partition's transactional producer was started: until then the last transaction of the former
    owner may be undecided, and the offset fetch doesn't say so.

    Args:
        applied: last applied offset by topic as the restored state has it.
        ids: the topics' ids, as far as they are known.

    Raises:
        TopicError: a topic was deleted and made again: it has another id, or ends before what the state has applied.
        TransientError: the group's coordinator isn't ready.
    """
    tps = [TopicPartition(topic, partition) for topic in topics]
    found = await _committed(settings, tps)
    committed = {tp: found[tp].offset for tp in tps}
    for at in found.values():
        if gone := recreated(at.metadata, ids):
            raise recreated_error(gone, settings.app_id)
    beginnings, ends = await reader.beginnings(tps), await reader.ends(tps)
    positions = {}
    for tp in tps:
        known = max(committed[tp], applied.get(tp.topic, -1) + 1)
        if known > ends[tp]:
            raise TopicError(
                f"{tp.topic}[{partition}] ends at offset {ends[tp]}, but the state of {settings.app_id!r} has applied "
                f"it up to {known}: the topic was deleted and made again.\n"
                "  - to keep the state and take the new topic from its start, give the topic another name; to begin "
                "anew, use another --app-id"
            )
        at = committed[tp] if committed[tp] >= 0 else beginnings[tp]
        if at < beginnings[tp]:
            _log.error(
                "%s[%d]: offsets %d to %d were deleted by the topic's retention before they were processed; "
                "raise retention.ms above the longest outage",
                tp.topic, partition, at, beginnings[tp] - 1,
            )  # fmt: skip
            at = beginnings[tp]
        positions[tp.topic] = at
    return positions


class TopicEnds:
    """Looks up the ends of topics, over a connection of its own that it keeps."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: AIOKafkaConsumer | None = None

    async def beginnings(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """First offset of each partition."""
        found: dict[TopicPartition, int] = await (await self._connected()).beginning_offsets(tps)
        return found

    async def ends(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """End of what is committed in each partition."""
        found: dict[TopicPartition, int] = await (await self._connected()).end_offsets(tps)
        return found

    async def close(self) -> None:
        """Disconnects."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await stop_reader(reader)

    async def _connected(self) -> AIOKafkaConsumer:
        if self._reader is None:
            self._reader = AIOKafkaConsumer(**reader_options(self._settings))
            try:
                await self._reader.start()
            except BaseException:
                await self.close()
                raise
        return self._reader


async def _committed(settings: Settings, tps: list[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
            settings.app_id, partitions=tps
        )
    finally:
        await admin.close()
    # A coordinator that is still loading answers with nothing, which must not be taken for "never committed".
    if not all(tp in found for tp in tps):
        raise TransientError("the group's coordinator does not know its offsets yet")
    return found
