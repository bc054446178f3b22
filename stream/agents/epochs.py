"""Epochs: following the versions of what all partitions share, and, on one worker, making them.

Every worker reads the epochs topic from its beginning. The worker that has partition 0 of the contributions topic also
owns the making: it writes each version together with the offsets of the contributions that are in it, in one
transaction, fenced as ``<app id>-epochs``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from stream.agents.connection import reader_options, stop_reader
from stream.agents.inbox import Inbox
from stream.agents.ports import Core, Gauges, Owner
from stream.agents.positions import TopicEnds, start_positions
from stream.agents.restore import Progress, restore
from stream.agents.runner import Runner
from stream.agents.source import Source
from stream.agents.status import Doing
from stream.agents.topics import Layout
from stream.agents.transactions import TransactionalWriter
from stream.config import Settings

_RETRY_SECONDS = 1.0
_FIRST_POLL_MS, _POLL_MS = 50, 5_000

_log = logging.getLogger(__name__)


class Epochs(Protocol):
    """The versions that are known."""

    ready: asyncio.Event
    """Set when all that were published before the start have been read."""

    def latest(self) -> list[bytes]:
        """The latest version of each key, oldest first."""


class EpochFollower:
    """Reads the epochs topic, or another compacted one of one partition, for as long as the worker runs."""

    def __init__(self, settings: Settings, on_epoch: Callable[[bytes], None], topic: str = "") -> None:
        self.ready = asyncio.Event()
        self._settings = settings
        self._topic = topic or settings.topic_epochs
        self._on_epoch = on_epoch
        self._values = LatestLast()
        self._next = 0
        self._ending = asyncio.Event()

    def latest(self) -> list[bytes]:
        """The latest version of each key, oldest first."""
        return list(self._values.values())

    def by_key(self) -> dict[bytes, bytes]:
        """The latest version of each key."""
        return dict(self._values)

    def stop(self) -> None:
        """Ends `run` in good order."""
        self._ending.set()

    async def run(self) -> None:
        """Reads until told to stop."""
        while not self._ending.is_set():
            try:
                await self._follow()
            except (KafkaError, OSError) as error:
                _log.warning("%s can't be read (%r); trying again", self._topic, error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), _RETRY_SECONDS)

    async def _follow(self) -> None:
        tp = TopicPartition(self._topic, 0)
        # One partition, so a long poll holds nothing up; it is answered as soon as there is a version.
        consumer = AIOKafkaConsumer(**reader_options(self._settings) | {"fetch_max_wait_ms": _POLL_MS})
        try:
            await consumer.start()
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, max(self._next, (await consumer.beginning_offsets([tp]))[tp]))
            while not self._ending.is_set():
                self._next = await consumer.position(tp)
                if self._next >= end and not self.ready.is_set():
                    self.ready.set()
                    for value in self.latest():
                        self._on_epoch(value)
                # A poll that finds nothing but a transaction's marker, which is what the topic ends with, waits on.
                poll_ms = _POLL_MS if self.ready.is_set() else _FIRST_POLL_MS
                for record in await self._poll(consumer, tp, poll_ms):
                    if record.key is not None and record.value is not None:
                        self._values[record.key] = record.value
                        if self.ready.is_set():
                            self._on_epoch(record.value)
        finally:
            await stop_reader(consumer)

    async def _poll(self, consumer: AIOKafkaConsumer, tp: TopicPartition, poll_ms: int) -> list[Any]:
        """What has arrived, or nothing as soon as this is to end."""
        polling = asyncio.ensure_future(consumer.getmany(tp, timeout_ms=poll_ms))
        ending = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait({polling, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not polling.done():
            polling.cancel()
            return []
        return cast(list[Any], polling.result().get(tp, []))


class LatestLast(dict[bytes, bytes]):
    """A dict in which the key that was written last comes last, also if it was there before.

    >>> versions = LatestLast()
    >>> versions[b"a"] = b"1"; versions[b"b"] = b"2"; versions[b"a"] = b"3"
    >>> list(versions.values())
    [b'2', b'3']
    """

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.pop(key, None)
        super().__setitem__(key, value)


class OwnerRunner(Runner):
    """Claims and serves the making of epochs."""

    def __init__(
        self,
        settings: Settings,
        core: Core,
        layout: Layout,
        source: Source,
        *,
        gauges: Gauges,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        inbox = Inbox((settings.topic_contributions,), lambda record: record.offset)
        super().__init__("epochs", 0, source, inbox, on_fatal)
        self._settings = settings
        self._core = core
        self._layout = layout
        self._gauges = gauges
        self._ends = TopicEnds(settings)
        self._writer: TransactionalWriter | None = None
        self._owner: Owner | None = None
        self._committed: int | None = None

    async def _claim(self) -> None:
        settings = self._settings
        self.status.move(Doing.CLAIMING)
        self._writer = TransactionalWriter(settings, f"{settings.app_id}-epochs")
        await self._writer.start()
        self.status.move(Doing.RESTORING)
        self.status.progress = progress = Progress()
        versions = LatestLast()
        await restore(settings, settings.topic_epochs, 0, versions, progress, self.checkpoint)
        owner = self._core.owner(self._layout.partitions)
        if versions:
            owner.resume(list(versions.values())[-1])
        positions = await start_positions(settings, (settings.topic_contributions,), 0, {}, self._ends)
        self.inbox.start_at(positions)
        await self._ends.close()
        self._owner, self._committed = owner, None
        _log.info("epochs: this worker makes them now; contributions from %d on", next(iter(positions.values())))

    async def _step(self) -> bool:
        assert self._owner is not None and self._writer is not None, "a runner serves only what it has claimed"
        self.status.set_busy(len(self.inbox) > 0)
        batch = self.inbox.peek(self._settings.batch_records)
        if not batch.records:
            return False
        outcome = self._owner.apply(batch.records)
        safe = self._owner.safe_offset()
        if outcome.messages or safe != self._committed:
            tp = TP(self._settings.topic_contributions, 0)
            rows = self._layout.rows(0, {}, outcome.messages)
            await self._writer.write(rows, {} if safe is None else {tp: safe})
            self._committed = safe
        self.inbox.done(batch)
        self._source.open(0, self.inbox.newly_free())
        self.status.move(Doing.RUNNING)
        self._gauges.observe(outcome, partition=0)
        return True

    async def _close(self) -> None:
        writer, self._writer, self._owner = self._writer, None, None
        if writer is not None:
            await writer.close()
        await self._ends.close()

    async def _discard(self) -> None:
        writer, self._writer, self._owner = self._writer, None, None
        if writer is not None:
            await writer.give_up()
        await self._ends.close()
