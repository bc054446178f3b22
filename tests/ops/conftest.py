"""Checks that need a system tool (``prometheus``, ``promtool``, ``docker-compose``) run wherever it is on the PATH.

Where it isn't, they are taken out and the summary says so; with ``REQUIRE_SYSTEM_TOOLS=1`` they fail instead.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.actions.message import Message, Stream
from stream.adapters.broker import EmbeddedBroker
from stream.adapters.files_routing import topic_names
from stream.adapters.files_send import BulkSender
from stream.agents.connection import client_options
from stream.config import DAY_MS, Settings
from stream.events.instants import parse_ms
from stream.outcome import Outcome
from stream.simulate import Shop
from tests.agents.harness import WorkerProcess, make_topics, settings_for

ROOT = Path(__file__).parents[2]
_left_out = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tools(*names): needs these programs on the PATH")
    config.stash[_left_out] = {}


def _missing(item: pytest.Item) -> list[str]:
    return [name for mark in item.iter_markers("tools") for name in mark.args if shutil.which(name) is None]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("REQUIRE_SYSTEM_TOOLS") == "1":
        return
    dropped = [item for item in items if _missing(item)]
    if dropped:
        for item in dropped:
            for name in _missing(item):
                config.stash[_left_out].setdefault(name, []).append(item.nodeid)
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if missing := _missing(item):
        pytest.fail(f"not on the PATH, though REQUIRE_SYSTEM_TOOLS=1: {', '.join(missing)}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, nodes in config.stash[_left_out].items():
        text = f"NOT RUN, because {name} isn't on the PATH: {len(nodes)} checks, such as {nodes[0]}"
        terminalreporter.write_line(text, yellow=True, bold=True)


@dataclass(frozen=True)
class Source:
    """Something to scrape: ``host:port`` and the token that it wants."""

    address: str
    token: str


MEASURED = """
id: measured
version: 1
description: Says thank you to half of those who buy.
when: {event: purchase}
then: {action: care, channel: email, template: thanks}
holdout_percent: 50
measure: {window: 14d}
cost_minor: 2
expires_after: 1d
cap: false
"""


def fill(outcome: Outcome) -> Outcome:
    """Fills an outcome with at least one of everything that a worker can report."""
    figures = outcome.telemetry
    figures.events["crm.purchases.v1", "order_completed"] = 90
    figures.events["crm.browses.v1", "product_viewed"] = 500
    figures.rejected["crm.browses.v1", "decode", "not_json"] = 2
    figures.ignored["crm.browses.v1", "duplicate"] = 3
    figures.actions["welcome", "message"] = 5
    figures.suppressed["churn-recall", "cap"] = 2
    figures.deferred["churn-recall", "quiet_hours"] = 2
    figures.journeys["churn-recall", "sent"] = 2
    figures.alerts["churn",] = 1
    figures.tier_changes["low", "medium"] = 1
    figures.tier_changes["", "low"] = 20
    figures.labels["bought",] = 4
    figures.labels["churned",] = 6
    figures.suspects["pace",] = 1
    figures.customers_by_tier.update({"low": 20, "medium": 1})
    figures.class_changes["share", "low", "medium"] = 1
    figures.customers_by_class.update({("share", "low"): 20, ("share", "medium"): 1})
    figures.customers_by_segment.update({"champions": 3, "hibernating": 18})
    figures.lateness_ms += [40, 800, 90_000_000]
    figures.event_to_decision_ms += [4, 12, 90]
    figures.timer_delay_ms += [3, 250]
    outcome.changed = {b"c-1": b"x", b"c-2": None}
    outcome.messages = [Message(stream, b"c-1", b"{}") for stream in Stream]
    return outcome


@pytest.fixture
def everything() -> Callable[[Outcome], Outcome]:
    """What fills an outcome with everything that a worker can report."""
    return fill


@pytest.fixture(scope="package")
def source(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A real worker with a simulated shop before it: a day of events, some broken, some twice, every half second.

    On the event clock, so that labels mature and the model has figures within seconds; days without end, so that every
    scrape finds something new.
    """
    token = "s3cret-of-the-test"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rules = tmp_path_factory.mktemp("rules")
    shutil.copytree(ROOT / "stream" / "rules" / "library", rules, dirs_exist_ok=True)
    (rules / "measured.yaml").write_text(MEASURED.lstrip(), encoding="utf-8")
    settings = settings_for(
        broker.bootstrap,
        rules_dir=str(rules),
        clock="event",
        partitions=2,
        web_port=port,
        web_token=token,
        churn_horizon_days=7,
        churn_min_labels=30,
        churn_quiet_days=2,
    )
    asyncio.run(make_topics(settings))
    ended = threading.Event()
    feeder = threading.Thread(target=lambda: asyncio.run(_feed(settings, ended)))
    with WorkerProcess(settings, "worker", module="stream") as worker:
        feeder.start()
        try:
            yield Source(f"127.0.0.1:{port}", token)
            assert worker.process.poll() is None, worker.log
        finally:
            ended.set()
            feeder.join()


async def _feed(settings: Settings, ended: threading.Event) -> None:
    """Sends a day of the shop at a time until it is told to end."""
    start = parse_ms("2026-01-01T00:00:00Z")
    shop = Shop(13, 200, start)
    names = topic_names(settings)
    day = 0
    async with BulkSender(client_options(settings)) as sender:
        await sender.open_topics(settings.input_topics)
        while not ended.is_set():
            day += 1
            for number, (kind, key, value) in enumerate(shop.lines(start + day * DAY_MS, broken_share=0.02)):
                for _ in range(2 if number % 50 == 0 else 1):
                    sender.add(names[kind], key, value, ())
            await sender.flush()
            await asyncio.to_thread(ended.wait, 0.5)


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, url: str, patience_seconds: float = 150) -> None:
        self.url = url
        self.patience_seconds = patience_seconds

    def get(self, path: str, **parameters: str) -> Any:
        """The ``data`` of an answer of the API; a refused query fails with Prometheus's own words."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=5) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path} {parameters}: {error.read().decode()}")

    def query(self, expression: str) -> list[float]:
        """The values of an instant query; not-a-number counts as no value."""
        values = [float(row["value"][1]) for row in self.get("/api/v1/query", query=expression)["result"]]
        return [value for value in values if not math.isnan(value)]

    def until(self, done: Callable[[], bool]) -> None:
        """Waits until it is done, or for ``patience_seconds``; the caller then asserts."""
        deadline = time.monotonic() + self.patience_seconds
        while not done() and time.monotonic() < deadline:
            time.sleep(0.25)


@pytest.fixture(scope="package")
def prometheus(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus with the stack's own configuration and rules; only addresses, paths and intervals differ."""
    home = tmp_path_factory.mktemp("prometheus")
    (home / "token").write_text(source.token)
    config = yaml.safe_load((ROOT / "grafana/prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "grafana/prometheus/rules/*.yml")]
    worker = next(job for job in config["scrape_configs"] if job["job_name"] == "winback")
    worker["authorization"]["credentials_file"] = str(home / "token")
    del worker["dns_sd_configs"]
    worker["static_configs"] = [{"targets": [source.address]}]
    config["scrape_configs"] = [worker]
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (home / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        server = Prometheus(f"http://127.0.0.1:{port}")

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"{server.url}/-/ready", timeout=5):
                    return True
            except OSError:
                return process.poll() is not None

        try:
            server.until(ready)
            assert process.poll() is None, (home / "log").read_text()
            yield server
        finally:
            process.terminate()
