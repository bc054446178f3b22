"""A transaction that begins before anybody knows what will be in it, on a real broker."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from stream.adapters.broker import EmbeddedBroker
from stream.agents.topics import Rows
from stream.agents.transactions import TransactionalWriter
from stream.agents.writing import Span
from stream.config import Settings
from stream.errors import Fenced
from tests.agents.harness import committed, make_topics, settings_for, until


def row(settings: Settings, value: bytes, *, action: bool = False) -> Rows:
    """One record of the changelog or of the actions."""
    topic = settings.topic_actions if action else settings.topic_changelog
    return {(topic, 0): [(b"k", value, ())]}


def test_a_prepared_transaction_takes_what_it_did_not_expect(broker: EmbeddedBroker) -> None:
    """Partitions that get nothing, partitions that nobody asked for, and steps without offsets are all committed once."""
    settings = settings_for(broker.bootstrap, partitions=1)
    offsets = {TP(settings.topic_purchases, 0): 5}

    async def run() -> list[Span]:
        await make_topics(settings)
        writer = TransactionalWriter(settings, f"{settings.app_id}-0")
        await writer.start()
        spans: list[Span] = []
        for rows, at in (
            (row(settings, b"1"), offsets),
            (row(settings, b"2", action=True), offsets),
            ({**row(settings, b"3"), **row(settings, b"4", action=True)}, {}),
        ):
            writer.prepare()
            writer.prepare()
            spans += (await writer.write(rows, at)).values()
        await writer.write(row(settings, b"5"), offsets)
        await writer.close()
        return spans

    spans = asyncio.run(run())

    assert all(span.next == span.first + 2 for span in spans)
    assert [b"1", b"3", b"5"] == [record.value for record in asyncio.run(committed(settings, settings.topic_changelog))]
    assert [b"2", b"4"] == [record.value for record in asyncio.run(committed(settings, settings.topic_actions))]


def test_whoever_is_fenced_while_preparing_is_told(broker: EmbeddedBroker) -> None:
    """The former owner's prepared transaction is ended by the new one's start, and its step is refused."""
    settings = settings_for(broker.bootstrap, partitions=1)

    async def run() -> None:
        await make_topics(settings)
        zombie = TransactionalWriter(settings, f"{settings.app_id}-0")
        await zombie.start()
        await zombie.write(row(settings, b"before"), {})
        zombie.prepare()
        await asyncio.sleep(0)
        owner = TransactionalWriter(settings, f"{settings.app_id}-0")
        await owner.start()
        await owner.write(row(settings, b"owner"), {})
        with pytest.raises(Fenced):
            await zombie.write(row(settings, b"zombie"), {})
        await zombie.give_up()
        await owner.close()

    asyncio.run(run())

    values = [record.value for record in asyncio.run(committed(settings, settings.topic_changelog))]
    assert [b"before", b"owner"] == values


def test_a_fence_that_the_client_hears_of_first_is_told_as_such(broker: EmbeddedBroker) -> None:
    """Between preparing and writing the client may ask the broker something of its own, and be refused for good."""
    settings = settings_for(broker.bootstrap, partitions=1)

    async def run() -> None:
        await make_topics(settings)
        zombie = TransactionalWriter(settings, f"{settings.app_id}-0")
        await zombie.start()
        await zombie.write(row(settings, b"before"), {})
        zombie.prepare()
        assert zombie._opening is not None and zombie._producer is not None
        await zombie._opening.group
        owner = TransactionalWriter(settings, f"{settings.app_id}-0")
        await owner.start()
        manager = zombie._producer._txn_manager
        manager.maybe_add_partition_to_txn(TopicPartition(settings.topic_actions, 0))
        await until(manager.is_fatal_error)
        with pytest.raises(Fenced):
            await zombie.write(row(settings, b"zombie"), {})
        await zombie.give_up()
        await owner.close()

    asyncio.run(run())
