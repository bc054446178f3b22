"""Exactly once on a real broker, whatever happens to the workers: nothing lost, nothing doubled, the state right."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import client_options
from stream.config import Settings
from stream.events.hashing import owner_partition
from stream.worker import running_worker
from tests.agents.counting import POISON, counting_core
from tests.agents.harness import (
    WorkerProcess,
    actions,
    committed,
    consumed,
    expected_actions,
    make_topics,
    produce,
    settings_for,
    state,
    until,
)

KEYS = [b"customer-%d" % number for number in range(300)]


def rows(number: int, seed: int = 1) -> list[tuple[bytes, bytes]]:
    """So many events of random customers."""
    chance = random.Random(seed)
    return [(chance.choice(KEYS), b"event") for _ in range(number)]


def counted(events: list[tuple[bytes, bytes]]) -> Counter[bytes]:
    """Events by key."""
    return Counter(key for key, _ in events)


async def applied(settings: Settings) -> int:
    """Purchases that are applied."""
    return await consumed(settings, settings.topic_purchases)


async def known(settings: Settings) -> int:
    """Events that the committed state knows of."""
    return sum(count.number for count in (await state(settings)).values())


async def kill_at_work(settings: Settings, seconds: float) -> None:
    """Runs a worker until it makes progress, and so many seconds more."""
    with WorkerProcess(settings) as worker:
        before = await applied(settings)
        await until(lambda: _grows(settings, before))
        await asyncio.sleep(seconds)
        worker.kill()


def test_every_event_counts_once_in_both_delivery_modes(broker: EmbeddedBroker) -> None:
    """Events on several topics, and some on a partition that doesn't own their key, are each applied exactly once."""

    async def scenario(delivery: str) -> tuple[Any, Any]:
        settings = settings_for(broker.bootstrap, delivery=delivery)
        await make_topics(settings)
        events = rows(2_000)
        await produce(settings, settings.topic_purchases, events[:900])
        await produce(settings, settings.topic_browses, events[900:1800])
        await produce(settings, settings.topic_feedback, events[1800:], partition=1)
        async with running_worker(settings, core=counting_core(settings)):
            await until(lambda: _is(known(settings), 2_000))
        numbers = {key: count.number for key, count in (await state(settings)).items()}
        assert counted(events) == numbers
        return expected_actions(numbers), await actions(settings)

    for delivery in ("exactly_once", "at_least_once"):
        expected, found = asyncio.run(scenario(delivery))

        assert expected == found


def test_kill_nine_in_mid_stream_leaves_no_trace(broker: EmbeddedBroker) -> None:
    """A worker killed again and again under load ends in the same state and the same actions as an undisturbed run."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, batch_records=200)
        await make_topics(settings)
        chance = random.Random(2)
        async with Feed(settings, seed=2) as feed:
            for _ in range(4):
                await kill_at_work(settings, chance.uniform(0.05, 0.6))
        with WorkerProcess(settings) as worker:
            await until(lambda: _is(applied(settings), len(feed.events)))
            assert worker.stop() == 0
        numbers = {key: count.number for key, count in (await state(settings)).items()}
        assert counted(feed.events) == numbers
        assert expected_actions(numbers) == await actions(settings)

    asyncio.run(scenario())


def test_a_kill_in_at_least_once_mode_loses_nothing(broker: EmbeddedBroker) -> None:
    """Without transactions a kill may double an action, but loses none, and the state is right all the same."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, batch_records=200, delivery="at_least_once")
        await make_topics(settings)
        async with Feed(settings, seed=6) as feed:
            for _ in range(2):
                await kill_at_work(settings, 0.3)
        with WorkerProcess(settings) as worker:
            await until(lambda: _is(applied(settings), len(feed.events)))
            assert worker.stop() == 0
        assert counted(feed.events) == {key: count.number for key, count in (await state(settings)).items()}
        assert expected_actions(counted(feed.events)).keys() == (await actions(settings)).keys()

    asyncio.run(scenario())


