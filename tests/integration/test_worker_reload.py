"""Rules change while events stream through two workers on a real broker: nothing lost, doubled or decided by two versions."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Self

import msgspec
import orjson
from aiokafka import AIOKafkaProducer

from stream.adapters.broker import EmbeddedBroker
from stream.adapters.clock import WallClock
from stream.agents.connection import client_options
from stream.agents.publishing import read_published
from stream.app import WinbackApp
from stream.config import Settings
from stream.events.hashing import owner_partition
from stream.events.instants import to_text
from stream.governance.checks import PAUSE_RETRY_MS
from stream.testing import message
from stream.worker import running_worker
from tests.agents.harness import committed, consumed, make_topics, settings_for, until

RULE = """\
id: thanks
version: {version}
description: Thank everybody.
when: {{event: purchase}}
if: customer.recency_days >= 0
then: {{action: care, channel: app, template: thanks-{version}}}
priority: 50
expires_after: 1d
cap: false
quiet_hours: false
"""


class Ahead(WallClock):
    """A wall clock that can be put forward."""

    ahead_ms = 0

    def now_ms(self) -> int:
        """Now, and so much."""
        return super().now_ms() + self.ahead_ms


class Orders:
    """Purchases that never stop while the block runs."""

    def __init__(self, settings: Settings) -> None:
        self.sent: list[str] = []
        self._settings = settings
        self._ending = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await self._task

    async def _run(self) -> None:
        async with AIOKafkaProducer(**client_options(self._settings)) as producer:
            while not self._ending.is_set():
                number = len(self.sent)
                customer, order = f"c{number % 97}", f"o{number}"
                body = message(
                    "Order Completed",
                    customer,
                    to_text(WallClock().now_ms()),
                    message_id=order,
                    order_id=order,
                    revenue=9.0,
                )
                at = owner_partition(customer.encode(), self._settings.partitions)
                await producer.send_and_wait(
                    self._settings.topic_purchases, orjson.dumps(body), key=customer.encode(), partition=at
                )
                self.sent.append(order)

    async def more(self, number: int, shells: list[WinbackApp]) -> None:
        """So many more are sent, and all that were sent by then are applied."""
        target = len(self.sent) + number
        await until(lambda: len(self.sent) >= target)
        await until(lambda: _at_least(self._settings, target))


async def _at_least(settings: Settings, number: int) -> bool:
    return await consumed(settings, settings.topic_purchases) >= number


async def told(settings: Settings, topic: str) -> list[dict[str, Any]]:
    """Decisions of a topic, partition by partition in order."""
    return [{"at": record.partition, **orjson.loads(record.value)} for record in await committed(settings, topic)]


def test_rules_change_and_pause_under_load(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Three versions are published and everything is paused and resumed under load: each purchase is thanked for exactly once,
    by versions that never go back on a partition, and nothing goes out during the pause."""
    own, new = tmp_path / "own", tmp_path / "new"
    own.mkdir()
    new.mkdir()
    (own / "thanks.yaml").write_text(RULE.format(version=1))
    settings = settings_for(broker.bootstrap, partitions=2, rules_dir=str(own), data_dir=str(tmp_path / "data"))
    changed = {f"WINBACK_{f.upper()}": str(v) for f, v in msgspec.structs.asdict(settings).items() if v != ""}

    async def call(*arguments: str) -> None:
        command = [sys.executable, "-m", "stream", *arguments, "--by", "ann"]
        running = await asyncio.create_subprocess_exec(*command, env=os.environ | changed, stdout=subprocess.DEVNULL)
        assert 0 == await running.wait()

    async def scenario() -> None:
        await make_topics(settings)
        clock = Ahead()
        async with running_worker(settings, clock=clock) as one, running_worker(settings, clock=clock) as two:
            workers = [one, two]
            await until(lambda: [1, 1] == [len(app.shell.held) for app in workers])
            async with Orders(settings) as orders:
                await orders.more(50, workers)
                for version in (2, 3, 4):
                    (new / "thanks.yaml").write_text(RULE.format(version=version))
                    await call("rules", "publish", str(new))
                    await orders.more(50, workers)
                await call("pause")
                await until(lambda: all(app.shell.release and app.shell.release.paused for app in workers))
                await orders.more(50, workers)
                before = len(await told(settings, settings.topic_actions))
                await orders.more(50, workers)
                assert before == len(await told(settings, settings.topic_actions))
                await call("resume")
                await until(lambda: not any(app.shell.release and app.shell.release.paused for app in workers))
                await orders.more(50, workers)
            await orders.more(0, workers)
            clock.ahead_ms = PAUSE_RETRY_MS + 60_000
            await until(lambda: _thanked(settings, len(orders.sent)))
        actions, held = await told(settings, settings.topic_actions), await told(settings, settings.topic_suppressions)

        assert Counter(orders.sent) == Counter(item["occurrence"] for item in actions)
        assert {"paused"} == {item["reason"] for item in held}
        assert len({item["action_id"] for item in held}) == len(held) >= 100
        known = {v.rules_version: v.number for v in (await read_published(settings)).versions}
        assert {1, 2, 3} == set(known.values())
        for decisions in (actions, held):
            for partition in (0, 1):
                order = [known.get(d["rule"]["rules_version"], 0) for d in decisions if d["at"] == partition]
                assert sorted(order) == order
        for item in actions:
            number = known.get(item["rule"]["rules_version"], 0)
            assert (number + 1, f"thanks-{number + 1}") == (item["rule"]["version"], item["template"])

    asyncio.run(scenario())


async def _thanked(settings: Settings, number: int) -> bool:
    return len(await told(settings, settings.topic_actions)) >= number
