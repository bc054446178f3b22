"""The programme's figures and its experiments on a real broker: on their topics as replay has them, and on /metrics."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.parser import text_string_to_metric_families as parse_text

from stream.adapters.broker import EmbeddedBroker
from stream.app import WinbackApp
from stream.churn.features import FEATURES
from stream.commands.model import told as told_of
from stream.commands.produce import send_file
from stream.events.instants import DAY_MS, parse_ms
from stream.experiments.published import newest
from stream.processor.epochs import Chosen, decode_contribution, decode_epoch
from stream.replay import Replay
from stream.rules.loader import load_rules
from stream.worker import running_worker
from tests.agents.harness import committed, make_topics, settings_for, until
from tests.kpis.test_kpis import DAILY, HORIZON, RULE, START_MS, life

UNTIL_MS = START_MS + 40 * DAY_MS + 5
Samples = dict[tuple[str, ...], float]


def figures(app: WinbackApp) -> Samples:
    """What Prometheus would read: name and label values → value."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parse_text(app.shell.gauges.exposition()[0].decode())
        for sample in family.samples
    }


def test_every_day_arrives_on_its_topic_and_on_metrics(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Forty days through a worker of three partitions: each day's figures once and as replay has them, the last ones as metrics."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "recall.yaml").write_text(RULE.lstrip(), encoding="utf-8")
    file = tmp_path / "events.jsonl"
    lines = [line for line in life(5, days=40) if parse_ms(line["timestamp"]) < UNTIL_MS]
    file.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    settings = settings_for(
        broker.bootstrap,
        clock="event",
        partitions=3,
        churn_horizon_days=HORIZON,
        churn_quiet_days=2,
        timer_spread_ms=0,
        rules_dir=str(tmp_path / "rules"),
    )

    async def live() -> tuple[dict[str, list[dict[str, Any]]], Samples, bytes]:
        await make_topics(settings)
        await send_file(file, settings)
        async with running_worker(settings, until_ms=UNTIL_MS) as app:
            await asyncio.wait_for(app.shell.caught_up.wait(), 180)
            await until(lambda: figures(app).get(("winback_kpi_timestamp_seconds",)) == (UNTIL_MS - 5) / 1000)
            page = figures(app)
        told = {
            name: [
                orjson.loads(record.value) for record in await committed(settings, getattr(settings, f"topic_{name}"))
            ]
            for name in DAILY
        }
        return told, page, [record.value for record in await committed(settings, settings.topic_epochs)][-1]

    told, found, epoch = asyncio.run(live())
    with Replay(settings, load_rules(settings.rules_dir), until_ms=UNTIL_MS) as run:
        run.run([file])
        replayed = {name: list(map(orjson.loads, run.rows(name))) for name in DAILY}

    command = [sys.executable, "-m", "stream", "model", "--broker", settings.broker, "--app-id", settings.app_id]
    model = subprocess.run([*command, "--json"], capture_output=True, check=True, text=True).stdout
    in_use = decode_epoch(epoch).model
    assert in_use is not None
    assert told_of(in_use) == orjson.loads(model)
    page = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert f"Learnt from {in_use.labels:,} labels" in page
    assert all(feature.name in page for feature in FEATURES)

    fair = orjson.loads(subprocess.run([*command, "--fairness", "--json"], capture_output=True, check=True).stdout)
    assert in_use.quality.pairs > 0
    assert {"region", "channel", "tier"} == {row["kind"] for row in fair}
    command.insert(4, "promote")
    subprocess.run([*command, "recency", "--by", "ann"], capture_output=True, check=True)
    *_, last = asyncio.run(committed(settings, settings.topic_contributions))
    chosen = decode_contribution(last.value)
    assert isinstance(chosen, Chosen)
    assert ("recency", "ann") == (chosen.model, chosen.by)
    for name in DAILY:
        assert replayed[name]
        assert sorted(map(orjson.dumps, told[name])) == sorted(map(orjson.dumps, replayed[name]))
    last_day = max(told["kpis"], key=lambda row: row["day"])
    assert last_day["retention"]["of"] > 10
    for kpi in ("repurchase", "retention", "churn", "recall", "participation"):
        assert last_day[kpi]["value"] == found["winback_kpi_ratio", kpi]
        assert last_day[kpi]["of"] == found["winback_kpi_customers", kpi]
    for value in last_day["value_by_tier"]:
        assert value["customers"] == found["winback_value_customers", value["tier"]]
        if value["customers"]:
            assert value["average_minor"] == found["winback_value_lifetime_minor", value["tier"]]
    assert newest(decode_epoch(epoch).tallies) == {("recall", 1)}
    for arm in ("default", "control"):
        row = [row for row in told["experiments"] if row["arm"] == arm][-1]
        assert row["exposed"] == found["winback_experiment_customers", *sorted((arm, "recall", "1"))] > 0
        assert row["converted"] == found["winback_experiment_converted", *sorted((arm, "recall", "1"))]
