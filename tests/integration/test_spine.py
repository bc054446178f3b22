"""The whole spine on a real broker: live is replay, crashes included; history mails nobody; nothing is dropped."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from click.testing import CliRunner

from stream.adapters.broker import EmbeddedBroker
from stream.cli import main
from stream.commands.produce import send_file
from stream.config import DAY_MS, Settings
from stream.datasets import CDNOW_CUSTOMERS, CDNOW_ORDERS, cdnow_events
from stream.events.codec import Decoder
from stream.events.instants import parse_ms, to_text
from stream.events.kinds import Event
from stream.events.record import Record
from stream.events.rejected import Ignored
from stream.processor.partition import PARTITION_KEY
from stream.replay import Replay
from stream.rules.loader import load_rules
from stream.simulate import Shop
from stream.state.customer import Customer, decode
from stream.state.layout import TOPICS
from tests.agents.harness import WorkerProcess, committed, make_topics, settings_for, until

START = parse_ms("2026-01-01T00:00:00Z")
LEARNING: dict[str, Any] = {"churn_horizon_days": 14, "churn_min_labels": 40, "churn_quiet_days": 3}
"""Labels mature within the test's weeks, so the model, its alerts and the days' versions are part of the comparison."""


def _worker(settings: Settings, *flags: str) -> WorkerProcess:
    return WorkerProcess(settings, "worker", *flags, module="stream")


async def _customers(settings: Settings) -> dict[bytes, Customer]:
    """The customers as the changelog has them, without their offset stamps."""
    latest: dict[bytes, bytes | None] = {}
    for record in await committed(settings, settings.topic_changelog):
        latest[record.key] = record.value
    found = {key: decode(value) for key, value in latest.items() if value is not None and key != PARTITION_KEY}
    for customer in found.values():
        customer.stamps = [-1] * TOPICS
    return found


async def _values(settings: Settings, topic: str) -> list[bytes]:
    return [record.value for record in await committed(settings, topic)]


def _told(rows: Iterable[bytes]) -> Counter[str]:
    """Decisions, alerts and changes as comparable text: without where in Kafka the causing event lay."""
    found: Counter[str] = Counter()
    for row in rows:
        plain = orjson.loads(row)
        if "cause" in plain:
            plain["cause"] |= {"topic": None, "partition": None, "offset": None}
        found[orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()] += 1
    return found


def test_live_is_replay_even_when_killed(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Five weeks of a shop through Kafka on three partitions, the worker killed (-9) four times in mid-stream: the same
    customers, and every action, suppression, alert and tier change of replay exactly once."""
    end = START + 35 * DAY_MS
    shop = Shop(5, 150, START)
    events = [(kind, body) for kind, body in shop.events(end)]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(body) for _, body in events))

    async def live() -> tuple[dict[bytes, Customer], dict[str, Counter[str]], int]:
        settings = settings_for(
            broker.bootstrap, clock="event", partitions=3, batch_records=50, currency="USD", **LEARNING
        )
        await make_topics(settings)
        await send_file(file, settings)
        kills = 0
        for days in (3, 9, 17, 26):
            with _worker(settings, "--until", to_text(end)) as worker:

                async def reached(least: int = days) -> bool:
                    assert worker.process.poll() is None, worker.log
                    return len(await _values(settings, settings.topic_epochs)) >= least

                await until(reached, 90)
                worker.kill()
                kills += 1
        with _worker(settings, "--until", to_text(end), "--exit-when-done") as worker:
            await until(lambda: worker.process.poll() is not None, 180)
            assert worker.process.returncode == 0, worker.log
        told = {
            name: _told(await _values(settings, getattr(settings, f"topic_{name}")))
            for name in ("actions", "suppressions", "alerts", "tiers")
        }
        return await _customers(settings), told, kills

    customers, told, kills = asyncio.run(live())

    with Replay(Settings(**LEARNING), load_rules(), until_ms=end, states=True) as run:
        run.run([file])
        expected = {key: decode(value) for key, value in run.states().items() if key != PARTITION_KEY}
        replayed = {name: _told(list(run.rows(name))) for name in told}
    assert kills == 4
    assert replayed == told
    assert all(told[name] for name in ("actions", "alerts", "tiers"))
    assert expected == customers


