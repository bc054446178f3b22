"""Files onto a real broker: every line once, on the right partition, and an import that survives `kill -9`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from click import Command
from click.testing import CliRunner, Result

from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import reader_options
from stream.commands.import_ import import_
from stream.commands.produce import produce
from stream.config import SETTINGS, Settings, make_settings
from stream.datasets import CDNOW_ORDERS, cdnow_events
from stream.events.hashing import owner_partition


@pytest.fixture
def settings(broker: EmbeddedBroker, tmp_path: Path) -> Settings:
    """Topics of their own on the shared broker."""
    tag = uuid4().hex[:8]
    kinds = ("purchases", "browses", "feedback", "profiles", "outcomes", "actions", "alerts", "suppressions", "tiers")
    topics = {f"topic_{kind}": f"{tag}.{kind}" for kind in (*kinds, "kpis", "experiments", "models")}
    return make_settings(broker=f"kafka://{broker.bootstrap}", app_id=tag, data_dir=str(tmp_path / "data"), **topics)


async def _read(settings: Settings, topics: tuple[str, ...]) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(**reader_options(settings))
    await consumer.start()
    try:
        places = [TopicPartition(topic, n) for topic in topics for n in range(settings.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found += records
        return found
    finally:
        await consumer.stop()


def read(settings: Settings) -> list[ConsumerRecord]:
    """Everything on the input topics."""
    return asyncio.run(_read(settings, settings.input_topics))


def call(command: Command, settings: Settings, *arguments: object) -> Result:
    """A command as the shell would call it, with these settings in the environment."""
    return CliRunner().invoke(command, [str(a) for a in arguments], env=environment(settings))


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables that give these settings."""
    return {
        row.variable: str(getattr(settings, row.name)) for row in SETTINGS if getattr(settings, row.name) != row.default
    }


def is_end(record: ConsumerRecord) -> bool:
    """Whether a record is the end marker of an import."""
    return record.value is None and (("winback-backfill-end", b"1"),) == tuple(record.headers)


def test_produce_sends_every_line_unchanged_to_its_kind_and_customer(settings: Settings, tmp_path: Path) -> None:
    """Good lines by kind and key, broken ones keyless to the purchases topic, all bytes as they were."""
    lines = [
        b'{"type":"track","event":"Order Completed","userId":"ann","messageId":"1"}',
        b'{"type": "page", "anonymousId": "d-1"}',
        b'{"type":"track","event":"NPS Submitted","userId":"bob"}',
        b'{"type":"identify","userId":"ann"}',
        b'{"type":"track","event":"Action Clicked","userId":"ann"}',
        b'{"broken',
        b"caf\xe9",
        b'{"big": "' + b"x" * 600_000 + b'"}',
    ]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(lines))
    result = call(produce, settings, file, "--json")
    found = read(settings)

    assert 0 == result.exit_code, result.output
    assert (8, 3) == (json.loads(result.stdout)["lines"], json.loads(result.stdout)["unclear"])
    assert Counter(lines) == Counter(record.value for record in found)
    kinds = [settings.topic_purchases, settings.topic_browses, settings.topic_feedback, settings.topic_profiles,
             settings.topic_outcomes, *[settings.topic_purchases] * 3]  # fmt: skip
    assert dict(zip(lines, kinds, strict=True)) == {record.value: record.topic for record in found}
    assert {b"ann", b"bob", b"anon:d-1", None} == {record.key for record in found}
    assert all(owner_partition(r.key, settings.partitions) == r.partition for r in found if r.key is not None)


def test_import_flags_history_and_marks_its_end_once(settings: Settings, tmp_path: Path) -> None:
    """All CDNOW orders, flagged; then an end marker on each partition used; a second import sends nothing."""
    file = tmp_path / "cdnow.jsonl"
    file.write_bytes(b"\n".join(json.dumps(event).encode() for event in cdnow_events()))
    first = call(import_, settings, file, "--json")
    found = read(settings)
    second = call(import_, settings, file, "--json")

    assert 0 == first.exit_code, first.output
    orders = [record for record in found if record.value is not None]
    assert CDNOW_ORDERS == len(orders) == len({json.loads(r.value)["messageId"] for r in orders})
    assert {(("winback-backfill", b"1"),)} == {tuple(r.headers) for r in orders}
    ends = [record for record in found if is_end(record)]
    assert list(range(settings.partitions)) == sorted(record.partition for record in ends)
    last = {r.partition: r.offset for r in orders}
    assert all(record.offset > last[record.partition] for record in ends)
    assert ([str(file)], 0) == (json.loads(second.stdout)["already_imported"], json.loads(second.stdout)["messages"])
    assert len(found) == len(read(settings))


def test_a_killed_import_goes_on_and_loses_nothing(settings: Settings, tmp_path: Path) -> None:
    """`kill -9` in mid-file, then the same call: every good row is there, every bad row is rejected exactly once."""
    rows = 150_000
    file = tmp_path / "views.csv"
    with file.open("w", encoding="utf-8") as out:
        out.write("who,what,when\n")
        for row in range(rows):
            when = "never" if row % 1000 == 999 else "2025-01-31T10:00:00Z"
            out.write(f"c{row % 500},P{row % 7},{when}\n")
    arguments = [str(file), "--event", "Product Viewed", "--column", "customer=who", "--column", "product_id=what",
                 "--column", "timestamp=when"]  # fmt: skip
    killed = subprocess.Popen(
        [sys.executable, "-m", "stream", "import", *arguments], env=os.environ | environment(settings)
    )
    notes = Path(settings.data_dir) / "imports"
    deadline = time.monotonic() + 60
    while not list(notes.glob("*.json")) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    noted = json.loads(next(notes.glob("*.json")).read_text())
    result = call(import_, settings, *arguments, "--json")
    summary = json.loads(result.stdout)
    found = read(settings)

    assert (False, True) == (noted["done"], 0 < noted["items"] < rows)
    assert (3, [str(file)]) == (result.exit_code, summary["resumed"])
    bad = {row + 2 for row in range(rows) if row % 1000 == 999}
    sent = {json.loads(record.value)["messageId"] for record in found if record.value}
    assert {f"views-{row + 2}" for row in range(rows)} - {f"views-{row}" for row in bad} == sent
    rejected = [json.loads(line)["line"] for line in (tmp_path / "views.csv.rejected.jsonl").read_text().splitlines()]
    assert sorted(bad) == sorted(rejected)
    assert settings.partitions == sum(is_end(record) for record in found)
