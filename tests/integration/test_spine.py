"""The whole spine on a real broker: live is replay, crashes included; history mails nobody; nothing is dropped."""

from __future__ import annotations

import asyncio
from collections import Counter
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
from stream.simulate import Shop
from tests.agents.harness import committed, make_topics, settings_for, until
from tests.equality import customers_of, live, replayed, shop_worker, values_of

START = parse_ms("2026-01-01T00:00:00Z")
LEARNING: dict[str, Any] = {"churn_horizon_days": 14, "churn_min_labels": 40, "churn_quiet_days": 3}
"""Labels mature within the test's weeks, so the model, its alerts and the days' versions are part of the comparison."""


def test_live_is_replay_even_when_killed(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Five weeks of a shop through Kafka on three partitions, the worker killed (-9) four times in mid-stream: the same
    customers, and every action, suppression, alert and tier change of replay exactly once."""
    end = START + 35 * DAY_MS
    shop = Shop(5, 150, START)
    events = [(kind, body) for kind, body in shop.events(end)]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(body) for _, body in events))

    learning: dict[str, Any] = {"currency": "USD"} | LEARNING
    settings = settings_for(broker.bootstrap, clock="event", partitions=3, batch_records=50, **learning)

    found = asyncio.run(live(settings, file, to_text(end), kill_after_days=(3, 9, 17, 26)))

    expected = replayed(Settings(**learning), file, to_text(end))
    assert expected.told == found.told
    assert all(found.told[name] for name in ("actions", "alerts", "tiers"))
    assert expected.customers == found.customers


def test_importing_all_of_cdnow_mails_nobody(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """69,659 real orders imported into a live worker: 23,570 customers, labels for the model, not one action."""
    file = tmp_path / "cdnow.jsonl"
    file.write_bytes(b"\n".join(orjson.dumps(event) for event in cdnow_events()))
    settings = settings_for(broker.bootstrap, partitions=2, data_dir=str(tmp_path / "data"))
    changed = {f"WINBACK_{f.upper()}": str(v) for f, v in msgspec.structs.asdict(settings).items() if v != ""}

    async def scenario() -> tuple[int, list[bytes], list[bytes]]:
        await make_topics(settings)
        with shop_worker(settings) as worker:
            result = await asyncio.to_thread(CliRunner().invoke, main, ["import", str(file)], env=changed)
            assert result.exit_code == 0, result.output

            async def learnt() -> bool:
                assert worker.process.poll() is None, worker.log
                return len(await customers_of(settings)) >= CDNOW_CUSTOMERS and await _labels(settings) > 100_000

            await until(learnt, 300)
            assert 0 == worker.stop()
        told = [
            *await values_of(settings, settings.topic_actions),
            *await values_of(settings, settings.topic_suppressions),
        ]
        letters = await values_of(settings, f"{settings.topic_purchases}.dlq")
        return len(await customers_of(settings)), told, letters

    customers, told, letters = asyncio.run(scenario())

    assert (CDNOW_CUSTOMERS, [], []) == (customers, told, letters)
    assert CDNOW_ORDERS == file.read_bytes().count(b"\n") + 1


async def _labels(settings: Settings) -> int:
    """Examples on the contributions topic."""
    found = 0
    for value in await values_of(settings, settings.topic_contributions):
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
        with shop_worker(settings) as worker:
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