def test_a_frozen_worker_is_fenced_when_it_wakes_up(broker: EmbeddedBroker) -> None:
    """A worker that stood still while another took over writes nothing of what it had in hand, and joins again."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, batch_records=100)
        await make_topics(settings)
        with WorkerProcess(settings) as frozen, WorkerProcess(settings) as other:
            async with Feed(settings, seed=7) as feed:
                await until(lambda: "assigned partitions [" in frozen.log and "assigned partitions [" in other.log)
                await until(lambda: _grows(settings, 0))
                frozen.process.send_signal(signal.SIGSTOP)
                await until(lambda: "assigned partitions [0, 1, 2, 3]" in other.log.rpartition("pausing")[2], 60)
                before = await applied(settings)
                await until(lambda: _grows(settings, before))
                known_before = frozen.log.count("assigned partitions [")
                frozen.process.send_signal(signal.SIGCONT)
                await until(lambda: frozen.log.count("assigned partitions [") > known_before)
            await until(lambda: _is(applied(settings), len(feed.events)))
        assert expected_actions(counted(feed.events)) == await actions(settings)

    asyncio.run(scenario())


def test_workers_may_come_and_go(broker: EmbeddedBroker) -> None:
    """Two more workers join under load, one leaves in order and one is killed: nothing is lost or doubled."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, batch_records=200)
        await make_topics(settings)
        with WorkerProcess(settings) as first, WorkerProcess(settings) as third:
            async with Feed(settings, seed=3) as feed:
                await until(lambda: _grows(settings, 0))
                with WorkerProcess(settings) as second:
                    await until(lambda: "restored" in second.log)
                    assert first.stop() == 0
                    before = await applied(settings)
                    await until(lambda: _grows(settings, before))
                    second.kill()
            await until(lambda: _is(applied(settings), len(feed.events)))
            assert third.stop() == 0
        numbers = {key: count.number for key, count in (await state(settings)).items()}
        assert counted(feed.events) == numbers
        assert expected_actions(numbers) == await actions(settings)

    asyncio.run(scenario())


def test_a_restore_reads_no_aborted_transaction(broker: EmbeddedBroker) -> None:
    """State that a predecessor wrote and never committed is not restored, even while its transaction is open."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap)
        await make_topics(settings)
        events = rows(500, seed=4)
        await produce(settings, settings.topic_purchases, events)
        async with running_worker(settings, core=counting_core(settings)):
            await until(lambda: _is(applied(settings), 500))
        key = events[0][0]
        at = owner_partition(key, settings.partitions)
        zombie = AIOKafkaProducer(**client_options(settings), transactional_id=f"{settings.app_id}-{at}")
        await zombie.start()
        await zombie.begin_transaction()
        await zombie.send_and_wait(settings.topic_changelog, b"nonsense", key=key, partition=at)
        async with running_worker(settings, core=counting_core(settings)) as app:
            await until(lambda: not app.shell.status.not_ready(), 20)
            _, runner = app.shell.runner_of(key.decode())
            assert runner is not None
            assert runner.customer(key.decode()) == {"customer_id": key.decode(), "count": counted(events)[key]}
        await zombie.stop()

    asyncio.run(scenario())


def test_what_a_sender_has_not_committed_is_no_lag(broker: EmbeddedBroker) -> None:
    """Records of an open transaction can't be read yet: nobody waits for them, and other topics go on."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, partitions=1)
        await make_topics(settings)
        sender = AIOKafkaProducer(**client_options(settings), transactional_id=f"{settings.app_id}-sender")
        await sender.start()
        await sender.begin_transaction()
        await sender.send_and_wait(settings.topic_browses, b"event", key=KEYS[0], partition=0)
        async with running_worker(settings, core=counting_core(settings)) as app:
            await produce(settings, settings.topic_purchases, rows(50))
            await until(lambda: _is(applied(settings), 50))
            browses = TP(settings.topic_browses, 0)
            await until(lambda: 0 == app.shell._consumer().end(browses))
            await sender.commit_transaction()
            await until(lambda: _is(known(settings), 51))
        await sender.stop()

    asyncio.run(scenario())


def test_a_record_that_breaks_the_processor_becomes_a_dead_letter(broker: EmbeddedBroker) -> None:
    """One poisoned record among many is dead-lettered with its bytes and the reason; all others are applied once."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, partitions=1)
        await make_topics(settings)
        events = rows(1_500, seed=5)
        await produce(settings, settings.topic_purchases, [*events[:700], (b"k", b"a " + POISON), *events[700:]])
        async with running_worker(settings, core=counting_core(settings)):
            await until(lambda: _is(applied(settings), len(events) + 1))
        (letter,) = await committed(settings, f"{settings.topic_purchases}.dlq")
        headers = dict(letter.headers)
        assert (b"k", b"a " + POISON) == (letter.key, letter.value)
        assert b"process" == headers["dlq-stage"]
        assert b"ValueError: poisoned" == headers["__streams.errors.message"]
        assert b"700" == headers["__streams.errors.offset"]
        assert expected_actions(counted(events)) == await actions(settings)

    asyncio.run(scenario())


class Feed:
    """Writes events of random customers for as long as the block lasts: there is always something in hand."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._chance = random.Random(seed)
        self._ending = asyncio.Event()
        self.events: list[tuple[bytes, bytes]] = []

    async def _run(self) -> None:
        while not self._ending.is_set():
            some = [(self._chance.choice(KEYS), b"event") for _ in range(300)]
            await produce(self._settings, self._settings.topic_purchases, some)
            self.events += some
            await asyncio.sleep(0.1)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._ending.set()
        await self._task


async def _is(question: Any, answer: Any) -> bool:
    return bool(await question == answer)


async def _grows(settings: Settings, before: int) -> bool:
    return await applied(settings) > before
