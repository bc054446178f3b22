"""The event clock on a real broker: a data set is processed in the order of its events, day by day."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from stream.adapters.broker import EmbeddedBroker
from stream.config import DAY_MS, Settings
from stream.worker import running_worker
from tests.agents.counting import Count, counting_core
from tests.agents.harness import WorkerProcess, committed, make_topics, produce, settings_for, state, until

START = 9_100 * DAY_MS
CUSTOMERS = [b"customer-%d" % number for number in range(20)]


def history(days: int) -> list[tuple[int, bytes, bytes]]:
    """One event per customer and day, at different hours, every third day empty."""
    return [
        (START + day * DAY_MS + number * 1_000_000, key, b"at:%d" % (START + day * DAY_MS + number * 1_000_000))
        for day in range(days)
        if day % 3
        for number, key in enumerate(CUSTOMERS)
    ]


async def write(settings: Settings, events: Iterable[tuple[int, bytes, bytes]]) -> None:
    """Spreads the events over two topics."""
    events = list(events)
    await produce(settings, settings.topic_purchases, [(key, value) for _, key, value in events[::2]])
    await produce(settings, settings.topic_browses, [(key, value) for _, key, value in events[1::2]])


def epochs_of(counts: dict[bytes, Count]) -> dict[bytes, list[int]]:
    """By customer, the version that held at each event."""
    return {key: count.epochs for key, count in counts.items()}


def expected_epochs(days: int) -> dict[bytes, list[int]]:
    """Each event is decided on the version of its own day."""
    numbers = [START // DAY_MS + day for day in range(days) if day % 3]
    return dict.fromkeys(CUSTOMERS, numbers)


def test_every_event_meets_the_epoch_of_its_day(broker: EmbeddedBroker) -> None:
    """Two topics are merged by event time, and no day begins before its version is there; then time goes to the end."""

    async def scenario() -> tuple[dict[bytes, list[int]], int]:
        settings = settings_for(broker.bootstrap, clock="event")
        await make_topics(settings)
        await write(settings, history(12))
        end = START + 15 * DAY_MS + 5
        async with running_worker(settings, core=counting_core(settings), until_ms=end) as app:
            await asyncio.wait_for(app.shell.caught_up.wait(), 60)
            clocks = {runner.pace.now_ms() for runner in app.shell._runners.values()}
        assert {end} == clocks
        last = [int(record.value) for record in await committed(settings, settings.topic_epochs)][-1]
        return epochs_of(await state(settings)), last

    found, last = asyncio.run(scenario())

    assert expected_epochs(12) == found
    assert START // DAY_MS + 15 == last


def test_two_workers_keep_step_and_one_may_die(broker: EmbeddedBroker) -> None:
    """Workers wait for each other at midnight; killed in between and started again, the result is the same."""

    async def scenario() -> dict[bytes, list[int]]:
        settings = settings_for(broker.bootstrap, clock="event")
        await make_topics(settings)
        await write(settings, history(40))
        end = str(START + 41 * DAY_MS)
        with WorkerProcess(settings, end) as one, WorkerProcess(settings, end) as two:
            await until(lambda: _epochs_published(settings, 8))
            one.kill()
            with WorkerProcess(settings, end) as three:
                await until(lambda: two.process.poll() is not None and three.process.poll() is not None, 120)
                assert (0, 0) == (two.process.returncode, three.process.returncode)
        return epochs_of(await state(settings))

    assert expected_epochs(40) == asyncio.run(scenario())


def test_a_record_without_a_time_is_taken_at_once(broker: EmbeddedBroker) -> None:
    """What can't say when it happened neither stops the merge nor moves the clock."""

    async def scenario() -> dict[bytes, int]:
        settings = settings_for(broker.bootstrap, clock="event")
        await make_topics(settings)
        await produce(settings, settings.topic_purchases, [(b"a", b"garbage"), (b"a", b"at:%d" % START)])
        async with running_worker(settings, core=counting_core(settings), until_ms=START + 5) as app:
            await asyncio.wait_for(app.shell.caught_up.wait(), 60)
        return {key: count.number for key, count in (await state(settings)).items()}

    assert {b"a": 2} == asyncio.run(scenario())


async def _epochs_published(settings: Settings, number: int) -> bool:
    return len(await committed(settings, settings.topic_epochs)) >= number
