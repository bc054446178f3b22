"""A worker that keeps its state on disk as well, on a real broker: whatever becomes of the disk, the state is the changelog's."""

from __future__ import annotations

import asyncio
import random
import shutil
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import client_options, reader_options
from stream.agents.topic_ids import topic_facts
from stream.config import Settings
from stream.worker import running_worker
from tests.agents.counting import Count, counting_core
from tests.agents.harness import (
    WorkerProcess,
    actions,
    committed,
    consumed,
    expected_actions,
    make_topics,
    produce,
    settings_for,
    until,
)
from tests.integration.test_worker_delivery import counted, rows

MODES = pytest.mark.parametrize("mode", ["memory", "disk"])


async def check(settings: Settings, *, from_disk: bool) -> None:
    """A worker that starts now has in its stores exactly what the changelog says."""
    async with running_worker(settings, core=counting_core(settings)) as app:
        await until(lambda: app.shell.held and not app.shell.status.not_ready())
        expected: dict[int, dict[bytes, bytes]] = {number: {} for number in app.shell.held}
        for record in await committed(settings, settings.topic_changelog):
            expected[record.partition][record.key] = record.value
        runners = app.shell._runners
        assert expected == {number: dict(runner._store.items()) for number, runner in runners.items()}
        read = sum(runner.status.progress.records for runner in runners.values())
        assert from_disk == (read < len(await committed(settings, settings.topic_changelog)))


@MODES
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_killed_worker_goes_on_from_its_disk(
    broker: EmbeddedBroker, tmp_path: Path, mode: str, delivery: str
) -> None:
    """Kills between commits and writes to disk, a clean stop, an older disk, another partition's, none: always the changelog's state."""

    async def scenario() -> None:
        settings = settings_for(
            broker.bootstrap, partitions=2, delivery=delivery, state_dir=str(tmp_path / "state"), state_store=mode
        )
        folder, chance = tmp_path / "state" / settings.app_id, random.Random(7)
        await make_topics(settings)
        events = rows(6_000)
        for begin in range(0, len(events), 2_000):
            part = events[begin : begin + 2_000]
            await produce(settings, settings.topic_purchases, part)
            with WorkerProcess(settings) as worker:
                target = begin + chance.randrange(1, 2_000)
                await until(partial(_applied, settings, target))
                worker.kill()
        async with running_worker(settings, core=counting_core(settings)):
            await until(lambda: _applied(settings, len(events)))
        shutil.copytree(folder, tmp_path / "older")
        await check(settings, from_disk=True)
        shutil.rmtree(folder)
        await check(settings, from_disk=False)
        await produce(settings, settings.topic_purchases, rows(500, seed=2))
        async with running_worker(settings, core=counting_core(settings)):
            await until(lambda: _applied(settings, len(events) + 500))
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "older", folder)
        await check(settings, from_disk=True)
        (folder / "customers-0").rename(folder / "x")
        (folder / "customers-1").rename(folder / "customers-0")
        (folder / "x").rename(folder / "customers-1")
        await check(settings, from_disk=False)
        if delivery == "exactly_once":
            assert expected_actions(counted(events + rows(500, seed=2))) == await actions(settings)

    asyncio.run(scenario())


def test_a_changelog_that_was_made_again_is_not_taken_for_the_old_one(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The topic's id tells, however long the new one has grown."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, partitions=1, state_dir=str(tmp_path))
        core = counting_core(settings)
        async with running_worker(settings, core=core):
            await produce(settings, settings.topic_purchases, [(b"old", b"x")] * 5)
            await until(lambda: _applied(settings, 5))
        before = await _id(settings)
        admin = AIOKafkaAdminClient(**client_options(settings))
        await admin.start()
        await admin.delete_topics([settings.topic_changelog])
        await until(lambda: _gone(admin, settings.topic_changelog))
        await admin.close()
        await make_topics(settings)
        assert (32, 32) == (len(before), len(await _id(settings))) and before != await _id(settings)
        await produce(settings, settings.topic_changelog, [(b"new", await _any_record(settings))] * 500)
        async with running_worker(settings, core=core) as app:
            await until(lambda: app.shell.held and not app.shell.status.not_ready())
            assert b"old" not in app.shell._runners[0]._store

    asyncio.run(scenario())


async def _gone(admin: AIOKafkaAdminClient, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def _any_record(settings: Settings) -> bytes:
    return msgspec.msgpack.encode(Count(0, {}, 0, []))


async def _id(settings: Settings) -> str:
    async with AIOKafkaConsumer(**reader_options(settings)) as reader:
        facts = await topic_facts(reader._client, [settings.topic_changelog])
        return facts[settings.topic_changelog].id


async def _applied(settings: Settings, number: int) -> bool:
    return await consumed(settings, settings.topic_purchases) >= number
