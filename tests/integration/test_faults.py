"""What is wrong in the surroundings stops the worker with instructions, or costs one event a dead letter; never silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import client_options, reader_options, stop_reader
from stream.agents.topic_ids import topic_facts
from stream.config import Settings
from stream.errors import NewerVersionError, TopicError, WinbackError
from stream.events.instants import to_text
from stream.processor.partition import PARTITION_KEY
from stream.state.customer import VERSION, decode
from stream.worker import running_worker
from tests.agents.counting import counting_core
from tests.agents.harness import (
    actions,
    committed,
    consumed,
    expected_actions,
    make_topics,
    produce,
    settings_for,
    until,
)

NOW_MS = int(time.time() * 1000)

DIVIDES = """
id: divides
version: 1
description: Divides by the number of orders before this one.
when:
  event: purchase
if: 10 / (customer.lifetime_frequency - 1) > 2
then: {action: care, channel: none, template: divides}
expires_after: 30w
"""


def order(customer: str, number: int, *, cents: int = 1_000) -> tuple[bytes, bytes]:
    """Key and value of an order."""
    body = {
        "type": "track",
        "event": "Order Completed",
        "userId": customer,
        "messageId": f"{customer}-{number}",
        "timestamp": to_text(NOW_MS + number),
        "properties": {"order_id": f"{customer}-{number}", "revenue": cents / 100},
    }
    return customer.encode(), orjson.dumps(body)


def test_a_rule_that_fails_holds_nothing_up(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Where a condition can't be evaluated the decision is published as suppressed, with the reason; the order counts, and
    the next one is decided as if nothing had been."""
    (tmp_path / "divides.yaml").write_text(DIVIDES)

    async def scenario() -> tuple[list[Any], list[Any], list[Any], dict[bytes, int]]:
        settings = settings_for(broker.bootstrap, rules_dir=str(tmp_path))
        await make_topics(settings)
        rows = [order(name, number) for number in (1, 2) for name in ("ann", "bob", "eve")]
        await produce(settings, settings.topic_purchases, rows)
        async with running_worker(settings):
            await until(lambda: _is(consumed(settings, settings.topic_purchases), len(rows)))
        latest = {record.key: record.value for record in await committed(settings, settings.topic_changelog)}
        counts = {
            key: decode(value).orders.lifetime().frequency for key, value in latest.items() if key != PARTITION_KEY
        }
        return (
            [orjson.loads(record.value) for record in await committed(settings, settings.topic_suppressions)],
            [orjson.loads(record.value) for record in await committed(settings, settings.topic_actions)],
            await committed(settings, f"{settings.topic_purchases}.dlq"),
            counts,
        )

    suppressed, published, letters, counts = asyncio.run(scenario())

    assert {("ann", "ann-1"), ("bob", "bob-1"), ("eve", "eve-1")} == _named(suppressed)
    assert {"condition_error"} == {row["reason"] for row in suppressed}
    assert {("ann", "ann-2"), ("bob", "bob-2"), ("eve", "eve-2")} == _named(published)
    assert [] == letters
    assert {b"ann": 2, b"bob": 2, b"eve": 2} == counts


def test_events_that_are_none_become_dead_letters_with_their_reasons(broker: EmbeddedBroker) -> None:
    """Bytes that are no event are dead-lettered as they came; what came with them is applied."""
    poison = {
        b"\xff\xfe\x00": b"not_utf8",
        b"{": b"not_json",
        b"[]": b"not_segment",
        b'{"type":"track","event":"NPS Submitted","userId":"ann"}': b"no_message_id",
        b"": b"empty",
        order("ann", 1, cents=2_000)[1]: b"same_id_other_body",
    }

    async def scenario() -> tuple[dict[bytes, bytes], int]:
        settings = settings_for(broker.bootstrap, partitions=1)
        await make_topics(settings)
        good = [order("ann", 1), order("ann", 2)]
        rows = [good[0], *((b"ann", value) for value in poison), good[1]]
        await produce(settings, settings.topic_purchases, rows)
        async with running_worker(settings):
            await until(lambda: _is(consumed(settings, settings.topic_purchases), len(rows)))
        latest = {record.key: record.value for record in await committed(settings, settings.topic_changelog)}
        letters = await committed(settings, f"{settings.topic_purchases}.dlq")
        assert len(poison) == len(letters)
        reasons = {record.value or b"": dict(record.headers)["dlq-reason"] for record in letters}
        return reasons, decode(latest[b"ann"]).orders.lifetime().monetary_minor

    assert (poison, 2_000) == asyncio.run(scenario())


