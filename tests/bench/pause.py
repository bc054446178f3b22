"""How soon a pause holds on all workers, and how soon what has waited goes out when it ends.

Two workers on a real broker, a rule that thanks for every purchase, and purchases at a steady rate. Time counts from the instant
at which the switch is committed (what `winback pause` waits for) to the last action that a reader of committed records sees, and
from the end of the pause to the first action on every partition and to the last one that has waited. What is on its way to the reader
when the switch is committed counts against the pause.
"""

from __future__ import annotations

import argparse
import asyncio
import json as json_module
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from stream.adapters.broker.node import free_ports
from stream.agents.connection import client_options, reader_options
from stream.agents.publishing import publish
from stream.config import Settings
from stream.events.hashing import owner_partition
from stream.events.instants import to_text
from stream.rules.switches import switched
from stream.testing import message
from tests.bench._rig import PARTITIONS, BenchFailed, create_topics, describe, machine, pinned_broker, say
from tests.bench._shop_worker import shop_settings, until_ready, worker

GOAL_MS = 1_000
"""From the commit of a pause to the last action, on every worker."""
_RULE = """\
id: thanks
version: 1
description: Thank everybody.
when: {event: purchase}
then: {action: care, channel: app, template: thanks}
expires_after: 1d
cap: false
quiet_hours: false
"""
_WARM_UP_SECONDS = 20.0
"""Shorter: the broker's JVM still compiles."""
_RELEASE_SECONDS = 6.0
"""How long what has waited may take to go out."""
_QUIET_SECONDS = 2.0
"""How long an action would be waited for after a pause. Shorter: a late one would be taken for one after the end."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--rounds", type=int, default=20, help="pauses (default 20)")
    parser.add_argument("--rate", type=int, default=500, help="purchases a second (default 500)")


def main(*, json: bool, rounds: int, rate: int) -> None:
    """Runs it and prints the result; exit code 1 if the goal is missed."""
    about = machine()
    rows = asyncio.run(_run(rounds, rate))
    result: dict[str, Any] = {name: _spread([row[name] for row in rows]) for name in rows[0]}
    if json:
        print(json_module.dumps(result | {"machine": about, "rounds": rounds, "rate": rate}))
    else:
        _show(result, about)
    if result["pause_ms"]["max"] > GOAL_MS:
        raise SystemExit(f"a pause took {result['pause_ms']['max']:.0f} ms, the goal is {GOAL_MS}")


async def _run(rounds: int, rate: int) -> list[dict[str, float]]:
    with pinned_broker() as broker, tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules"
        rules.mkdir()
        (rules / "thanks.yaml").write_text(_RULE)
        settings = shop_settings(broker.bootstrap, "pause", rules_dir=str(rules))
        await create_topics(broker.bootstrap, settings.input_topics)
        other = msgspec.structs.replace(settings, web_port=free_ports(1)[0])
        with worker(settings, Path(folder) / "one.log") as one, worker(other, Path(folder) / "two.log") as two:
            await until_ready(settings, one)
            await until_ready(other, two)
            seen = _Seen(settings)
            tasks = [asyncio.create_task(seen.read()), asyncio.create_task(_send(settings, rate))]
            try:
                await asyncio.sleep(_WARM_UP_SECONDS)
                rows = []
                for number in range(rounds):
                    rows.append(await _round(settings, seen, number))
                    for program in (one, two):
                        program.check()
                    say(", ".join(f"{name} {value:.0f}" for name, value in rows[-1].items()))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    return rows


class _Seen:
    """The actions, as a reader of committed records sees them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.last_at = 0.0
        self.first_at: dict[int, float] = {}
        """By partition, since the last `forget`."""
        self.decided: list[tuple[float, int]] = []
        """When each was seen, and how long its customer's purchase was before that, in ms."""

    def forget(self) -> None:
        """What was seen until now doesn't count any more."""
        self.first_at.clear()
        self.decided.clear()

    async def read(self) -> None:
        """Reads until it is cancelled."""
        async with AIOKafkaConsumer(**reader_options(self._settings)) as reader:
            reader.assign([TopicPartition(self._settings.topic_actions, number) for number in range(PARTITIONS)])
            while True:
                found = await reader.getmany(timeout_ms=100)
                now = time.monotonic()
                for tp, records in found.items():
                    self.last_at = now
                    self.first_at.setdefault(tp.partition, now)
                    for record in records:
                        order = orjson.loads(record.value or b"{}")["occurrence"]
                        self.decided.append((now, int(order.partition("@")[2])))


async def _round(settings: Settings, seen: _Seen, number: int) -> dict[str, float]:
    began = time.monotonic()
    await publish(settings, lambda now: switched(now.switched, "pause", by="b", note="", rule_id="", at_ms=number))
    paused = time.monotonic()
    await asyncio.sleep(_QUIET_SECONDS)
    last_at = seen.last_at
    if time.monotonic() - last_at < _QUIET_SECONDS / 4:
        raise BenchFailed("actions go out in a pause")
    seen.forget()
    await publish(settings, lambda now: switched(now.switched, "resume", by="b", note="", rule_id="", at_ms=number))
    resumed, resumed_ms = time.monotonic(), int(time.time() * 1000)
    await asyncio.sleep(_RELEASE_SECONDS)
    if len(seen.first_at) < PARTITIONS:
        raise BenchFailed(f"{len(seen.first_at)} of {PARTITIONS} partitions went on")
    waited = [at for at, bought_ms in seen.decided if bought_ms < resumed_ms]
    return {
        "command_ms": (paused - began) * 1000,
        "pause_ms": max(0.0, last_at - paused) * 1000,
        "first_ms": (max(seen.first_at.values()) - resumed) * 1000,
        "all_ms": (max(waited) - resumed) * 1000,
        "waited": float(len(waited)),
    }


async def _send(settings: Settings, rate: int) -> None:
    """Purchases of many customers, until it is cancelled."""
    async with AIOKafkaProducer(**client_options(settings)) as producer:
        began, sent = time.monotonic(), 0
        while True:
            await asyncio.sleep(0.01)
            wanted = int((time.monotonic() - began) * rate)
            for number in range(sent, wanted):
                now_ms = int(time.time() * 1000)
                customer, order = f"c{number % 5_000}", f"o{number}@{now_ms}"
                at = to_text(now_ms)
                body = message("Order Completed", customer, at, message_id=order, order_id=order, revenue=9.0)
                partition = owner_partition(customer.encode(), PARTITIONS)
                await producer.send(settings.topic_purchases, orjson.dumps(body), customer.encode(), partition)
            sent = wanted


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "max": round(max(values), 1)}


_MEANING = {
    "command_ms": "the switch is committed (ms)",
    "pause_ms": "pause: last action after that (ms)",
    "first_ms": "resume: first action on every partition (ms)",
    "all_ms": "resume: all that has waited (ms)",
    "waited": "actions that had waited",
}


def _show(result: dict[str, Any], about: dict[str, Any]) -> None:
    table = Table("what", "median", "max", title="Pause and resume on two workers")
    for name, text in _MEANING.items():
        table.add_row(text, f"{result[name]['median']:.0f}", f"{result[name]['max']:.0f}")
    for column in table.columns[1:]:
        column.justify = "right"
    console = Console()
    console.print(describe(about))
    console.print(table)
