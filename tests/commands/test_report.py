"""`winback report` over what replay wrote and over a topic."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner

from stream.adapters.broker import EmbeddedBroker
from stream.agents.connection import client_options
from stream.cli import main
from stream.experiments.tally import Key, Sums, Tally
from stream.processor.epochs import Epoch, epoch_message
from stream.testing import message
from tests.agents.harness import make_topics, settings_for

RULE = """
id: thanks
version: 1
description: Thanks for an order.
when: {event: purchase}
then: {action: care, channel: email, template: thanks}
expires_after: 30d
cap: false
cost_minor: 10
holdout_percent: 50
measure: {window: 5d}
"""


def test_a_replay_says_what_its_rules_changed(tmp_path: Path) -> None:
    """Everybody buys twice within the window, in both arms, and is one customer; nothing is claimed of so few."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "thanks.yaml").write_text(RULE.strip() + "\n", encoding="utf-8")
    lines = [
        orjson.dumps(message("Order Completed", f"c{n}", f"2026-03-0{day}T10:{n:02}:00Z",
                             message_id=f"m{n}-{day}", order_id=f"o{n}-{day}", revenue=5.0))
        for day in (1, 3) for n in range(40)
    ]  # fmt: skip
    events, out = tmp_path / "events.jsonl", tmp_path / "out"
    events.write_bytes(b"\n".join(lines))
    runner = CliRunner()
    played = runner.invoke(
        main, ["replay", str(events), "--rules", str(tmp_path / "rules"), "--out", str(out), "--until", "2026-04-01"]
    )
    shown = runner.invoke(main, ["report", "--from", str(out), "--html", str(tmp_path / "rules.html")])
    rows = {
        row["arm"]: row
        for row in orjson.loads(runner.invoke(main, ["report", "--from", str(out), "--json"]).output)["experiments"]
    }

    assert 0 == played.exit_code, played.output
    assert {"default", "control"} == rows.keys()
    assert 40 == sum(row["exposed"] for row in rows.values())
    assert 40 == sum(row["converted"] for row in rows.values())
    assert rows["default"]["actions"] * 10 == rows["default"]["cost_minor"] > 0 == rows["control"]["actions"]
    assert "too_early" == rows["default"]["verdict"]
    assert "thanks" in shown.output
    assert "thanks v1" in (tmp_path / "rules.html").read_text(encoding="utf-8")


def test_the_newest_version_on_the_topic_is_reported(broker: EmbeddedBroker) -> None:
    """And before there is one, that nothing is known."""
    settings = settings_for(broker.bootstrap)
    asyncio.run(make_topics(settings))
    arguments = ["report", "--broker", settings.broker, "--app-id", settings.app_id]
    before = CliRunner().invoke(main, arguments)

    async def publish() -> None:
        async with AIOKafkaProducer(**client_options(settings)) as producer:
            for exposed in (100, 20_000):
                tallies = [
                    Tally(Key("thanks", 1, arm, "email", "low"), Sums(exposed, exposed // part, exposed // part))
                    for arm, part in (("default", 5), ("control", 10))
                ]
                value = epoch_message(Epoch(day=1, thresholds=None, model=None, tallies=tallies)).value
                await producer.send_and_wait(settings.topic_epochs, value, key=b"epoch", partition=0)

    asyncio.run(publish())
    after = CliRunner().invoke(main, [*arguments, "--json"])

    assert "no outcomes yet" in before.output
    by_arm = {row["arm"]: row for row in orjson.loads(after.output)["experiments"]}
    assert 20_000 == by_arm["default"]["exposed"]
    assert "works" == by_arm["default"]["verdict"]
    assert by_arm["default"]["uplift"]["interval"][0] > 0.8
