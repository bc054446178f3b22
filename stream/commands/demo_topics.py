"""The topics of the demo: made before the worker starts, and read beside it, committed records only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.agents.connection import client_options, reader_options
from stream.agents.topics import Layout, ensure_topics
from stream.config import Settings

Taker = Callable[[Any], None]
"""Takes one consumer record."""

_POLL_MS = 200
_MOST_RECORDS = 2_000
"""Records between two turns of the event loop. More: the view stands still meanwhile; fewer: more overhead a record."""


async def make_topics(settings: Settings) -> Layout:
    """Creates what is missing, as the worker does, and returns what there is."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        return await ensure_topics(admin, settings)
    finally:
        await admin.close()


class TopicReader:
    """Hands every committed record of some topics to its taker, each once. Use as an async context manager."""

    def __init__(self, layout: Layout, takers: Mapping[str, Taker]) -> None:
        self._takers = dict(takers)
        self._consumer = AIOKafkaConsumer(**reader_options(layout.settings))
        self._places = [TopicPartition(name, n) for name in takers for n in range(layout.counts[name])]

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._places)
        for place in self._places:
            self._consumer.seek(place, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        # With the broker gone, the client hands on the cancellation of its own tasks.
        with contextlib.suppress(asyncio.CancelledError):
            await self._consumer.stop()

    async def run(self) -> None:
        """Reads until cancelled."""
        while True:
            await self._take()

    async def finish(self) -> None:
        """Reads up to what is committed now."""
        ends = await self._consumer.end_offsets(self._places)
        while any([await self._consumer.position(place) < end for place, end in ends.items()]):
            await self._take()

    async def _take(self) -> None:
        found = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_MOST_RECORDS)
        for place, records in found.items():
            take = self._takers[place.topic]
            for record in records:
                take(record)
