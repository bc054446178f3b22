"""The real worker, with everything that is shipped, on a shop with a past: what `whole`, `latency` and `scale` measure."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from stream.adapters.broker.node import free_ports
from stream.agents.connection import MAX_MESSAGE_BYTES, client_options
from stream.agents.topics import ensure_topics
from stream.config import Settings, make_settings
from stream.events.instants import to_text
from stream.processor.partition import PARTITION_KEY
from tests.bench._events import events
from tests.bench._rig import PARTITIONS, BenchFailed, Program, administrator, fill
from tests.bench._warm import Warm

LOAD_SPAN_DAYS = 1 / 24
"""The load's event times lie in the hour before it is written: as in a worker that catches up after a short outage."""


def shop_settings(bootstrap: str, name: str, **values: Any) -> Settings:
    """Settings of one run: inputs shared by all runs, everything else its own."""
    own = {
        f"topic_{kind}": f"{name}.{kind}"
        for kind in ("actions", "alerts", "suppressions", "tiers", "kpis", "experiments")
    }
    (port,) = free_ports(1)
    base = {"broker": f"kafka://{bootstrap}", "app_id": name, "partitions": PARTITIONS, "web_port": port}
    return make_settings(**base | own | values)


async def give_past(bootstrap: str, settings: Settings, warm: Warm) -> None:
    """Writes a shop's past into the changelog and the epochs topic, as if this application had lived through it."""
    async with administrator(bootstrap) as admin:
        await ensure_topics(admin, settings)
    changelog = settings.topic_changelog
    await fill(bootstrap, ((changelog, key, value) for key, value in warm.customers.items()))
    async with AIOKafkaProducer(**client_options(settings), max_request_size=MAX_MESSAGE_BYTES) as producer:
        for partition in range(PARTITIONS):
            await producer.send_and_wait(changelog, warm.partition, key=PARTITION_KEY, partition=partition)
        await producer.send_and_wait(settings.topic_epochs, warm.epoch, key=b"epoch", partition=0)


def load(count: int, *, customers: int, seed: int = 1) -> Iterator[tuple[str, bytes, bytes]]:
    """The measured events, of the last hour."""
    first = to_text(int((time.time() - LOAD_SPAN_DAYS * 86_400) * 1000))
    return events(count, customers=customers, first=first, days=LOAD_SPAN_DAYS, seed=seed)


def worker(settings: Settings, log: Path, *, number: int = 0) -> Program:
    """Starts a worker on the program's core."""
    port = settings.web_port if not number else free_ports(1)[0]
    values = msgspec.structs.asdict(settings) | {"web_port": port}
    env = {f"WINBACK_{name.upper()}": str(value) for name, value in values.items() if value != ""}
    return Program([sys.executable, "-m", "stream", "worker"], log, env=env)


async def until_ready(settings: Settings, program: Program, timeout_s: float = 120.0) -> float:
    """Waits until the worker says that it is ready; the seconds that took."""
    began = time.monotonic()
    while time.monotonic() < began + timeout_s:
        program.check()
        with contextlib.suppress(urllib.error.URLError, OSError):
            await asyncio.to_thread(ask, f"http://127.0.0.1:{settings.web_port}/ready")
            return time.monotonic() - began
        await asyncio.sleep(0.05)
    raise BenchFailed(f"not ready after {timeout_s:.0f} s\n{program.last_words()}")


def ask(url: str) -> bytes:
    """A worker's answer; raises when it isn't ready."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body
