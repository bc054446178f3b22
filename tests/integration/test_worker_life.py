"""A worker's life besides its events: timers, probes, a broker that goes away, topics that are wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import client_options
from stream.agents.inbox import FULL_RECORDS
from stream.app import WinbackApp, build_app
from stream.config import Settings
from stream.errors import PortInUse, TopicError
from stream.worker import running_worker
from tests.agents.counting import HUGE, counting_core
from tests.agents.harness import (
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

_MANY = 2 * FULL_RECORDS
"""More events than a worker takes in before the first of them are applied."""

_SMALL = {"max.message.bytes": "1048588"}
"""What a broker takes unless it is told otherwise."""


def test_a_timer_fires_within_a_second_though_nothing_arrives(broker: EmbeddedBroker) -> None:
    """A timer set by an event fires when it is due, once, also after a restart in between."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap)
        async with running_worker(settings, core=counting_core(settings)) as app:
            await until(lambda: not app.shell.status.not_ready(), 30)
            soon = int(time.time() * 1000) + 1_500
            later = soon + 5_000
            await produce(settings, settings.topic_purchases, [(b"a", b"due:%d" % soon), (b"b", b"due:%d" % later)])
            await until(lambda: _published(settings, settings.topic_alerts, 1), 10)
        async with running_worker(settings, core=counting_core(settings)):
            await until(lambda: _published(settings, settings.topic_alerts, 2), 20)
        fired = {record.key: record.timestamp for record in await committed(settings, settings.topic_alerts)}
        assert {b"a", b"b"} == fired.keys()
        assert 0 <= fired[b"a"] - soon < 1_000
        assert 0 <= fired[b"b"] - later < 1_000

    asyncio.run(scenario())


def test_an_outcome_that_no_topic_takes_becomes_a_dead_letter(broker: EmbeddedBroker) -> None:
    """A record whose outcome the broker refuses for good is dead-lettered, and what comes after it goes on."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, partitions=1)
        await _make(settings, NewTopic(settings.topic_actions, 1, 1, topic_configs=_SMALL))
        await make_topics(settings)
        rows = [(b"k", b"x"), (b"k", b"x"), (b"k", b"a " + HUGE), (b"k", b"x")]
        await produce(settings, settings.topic_purchases, rows)
        async with running_worker(settings, core=counting_core(settings)):
            await until(lambda: _published(settings, settings.topic_actions, 3), 30)
        (letter,) = await committed(settings, f"{settings.topic_purchases}.dlq")
        assert b"a " + HUGE == letter.value
        assert expected_actions({b"k": 3}) == await actions(settings)

    asyncio.run(scenario())


def test_probes_and_questions_over_http(broker: EmbeddedBroker) -> None:
    """Ready says so, metrics name the lag, a customer can be looked up with the token, a stranger is not found."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap, web_token="secret")
        async with running_worker(settings, core=counting_core(settings)) as app, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{app.http.port}"
            await produce(settings, settings.topic_purchases, [(b"ann/1", b"x")] * 3)
            await until(lambda: _answer(http, f"{url}/ready", 200))
            async with http.get(f"{url}/ready") as answer:
                body = await answer.json()
            assert body["ready"] and {"0", "1", "2", "3"} == body["partitions"].keys()
            async with http.get(f"{url}/health") as answer:
                assert {"healthy": True, "reasons": []} == await answer.json()
            await until(lambda: _answer(http, f"{url}/customers/ann/1", 200, "secret"))
            assert await _answer(http, f"{url}/customers/bob", 404, "secret")
            assert await _answer(http, f"{url}/customers/ann/1", 401, "wrong")

            async def listed() -> bool:
                async with http.get(f"{url}/customers", headers={"Authorization": "Bearer secret"}) as answer:
                    return ["ann/1"] == [line["customer_id"] for line in (await answer.json())["customers"]]

            await until(listed)
            assert await _answer(http, f"{url}/metrics", 401)
            await asyncio.sleep(2.0)
            async with http.get(f"{url}/metrics", headers={"Authorization": "Bearer secret"}) as answer:
                text = await answer.text()
            assert f'winback_consumer_lag_records{{partition="0",topic="{settings.topic_purchases}"}} 0.0' in text
            assert "winback_ready 1.0" in text and "winback_broker_up 1.0" in text

    asyncio.run(scenario())