def test_importing_all_of_cdnow_mails_nobody(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """69,659 real orders imported into a live worker: 23,570 customers, labels for the model, not one action."""
    file = tmp_path / "cdnow.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(event) for event in cdnow_events()))
    settings = settings_for(broker.bootstrap, partitions=2, data_dir=str(tmp_path / "data"))
    changed = {f"WINBACK_{f.upper()}": str(v) for f, v in msgspec.structs.asdict(settings).items() if v != ""}

    async def scenario() -> tuple[int, list[bytes], list[bytes]]:
        await make_topics(settings)
        with _worker(settings) as worker:
            result = await asyncio.to_thread(CliRunner().invoke, main, ["import", str(file)], env=changed)
            assert result.exit_code == 0, result.output

            async def learnt() -> bool:
                assert worker.process.poll() is None, worker.log
                return len(await _customers(settings)) >= CDNOW_CUSTOMERS and await _labels(settings) > 100_000

            await until(learnt, 300)
            assert 0 == worker.stop()
        told = [*await _values(settings, settings.topic_actions), *await _values(settings, settings.topic_suppressions)]
        letters = await _values(settings, f"{settings.topic_purchases}.dlq")
        return len(await _customers(settings)), told, letters

    customers, told, letters = asyncio.run(scenario())

    assert (CDNOW_CUSTOMERS, [], []) == (customers, told, letters)
    assert CDNOW_ORDERS == file.read_bytes().count(b"\n") + 1


async def _labels(settings: Settings) -> int:
    """Examples on the contributions topic."""
    found = 0
    for value in await _values(settings, settings.topic_contributions):
        found += len(msgspec.msgpack.decode(value).get("examples", ()))
    return found


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200,000 lines of a simulated shop, one in a hundred broken."""
    shop = Shop(9, 4_000, START)
    path = tmp_path_factory.mktemp("spoilt") / "spoilt.jsonl"
    with path.open("wb") as file:
        for number, (_, _, value) in enumerate(shop.lines(broken_share=0.01)):
            if number == 200_000:
                break
            file.write(value.replace(b"\n", b" ") + b"\n")
    return path


def test_every_good_line_is_applied_and_every_bad_one_has_its_reason(broker: EmbeddedBroker, spoilt: Path) -> None:
    """Of 200,000 lines with 1 % broken ones, the good ones are in the state and the others in the dead letters."""
    settings = settings_for(broker.bootstrap, partitions=2)
    decoder = Decoder(settings)
    verdicts: Counter[str] = Counter()
    for line in spoilt.read_bytes().split(b"\n"):
        if line:
            result = decoder.decode(Record("", 0, -1, parse_ms("2026-11-22"), None, line))
            verdicts[
                "good" if isinstance(result, Event) else result.why if isinstance(result, Ignored) else result.reason
            ] += 1
    assert 200_000 == verdicts.total()

    async def scenario() -> tuple[Counter[str], Counter[str]]:
        await make_topics(settings)
        with _worker(settings) as worker:
            await send_file(spoilt, settings)
            want = verdicts.total()

            async def done() -> bool:
                assert worker.process.poll() is None, worker.log
                return await _applied(settings) >= want

            await until(done, 300)
            assert 0 == worker.stop()
        reasons: Counter[str] = Counter()
        for topic in settings.input_topics:
            for record in await committed(settings, f"{topic}.dlq"):
                reasons[dict(record.headers)["dlq-reason"].decode()] += 1
        return reasons, Counter()

    reasons, _ = asyncio.run(scenario())

    bad = Counter({reason: n for reason, n in verdicts.items() if reason not in ("good", "unknown_event")})
    assert 1_500 < bad.total() < 2_500
    assert bad == reasons


async def _applied(settings: Settings) -> int:
    """Committed offsets of all input topics."""
    from tests.agents.harness import consumed

    return sum([await consumed(settings, topic) for topic in settings.input_topics])
