"""Checks that need a system tool (``prometheus``, ``promtool``, ``docker-compose``) run wherever it is on the PATH.

Where it isn't, they are taken out and the summary says so; with ``REQUIRE_SYSTEM_TOOLS=1`` they fail instead.
"""

from __future__ import annotations

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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from stream.actions.message import Message, Stream
from stream.adapters.metrics import Metrics, ModelQuality
from stream.outcome import Outcome

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


def fill(outcome: Outcome) -> Outcome:
    """Fills an outcome with at least one of everything that a worker can report."""
    figures = outcome.telemetry
    figures.events["crm.purchases.v1", "order_completed"] = 90
    figures.events["crm.browses.v1", "product_viewed"] = 500
    figures.rejected["crm.browses.v1", "decode", "not_json"] = 2
    figures.ignored["crm.browses.v1", "duplicate"] = 3
    figures.actions["welcome", "message"] = 5
    figures.suppressed["churn-recall", "cap"] = 2
    figures.alerts["churn",] = 1
    figures.tier_changes["low", "medium"] = 1
    figures.tier_changes["", "low"] = 20
    figures.labels["bought",] = 4
    figures.labels["churned",] = 6
    figures.customers_by_tier.update({"low": 20, "medium": 1})
    figures.customers_by_segment.update({"champions": 3, "hibernating": 18})
    figures.lateness_ms += [40, 800, 90_000_000]
    figures.event_to_decision_ms += [4, 12, 90]
    figures.timer_delay_ms += [3, 250]
    outcome.changed = {b"c-1": b"x", b"c-2": None}
    outcome.messages = [Message(stream, b"c-1", b"{}") for stream in Stream]
    return outcome


def busy_metrics() -> tuple[Metrics, Callable[[], None]]:
    """The metrics of a worker at work, and what makes it work on."""
    metrics = Metrics(CollectorRegistry())
    metrics.set_broker_up(True)
    metrics.set_ready(None)
    metrics.set_lag("crm.browses.v1", 0, 17)
    metrics.set_offset("crm.browses.v1", 0, 4_711)
    metrics.set_clock(0, 1_700_000_000_000)
    metrics.set_recovery(0, 1.5, 1.0)
    metrics.set_epoch(19_675, 19_675)
    quality = ModelQuality(19_675, 5_000, False, auc=0.8, brier=0.17, calibration_error=0.03, lift_quality=0.6)
    metrics.set_model(quality)

    def work() -> None:
        metrics.observe(fill(Outcome()), partition=0, commit_ms=7)
        metrics.observe_batch(590, 0.02)
        metrics.observe_transaction(0.03)

    return metrics, work


@pytest.fixture
def everything() -> Callable[[Outcome], Outcome]:
    """What fills an outcome with everything that a worker can report."""
    return fill


@pytest.fixture(scope="session")
def source() -> Iterator[Source]:
    """An HTTP server that exposes the metrics of a worker which does more work before every scrape."""
    metrics, work = busy_metrics()
    token = "s3cret-of-the-test"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Bearer {token}":
                self.send_error(401)
                return
            work()
            body, content_type = metrics.exposition(self.headers.get("Accept", ""))
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the base class
            """Keeps the test's output readable."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Source(f"127.0.0.1:{server.server_address[1]}", token)
        server.shutdown()
        thread.join()


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, url: str, patience_seconds: float = 60) -> None:
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


@pytest.fixture(scope="session")
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
