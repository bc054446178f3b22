"""Sends the load and knows what arrived: an idempotent producer, and whatever it gave up on is sent again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream.agents.connection import client_options
from stream.config import Settings
from stream.events.hashing import owner_partition
from tests.bench._crash.shop import Sent, Shop

_SLICE_SECONDS = 0.05
_MOST_WAITING = 1_000
"""Records that may wait for brokers that are away. More: whenever one leaves, the client wakes them all, and thousands keep it
busy with nothing else for minutes."""
_LAST_SECONDS = 120.0
"""How long the last records of a round may take to arrive. Only brokers that stay away take so long."""


class Feed:
    """Writes the shop's records to the input topics."""

    def __init__(self, settings: Settings, shop: Shop, chance: random.Random, rate: float) -> None:
        self._settings = settings
        self._shop = shop
        self._chance = chance
        self._rate = rate
        self._waiting: set[asyncio.Task[None]] = set()
        self.sent: Counter[bytes] = Counter()
        """Value → how often it was sent and acknowledged."""

    async def __aenter__(self) -> Self:
        # Long: a broker that is away for a round must not make the feed lose count.
        options = client_options(self._settings) | {"enable_idempotence": True, "request_timeout_ms": 120_000}
        self._producer = AIOKafkaProducer(**options, linger_ms=5)
        await self._producer.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._waiting:
            task.cancel()
        await self._producer.stop()

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Load for as long as the block lasts; when it ends, all of it has arrived."""
        flow = asyncio.create_task(self._flow())
        try:
            yield
        finally:
            flow.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flow
            if self._waiting:
                await asyncio.wait(self._waiting, timeout=_LAST_SECONDS)

    async def _flow(self) -> None:
        clock = asyncio.get_running_loop().time
        began, number = clock(), 0
        while True:
            while number < (clock() - began) * self._rate and len(self._waiting) < _MOST_WAITING:
                number += 1
                task = asyncio.create_task(self._send(self._shop.next()))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
            await asyncio.sleep(_SLICE_SECONDS)

    async def _send(self, sent: Sent) -> None:
        settings = self._settings
        topic = getattr(settings, f"topic_{sent.topic}")
        partition = owner_partition(sent.key, settings.partitions)
        if sent.stray:
            partition = (partition + 1) % settings.partitions
        while True:
            try:
                await self._producer.send_and_wait(topic, sent.value, key=sent.key, partition=partition)
            except KafkaError:
                # It may have arrived all the same: then it is there twice, which is one of the things to get right.
                await asyncio.sleep(0.1)
            else:
                self.sent[sent.value] += 1
                self._shop.arrived(sent)
                return