def test_inputs_with_different_partitions_are_refused_at_the_start(broker: EmbeddedBroker) -> None:
    """A customer's purchases and views must meet: the message has every count, and what to do."""

    async def scenario() -> str:
        settings = settings_for(broker.bootstrap)
        await _admin(settings, "create_topics", [NewTopic(settings.topic_purchases, 4, 1)])
        await _admin(settings, "create_topics", [NewTopic(settings.topic_browses, 3, 1)])
        return await _refused(settings)

    text = asyncio.run(scenario())

    assert "purchases has 4" in text and "browses has 3" in text
    assert "recreate the smaller ones" in text


def test_an_input_that_grows_under_a_running_worker_stops_it(broker: EmbeddedBroker) -> None:
    """More partitions mean other owners: the state of a customer would be in the old one and the events in the new one."""

    async def scenario() -> str:
        settings = settings_for(broker.bootstrap, partitions=2)
        async with running_worker(settings, core=counting_core(settings)) as app:
            await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 5)
            await until(lambda: _is(consumed(settings, settings.topic_purchases), 5))
            await _admin(settings, "create_partitions", {settings.topic_purchases: NewPartitions(3)})
            await asyncio.wait_for(app.shell.failed.wait(), 30)
            failure = app.shell.failure
            app.shell.failure = None
        assert isinstance(failure, TopicError)
        return str(failure)

    text = asyncio.run(scenario())

    assert "purchases has 3" in text and "had 2" in text


def test_state_of_a_newer_winback_is_not_guessed_at(broker: EmbeddedBroker) -> None:
    """A record with a later version than is known stops the worker, and the message says which Winback to run."""

    async def scenario() -> WinbackError:
        settings = settings_for(broker.bootstrap, partitions=1)
        await make_topics(settings)
        newer = msgspec.msgpack.encode([VERSION + 1, 0, {}])
        await produce(settings, settings.topic_changelog, [(b"ann", newer)])
        with pytest.raises(NewerVersionError) as caught:
            async with running_worker(settings) as app:
                await asyncio.wait_for(app.shell.failed.wait(), 30)
        return caught.value

    error = asyncio.run(scenario())

    assert f"version {VERSION + 1}" in str(error) and f"up to {VERSION}" in str(error)
    assert "run the version of Winback that wrote the state" in error.operator_action


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_recreated_topic_is_known_by_its_id_however_long_it_is(broker: EmbeddedBroker, delivery: str) -> None:
    """A topic that was made again while the worker was down, and has grown past the old offsets since, is not gone on with
    where the old one ended: its first events would be lost in silence."""

    async def scenario() -> str:
        settings = settings_for(broker.bootstrap, partitions=1, delivery=delivery)
        core = counting_core(settings)
        async with running_worker(settings, core=core):
            await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 5)
            await until(lambda: _is(consumed(settings, settings.topic_purchases), 5))
        assert expected_actions({b"k": 5}) == await actions(settings)
        await _recreate(settings, settings.topic_purchases)
        await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 50)
        with pytest.raises(TopicError) as caught:
            async with running_worker(settings, core=core) as app:
                await asyncio.wait_for(app.shell.failed.wait(), 30)
        assert expected_actions({b"k": 5}) == await actions(settings)
        return str(caught.value)

    text = asyncio.run(scenario())

    assert "purchases was deleted and made again" in text and "another --app-id" in text


