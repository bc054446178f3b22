"""What the tests of the shell do to a real broker: write events, read committed results, run workers as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, NodeNotReadyError

from stream.agents.connection import client_options, reader_options
from stream.agents.topics import ensure_topics
from stream.config import Settings, make_settings
from stream.events.hashing import owner_partition
from tests.agents.counting import OWN_KEY, Count


def settings_for(bootstrap: str, **values: Any) -> Settings:
    """Settings with topics and an app id of their own."""
    name = f"t{uuid.uuid4().hex[:8]}"
    topics = {
        f"topic_{kind}": f"{name}.{kind}"
        for kind in (
            "purchases", "browses", "feedback", "profiles", "outcomes", "actions", "alerts", "suppressions", "tiers", "kpis",
            "experiments", "models",
        )
    }  # fmt: skip
    return make_settings(
        **{"broker": f"kafka://{bootstrap}", "app_id": name, "web_port": 0, "session_timeout_ms": 3_000}
        | topics
        | values
    )


async def make_topics(settings: Settings) -> None:
    """Makes the worker's topics before it starts."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        await ensure_topics(admin, settings)
    finally:
        await admin.close()


async def produce(
    settings: Settings, topic: str, rows: Iterable[tuple[bytes, bytes]], *, partition: int | None = None
) -> None:
    """Writes (key, value) rows, acknowledged by all, on the partition that owns the key unless another is given."""
    async with AIOKafkaProducer(**client_options(settings), linger_ms=5, max_request_size=5_000_000) as producer:
        sent = []
        for key, value in rows:
            at = owner_partition(key, settings.partitions) if partition is None else partition
            sent.append(await producer.send(topic, value, key=key, partition=at))
        await asyncio.gather(*sent)


async def committed(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """All committed records of a topic, partition by partition, when every transaction that has written to it has ended.

    The broker answers a commit before its markers are in all the partitions: what is visible in one may be on its way in another.
    """
    everything = reader_options(settings) | {"isolation_level": "read_uncommitted"}
    async with AIOKafkaConsumer(**reader_options(settings)) as reader, AIOKafkaConsumer(**everything) as surveyor:
        numbers = await reader._client._wait_on_metadata(topic)
        tps = [TopicPartition(topic, number) for number in sorted(numbers)]
        reader.assign(tps)
        ends = await surveyor.end_offsets(tps)
        for tp in tps:
            reader.seek(tp, 0)
        found: list[ConsumerRecord] = []
        while [tp for tp in tps if await reader.position(tp) < ends[tp]]:
            for records in (await reader.getmany(timeout_ms=200)).values():
                found += records
        return found


async def consumed(settings: Settings, topic: str) -> int:
    """Records of a topic that are applied, by the group's committed offsets (the topic has no transaction markers)."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(settings.app_id)
    except (GroupCoordinatorNotAvailableError, NodeNotReadyError):
        # A new broker has no coordinator before the first group asks for one; one that was stopped closes stale connections.
        return 0
    finally:
        await admin.close()
    return sum(at.offset for tp, at in found.items() if tp.topic == topic)


async def actions(settings: Settings) -> Counter[bytes]:
    """How often each action was published."""
    return Counter(record.value for record in await committed(settings, settings.topic_actions))


async def state(settings: Settings) -> dict[bytes, Count]:
    """The customers as the changelog has them."""
    latest: dict[bytes, bytes] = {}
    for record in await committed(settings, settings.topic_changelog):
        latest[record.key] = record.value
    return {key: msgspec.msgpack.decode(value, type=Count) for key, value in latest.items() if key != OWN_KEY}


def expected_actions(numbers: Mapping[bytes, int]) -> Counter[bytes]:
    """Exactly one action per event, numbered by key."""
    return Counter({b"%s:%d" % (key, n): 1 for key, last in numbers.items() for n in range(1, last + 1)})


async def until(condition: Any, seconds: float = 60.0) -> None:
    """Waits until the (possibly asynchronous) condition holds, asking ten times a second."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if asyncio.iscoroutine(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.1)


class WorkerProcess:
    """A worker in a process of its own: with the counting core, or with another module's."""

    def __init__(self, settings: Settings, *arguments: str, module: str = "tests.agents.counting_worker") -> None:
        self._log = Path(tempfile.mkstemp(suffix=".log")[1])
        changed = {f"WINBACK_{f.upper()}": str(v) for f, v in msgspec.structs.asdict(settings).items() if v != ""}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=os.environ | changed,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """As an operator would, of a worker that has started; the exit code."""
        deadline = time.monotonic() + seconds
        while "web: http" not in self.log and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._log.unlink()
