"""`winback explain` on files and on a broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaProducer
from click.testing import CliRunner

from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import client_options
from stream.agents.published import find_decisions
from stream.cli import main
from stream.events.hashing import owner_partition
from tests.agents.harness import make_topics, settings_for

EXAMPLE = Path(__file__).parents[2] / "docs/examples/events.jsonl"


def test_the_story_of_a_replayed_action(tmp_path: Path) -> None:
    """By its id, with the checks that it passed; an id that nobody has is an error with advice."""
    runner = CliRunner()
    assert runner.invoke(main, ["replay", str(EXAMPLE), "--out", str(tmp_path), "--until", "2026-06-05"]).exit_code == 0

    told = runner.invoke(main, ["explain", "17454d5315ceb09043661e6a29a76c70", "--from", str(tmp_path)])
    nobody = runner.invoke(main, ["explain", "0" * 32, "--from", str(tmp_path)])

    assert 0 == told.exit_code
    assert "repurchase-reminder (version 1) for ann: went out at 2026-05-28 00:14 UTC by email" in " ".join(
        told.output.replace("│", "").split()
    )
    assert "the same verdict" in told.output
    assert 1 == nobody.exit_code
    assert "check the id" in nobody.stderr


def test_records_are_found_on_a_broker(broker: EmbeddedBroker) -> None:
    """On both topics and every partition, by time; only committed ones; with the customer's id on their partition only."""
    settings = settings_for(broker.bootstrap)

    async def run() -> list[list[bytes]]:
        await make_topics(settings)
        at = owner_partition(b"ann", settings.partitions)
        async with AIOKafkaProducer(**client_options(settings), transactional_id=f"{settings.app_id}-x") as producer:
            for value, topic, time, is_kept in (
                (b"second", settings.topic_actions, b"2026-01-02T00:00:00Z", True),
                (b"first", settings.topic_suppressions, b"2026-01-01T00:00:00Z", True),
                (b"aborted", settings.topic_actions, b"2026-01-03T00:00:00Z", False),
            ):
                await producer.begin_transaction()
                headers = [("ce_id", b"a1"), ("ce_time", time)]
                await producer.send_and_wait(topic, value, key=b"ann", partition=at, headers=headers)
                await producer.send_and_wait(topic, b"other", key=b"ann", partition=at, headers=[("ce_id", b"a2")])
                await (producer.commit_transaction() if is_kept else producer.abort_transaction())
        other = next(name for name in map(str, range(99)) if owner_partition(name.encode(), settings.partitions) != at)
        return [await find_decisions(settings, "a1", customer) for customer in ("", "ann", other)]

    everywhere, hers, elsewhere = asyncio.run(run())

    assert [b"first", b"second"] == everywhere == hers
    assert [] == elsewhere