def test_a_customer_of_another_worker_is_misdirected(broker: EmbeddedBroker) -> None:
    """With two workers each answers 421 for the other's customers, naming the partition."""

    async def scenario() -> None:
        settings = settings_for(broker.bootstrap)
        core = counting_core(settings)
        await make_topics(settings)
        await produce(settings, settings.topic_purchases, [(b"ann", b"x")])
        async with (
            running_worker(settings, core=core) as one,
            running_worker(settings, core=core) as two,
            aiohttp.ClientSession() as http,
        ):
            await until(lambda: [2, 2] == [len(one.shell.held), len(two.shell.held)])
            await until(lambda: not one.shell.status.not_ready() and not two.shell.status.not_ready())

            async def codes() -> list[int]:
                found = []
                for app in (one, two):
                    async with http.get(f"http://127.0.0.1:{app.http.port}/customers/ann") as answer:
                        found.append(answer.status)
                return sorted(found)

            await until(lambda: _is(codes(), [200, 421]))

    asyncio.run(scenario())


def test_a_broker_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    """Without a broker the worker says so and waits; when it is back it goes on, nothing lost or doubled."""

    async def scenario(broker: EmbeddedBroker) -> None:
        settings = settings_for(broker.bootstrap)
        async with running_worker(settings, core=counting_core(settings)) as app:
            await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 50)
            await until(lambda: _published(settings, settings.topic_actions, 50))
            await asyncio.to_thread(broker.kill, 1)
            await until(lambda: any("no Kafka broker" in text for text in app.shell.status.not_ready()), 30)
            assert "broker_away" == app.shell.status.word()
            await asyncio.to_thread(broker.restart, 1)
            await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 50)
            await until(lambda: _published(settings, settings.topic_actions, 100), 90)
            await until(lambda: not app.shell.status.not_ready(), 30)
        assert expected_actions({b"k": 100}) == await actions(settings)

    with EmbeddedBroker(tmp_path) as broker:
        asyncio.run(scenario(broker))


def test_a_broker_that_hangs_in_mid_work_is_waited_for(tmp_path: Path) -> None:
    """Stopped under load and continued, in both delivery modes: the worker says so, takes no more than it can hold, goes on."""

    async def scenario(broker: EmbeddedBroker, delivery: str) -> None:
        settings = settings_for(broker.bootstrap, delivery=delivery, partitions=1, batch_records=500)
        await make_topics(settings)
        await produce(settings, settings.topic_purchases, [(b"k", b"x")] * _MANY)
        pid = broker.pid(1)
        assert pid is not None
        async with running_worker(settings, core=counting_core(settings)) as app:
            await until(lambda: _applied(settings, 500))
            os.kill(pid, signal.SIGSTOP)
            try:
                await until(lambda: "broker_away" == app.shell.status.word(), 30)
                (runner,) = app.shell._runners.values()
                waiting = len(runner.inbox)
                away = b'winback_not_ready{reason="broker_away"} 1.0'
                await until(lambda: away in app.shell.gauges.exposition()[0])
                assert b"winback_broker_up 0.0" in app.shell.gauges.exposition()[0]
            finally:
                os.kill(pid, signal.SIGCONT)
            assert 0 < waiting < _MANY
            await until(lambda: _applied(settings, _MANY), 90)
            await until(lambda: not app.shell.status.not_ready(), 30)
        if delivery == "exactly_once":
            assert expected_actions({b"k": _MANY}) == await actions(settings)
        assert _MANY == (await state(settings))[b"k"].number

    with EmbeddedBroker(tmp_path) as broker:
        for delivery in ("exactly_once", "at_least_once"):
            asyncio.run(scenario(broker, delivery))


def test_a_worker_without_a_broker_starts_waiting(tmp_path: Path) -> None:
    """Started before its broker, a worker answers probes, and is ready soon after the broker is."""

    async def scenario(broker: EmbeddedBroker) -> None:
        settings = settings_for(broker.bootstrap)
        await asyncio.to_thread(broker.kill, 1)
        apps: list[WinbackApp] = []

        async def work() -> None:
            async with running_worker(settings, core=counting_core(settings)) as app:
                apps.append(app)
                await until(lambda: not app.shell.status.not_ready(), 30)

        working = asyncio.create_task(work())
        await asyncio.sleep(2)
        assert not apps
        await asyncio.to_thread(broker.restart, 1)
        await asyncio.wait_for(working, 60)

    with EmbeddedBroker(tmp_path) as broker:
        asyncio.run(scenario(broker))


