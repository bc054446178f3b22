"""From an event to its decision on the topic, as a reader of committed records sees it: p50, p99 and p99.9 by load.

The real worker with everything shipped, 200,000 customers with a past, exactly once and at least once. An event counts from
the instant at which it was due to be sent, whether or not the sender was late with it (no coordinated omission), until the
decision that names it as its cause has been read.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json as json_module
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from stream.config import Settings
from stream.events.hashing import owner_partition
from stream.events.instants import to_text
from tests.bench._events import events, ranked_keys
from tests.bench._rig import PARTITIONS, BenchFailed, create_topics, describe, machine, pinned_broker, say
from tests.bench._shop_worker import give_past, shop_settings, until_ready, worker
from tests.bench._warm import warm_shop

GOALS_MS = {("exactly_once", 10_000): 250.0, ("at_least_once", 10_000): 50.0}
"""p99 by (delivery, events a second)."""
_SEND_SECONDS = 0.005
"""Between two sends, as a producer's `linger.ms` (Kafka's default is 5), and counted like it. Longer: a delay of our own; shorter:
the sender needs the broker's core."""
_WARM_UP_SECONDS = 30.0
"""Shorter: the broker's JVM still compiles, on the core on which it has to answer."""
_MAKING_SECONDS = 15e-6
"""An event is made in this time at most; longer: a wait for nothing, shorter: the load begins with events that are old."""
_DRAIN_SECONDS = 10.0
_MESSAGE_ID = re.compile(rb'"messageId":"([^"]+)"')
_INPUTS = ("purchases", "browses", "feedback", "profiles", "outcomes")
_FEWEST = 100
"""Decisions without which percentiles mean nothing."""