def test_a_topic_that_is_recreated_under_a_running_worker_stops_it(broker: EmbeddedBroker) -> None:
    """The worker looks at the ids while it runs, too."""

    async def scenario() -> str:
        settings = settings_for(broker.bootstrap, partitions=1)
        with pytest.raises(TopicError) as caught:
            async with running_worker(settings, core=counting_core(settings)) as app:
                await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 5)
                await until(lambda: _is(consumed(settings, settings.topic_purchases), 5))
                await _recreate(settings, settings.topic_purchases)
                await produce(settings, settings.topic_purchases, [(b"k", b"x")] * 50)
                await asyncio.wait_for(app.shell.failed.wait(), 30)
        return str(caught.value)

    assert "was deleted and made again" in asyncio.run(scenario())


def test_ids_of_topics_are_what_the_broker_says(broker: EmbeddedBroker) -> None:
    """A topic has an id for life, another of the same name has another, and one that isn't there has none."""

    async def scenario() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        settings = settings_for(broker.bootstrap, partitions=1)
        await make_topics(settings)
        names = [settings.topic_purchases, settings.topic_browses, "nobody-made-this"]
        found = []
        for again in (False, False, True):
            if again:
                await _recreate(settings, settings.topic_purchases)
            admin = AIOKafkaAdminClient(**client_options(settings))
            await admin.start()
            facts = await topic_facts(admin._client, names)
            assert {1} == {fact.partitions for fact in facts.values()}
            found.append({name: fact.id for name, fact in facts.items()})
            await admin.close()
        return found[0], found[1], found[2]

    first, second, third = asyncio.run(scenario())

    assert 2 == len(first) == len(set(first.values()))
    assert first == second
    (purchases, browses) = sorted(first, key=lambda name: "browses" in name)
    assert first[browses] == third[browses]
    assert first[purchases] != third[purchases]


def test_stopping_a_reader_cancels_nobody_else(broker: EmbeddedBroker) -> None:
    """The client lets out the cancellation of its own fetch that waits for a broker, which would end a partition's task in
    silence. Whoever is cancelled from outside still is."""

    async def scenario() -> None:
        for stop, cancelled in ((AIOKafkaConsumer.stop, True), (stop_reader, False)):
            reader = AIOKafkaConsumer(**reader_options(settings_for(broker.bootstrap)))
            await reader.start()
            backing_off = asyncio.create_task(asyncio.sleep(60))
            await asyncio.sleep(0)
            reader._fetcher._pending_tasks.add(backing_off)
            stopping = asyncio.create_task(stop(reader))
            await asyncio.wait({stopping})
            assert cancelled == stopping.cancelled()
            if not cancelled:
                assert not reader._client._conns
            await reader._client.close()
        waiting = asyncio.create_task(stop_reader(_Slow()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()

    asyncio.run(scenario())


class _Slow:
    """Something that takes its time to stop."""

    async def stop(self) -> None:
        await asyncio.sleep(60)


async def _refused(settings: Settings) -> str:
    with pytest.raises(TopicError) as caught:
        async with running_worker(settings, core=counting_core(settings)):
            pass
    return str(caught.value)


async def _recreate(settings: Settings, topic: str) -> None:
    await _admin(settings, "delete_topics", [topic])
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:

        async def gone() -> bool:
            return topic not in await admin.list_topics()

        async def made() -> bool:
            response = await admin.create_topics([NewTopic(topic, settings.partitions, 1)])
            return not response.topic_errors[0][1]

        await until(gone, 30)
        await until(made, 30)
        await until(lambda: _leads(admin, topic), 30)
    finally:
        await admin.close()


async def _leads(admin: AIOKafkaAdminClient, topic: str) -> bool:
    (found,) = await admin.describe_topics([topic])
    return bool(found["partitions"]) and all(row["leader"] >= 0 for row in found["partitions"])


async def _admin(settings: Settings, what: str, argument: Any) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        await getattr(admin, what)(argument)
    finally:
        await admin.close()


def _named(rows: Iterable[Any]) -> set[tuple[str, str]]:
    return {(row["customer_id"], row["occurrence"]) for row in rows}


async def _is(question: Any, answer: Any) -> bool:
    return bool(await question == answer)