def test_topics_that_do_not_fit_are_all_named(broker: EmbeddedBroker) -> None:
    """Every wrong topic is listed at once, with what to do."""

    async def scenario() -> str:
        settings = settings_for(broker.bootstrap)
        await _make(
            settings,
            NewTopic(settings.topic_changelog, 3, 1),
            NewTopic(f"{settings.topic_browses}.dlq", 4, 1, topic_configs=_SMALL),
            NewTopic(settings.topic_browses, 4, 1),
        )
        with pytest.raises(TopicError) as caught:
            async with running_worker(settings, core=counting_core(settings)):
                pass
        return str(caught.value)

    text = asyncio.run(scenario())

    assert "changelog has 3 partitions and the inputs have 4" in text
    assert "changelog is not compacted" in text
    assert "max.message.bytes=4194304" in text and ".browses.dlq" in text


def test_a_recreated_topic_stops_the_worker_with_instructions(broker: EmbeddedBroker) -> None:
    """Offsets that the state has applied and the topic doesn't have are not taken for "nothing to do"."""

    async def scenario() -> str:
        settings = settings_for(broker.bootstrap, partitions=1)
        core = counting_core(settings)
        async with running_worker(settings, core=core):
            await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 5)
            await until(lambda: _published(settings, settings.topic_actions, 5))
        admin = AIOKafkaAdminClient(**client_options(settings))
        await admin.start()
        await admin.delete_topics([settings.topic_purchases])
        await admin.close()
        with pytest.raises(TopicError) as caught:
            async with running_worker(settings, core=core) as app:
                await asyncio.wait_for(app.shell.failed.wait(), 20)
        return str(caught.value)

    assert "was deleted and made again" in asyncio.run(scenario())


def test_what_the_group_refuses_is_said(broker: EmbeddedBroker) -> None:
    """A worker that the consumer group doesn't take is not ready, and says what the group's answer is."""

    async def scenario() -> list[str]:
        # Less than the setting allows, because the embedded broker takes all that it allows.
        settings = msgspec.structs.replace(settings_for(broker.bootstrap), session_timeout_ms=500)
        app = build_app(settings, core=counting_core(settings))
        starting = asyncio.create_task(app.start())
        try:
            await until(lambda: "SessionTimeout" in str(app.shell.status.not_ready()), 20)
            return app.shell.status.not_ready()
        finally:
            starting.cancel()
            await app.stop()

    assert "waiting for the consumer group" in str(asyncio.run(scenario()))


def test_a_taken_web_port_is_named(broker: EmbeddedBroker) -> None:
    """A second worker on the same port says which port and which flag."""

    async def scenario() -> str:
        settings = settings_for(broker.bootstrap)
        async with running_worker(settings, core=counting_core(settings)) as app:
            other = settings_for(broker.bootstrap, web_port=app.http.port)
            with pytest.raises(PortInUse) as caught:
                async with running_worker(other, core=counting_core(other)):
                    pass
            return str(caught.value)

    assert "--web-port" in asyncio.run(scenario())


def test_an_idle_worker_uses_hardly_any_cpu(broker: EmbeddedBroker) -> None:
    """With nothing to do a worker of four partitions uses little of one core."""

    async def scenario() -> float:
        settings = settings_for(broker.bootstrap)
        async with running_worker(settings, core=counting_core(settings)) as app:
            await until(lambda: not app.shell.status.not_ready(), 30)
            await asyncio.sleep(2)
            used, began = time.process_time(), time.monotonic()
            await asyncio.sleep(5)
            return (time.process_time() - used) / (time.monotonic() - began)

    share = asyncio.run(scenario())

    print(f"idle: {share:.1%} of a core")
    assert share < 0.05


async def _make(settings: Settings, *topics: NewTopic) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    await admin.create_topics(list(topics))
    await admin.close()


async def _applied(settings: Settings, number: int) -> bool:
    return await consumed(settings, settings.topic_purchases) >= number


async def _published(settings: Any, topic: str, number: int) -> bool:
    return len(await committed(settings, topic)) >= number


async def _answer(http: aiohttp.ClientSession, url: str, code: int, token: str = "") -> bool:
    async with http.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}) as answer:
        return answer.status == code


async def _is(question: Any, answer: Any) -> bool:
    return bool(await question == answer)
