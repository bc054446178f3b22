"""Offsets of at-least-once delivery: committed for all partitions together and now and then, not with every batch.

What a committed offset saves is work, not correctness: records carry the offsets that are applied in them, so a batch that
is applied again changes nothing. A commit with every batch was most of the latency (a round trip through the consumer's
thread, one after the other for all partitions). With transactions there is nothing of this: offsets are part of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiokafka.errors import KafkaError
from faust.types import TP

COMMIT_SECONDS = 0.2
"""Between two commits. Longer: a killed worker's successor reads so much more again; shorter: it costs a request more often,
which the consumer's thread has no time for under load."""

_log = logging.getLogger(__name__)


class LateCommits:
    """What is applied and acknowledged, and not committed yet."""

    def __init__(self, commit: Callable[[Mapping[TP, int]], Awaitable[None]]) -> None:
        self._commit = commit
        self._noted: dict[TP, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._troubled = False

    def note(self, offsets: Mapping[TP, int]) -> None:
        """These are to be committed soon; later ones of the same partitions replace them."""
        self._noted.update(offsets)
        if self._noted and self._task is None:
            self._task = asyncio.create_task(self._soon())

    async def flush(self, seconds: float) -> None:
        """Commits what is noted, and forgets it if that fails or takes longer: others may have the partitions then."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        noted, self._noted = self._noted, {}
        if noted:
            try:
                await asyncio.wait_for(self._commit(noted), seconds)
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("offsets could not be committed (%r); some records will be read again", error)

    async def _soon(self) -> None:
        while self._noted:
            await asyncio.sleep(COMMIT_SECONDS)
            noted = dict(self._noted)
            try:
                await self._commit(noted)
            except (KafkaError, OSError) as error:
                if not self._troubled:
                    _log.warning("offsets could not be committed (%r); trying again", error)
                self._troubled = True
                continue
            self._troubled = False
            self._noted = {tp: at for tp, at in self._noted.items() if noted.get(tp) != at}
        self._task = None