_Row = tuple[tuple[str, int], bytes, bytes, bytes | None]
"""Topic and partition, key, value, and the message's id if it may be the cause of a decision."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--rates", default="1000,10000,30000", help="events a second (default 1000,10000,30000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured time of each (default 60)")
    parser.add_argument("--delivery", default="exactly_once,at_least_once", help="one or both, separated by a comma")
    parser.add_argument("--customers", type=int, default=200_000, help="customers of the shop (default 200,000)")


def main(*, json: bool, rates: str, seconds: float, delivery: str, customers: int) -> None:
    """Runs it and prints the result; exit code 1 if a goal is missed."""
    about = machine()
    wanted = [(kind, int(rate)) for kind in delivery.split(",") for rate in rates.split(",")]
    found = asyncio.run(_all(wanted, seconds, customers))
    result: dict[str, Any] = {str(rate): row for (kind, rate), row in found.items() if kind == "exactly_once"}
    result["at_least_once"] = {str(rate): row for (kind, rate), row in found.items() if kind == "at_least_once"}
    result["machine"] = about
    if json:
        print(json_module.dumps(result))
    else:
        _show(found, about)
    missed = [
        f"{kind} at {rate:,}/s: p99 is {row['p99_ms']:.0f} ms, the goal {GOALS_MS[kind, rate]:.0f} ms"
        for (kind, rate), row in found.items()
        if row["p99_ms"] > GOALS_MS.get((kind, rate), float("inf"))
    ]
    if missed:
        raise SystemExit("\n".join(missed))


async def _all(
    wanted: list[tuple[str, int]], seconds: float, customers: int
) -> dict[tuple[str, int], dict[str, float]]:
    found = {}
    with pinned_broker() as broker, tempfile.TemporaryDirectory() as folder:
        say("a shop with a past")
        warm = warm_shop(shop_settings(broker.bootstrap, "latency"), customers, int(time.time() * 1000))
        for number, (delivery, rate) in enumerate(wanted):
            name = f"latency-{number}"
            # Inputs of its own, or it would begin with the events of those before.
            inputs = {f"topic_{kind}": f"{name}.{kind}" for kind in _INPUTS}
            settings = shop_settings(broker.bootstrap, name, delivery=delivery, **inputs)
            await create_topics(broker.bootstrap, settings.input_topics)
            await give_past(broker.bootstrap, settings, warm)
            with worker(settings, Path(folder) / f"worker-{number}.log") as program:
                await until_ready(settings, program)
                row = await _one(settings, rate, seconds, customers, seed=10 + number)
                program.check()
            say(
                f"{delivery}, {rate:,}/s: p50 {row['p50_ms']:.0f}, p99 {row['p99_ms']:.0f}, p99.9 {row['p999_ms']:.0f} ms"
            )
            found[delivery, rate] = row
    return found


async def _one(settings: Settings, rate: int, seconds: float, customers: int, *, seed: int) -> dict[str, float]:
    """One load on one worker."""
    due_at: dict[bytes, float] = {}
    waits_ms: list[float] = []
    sent = asyncio.Event()
    reading = asyncio.create_task(_read(settings, due_at, waits_ms, sent))
    gc.collect()
    gc.freeze()
    gc.disable()  # a pause of the sender would be counted as the worker's
    try:
        late_ms = await _send(settings, rate, seconds, customers, due_at, seed)
        sent.set()
        await reading
    finally:
        gc.enable()
        gc.unfreeze()
    if len(waits_ms) < _FEWEST:
        raise BenchFailed(f"{len(waits_ms)} decisions of {len(due_at)} events that could have one: too few to judge")
    p50, p99, p999 = np.percentile(waits_ms, (50, 99, 99.9))
    return {
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "p999_ms": round(float(p999), 1),
        "max_ms": round(max(waits_ms), 1),
        "decisions": len(waits_ms),
        "sender_late_ms_max": round(late_ms, 1),
    }


async def _send(
    settings: Settings, rate: int, seconds: float, customers: int, due_at: dict[bytes, float], seed: int
) -> float:
    """Sends at a steady rate; the longest time that a send was late, in ms."""
    total = int(rate * (_WARM_UP_SECONDS + seconds))
    warm_up = int(rate * _WARM_UP_SECONDS)
    starts_at = time.time() + 1 + total * _MAKING_SECONDS
    rows = _rows(settings, total, customers, starts_at, _WARM_UP_SECONDS + seconds, seed)
    await asyncio.sleep(max(0.0, starts_at - time.time()))
    late = 0.0
    async with AIOKafkaProducer(
        bootstrap_servers=settings.broker.removeprefix("kafka://"), max_batch_size=1 << 20, linger_ms=0
    ) as producer:
        began, number, slot = time.monotonic(), 0, 0
        while number < total:
            slot += 1
            await asyncio.sleep(max(0.0, began + slot * _SEND_SECONDS - time.monotonic()))
            behind = time.monotonic() - began - number / rate
            if number >= warm_up:
                late = max(late, behind - _SEND_SECONDS)
            slot = max(slot, int((time.monotonic() - began) / _SEND_SECONDS))
            batches: dict[tuple[str, int], Any] = {}
            for goal, key, value, name in rows[number : min(total, number + int(behind * rate) + 1)]:
                batch = batches.get(goal)
                if batch is None:
                    batch = batches[goal] = producer.create_batch()
                if batch.append(timestamp=None, key=key, value=value) is None:
                    await producer.send_batch(batch, goal[0], partition=goal[1])
                    batch = batches[goal] = producer.create_batch()
                    batch.append(timestamp=None, key=key, value=value)
                if name is not None and number >= warm_up:
                    due_at[name] = began + number / rate
                number += 1
            for (topic, owner), batch in batches.items():
                await producer.send_batch(batch, topic, partition=owner)
    return late * 1000


def _rows(settings: Settings, count: int, customers: int, starts_at: float, seconds: float, seed: int) -> list[_Row]:
    """The load, made before it is sent: making it takes as long as sending it, on the core that the broker needs."""
    plain = Settings()
    own_topic = {getattr(plain, f"topic_{kind}"): getattr(settings, f"topic_{kind}") for kind in _INPUTS}
    owners = {key: owner_partition(key, PARTITIONS) for key in ranked_keys(customers)}
    goals = {(topic, owner): (own_topic[topic], owner) for topic in own_topic for owner in range(PARTITIONS)}
    made = events(count, customers=customers, first=to_text(int(starts_at * 1000)), days=seconds / 86_400, seed=seed)
    rows: list[_Row] = []
    for topic, key, value in made:
        named = _MESSAGE_ID.search(value) if topic == plain.topic_feedback else None
        rows.append((goals[topic, owners[key]], key, value, named[1] if named is not None else None))
    return rows


async def _read(settings: Settings, due_at: dict[bytes, float], waits_ms: list[float], sent: asyncio.Event) -> None:
    """Notes when each decision is seen for the first time, until some seconds after the last event was sent."""
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.broker.removeprefix("kafka://"),
        isolation_level="read_committed",
        enable_auto_commit=False,
    ) as reader:
        tps = [
            TopicPartition(topic, number)
            for topic in (settings.topic_actions, settings.topic_suppressions)
            for number in range(PARTITIONS)
        ]
        reader.assign(tps)
        await reader.seek_to_end(*tps)
        deadline = float("inf")
        while time.monotonic() < deadline:
            found = await reader.getmany(timeout_ms=100)
            now = time.monotonic()
            for records in found.values():
                for record in records:
                    for name, raw in record.headers:
                        if name == "ce_causationid" and (due := due_at.pop(raw, None)) is not None:
                            waits_ms.append((now - due) * 1000)
            if sent.is_set() and deadline == float("inf"):
                deadline = now + _DRAIN_SECONDS


def _show(found: dict[tuple[str, int], dict[str, float]], about: dict[str, Any]) -> None:
    table = Table(
        "delivery", "events/s", "p50 ms", "p99 ms", "p99.9 ms", "decisions", title="From an event to its decision"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for (kind, rate), row in found.items():
        table.add_row(
            kind,
            f"{rate:,}",
            *(f"{row[name]:.0f}" for name in ("p50_ms", "p99_ms", "p999_ms")),
            f"{row['decisions']:,}",
        )
    console = Console()
    console.print(describe(about))
    console.print(table)
