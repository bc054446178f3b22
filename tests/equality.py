"""Live against replay: the same events through Kafka and a real worker on the event clock, and through `Replay`.

What must be equal is everything that a shop could notice: each customer's whole record, and every action, suppression,
alert and tier change, each as often as replay makes it. What can't be equal is left out: where in Kafka an event lay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

from stream.commands.produce import send_file
from stream.config import Settings
from stream.events.instants import parse_ms
from stream.processor.partition import PARTITION_KEY
from stream.replay import Replay
from stream.rules.loader import load_rules
from stream.state.customer import Customer, decode
from stream.state.layout import TOPICS
from tests.agents.harness import WorkerProcess, committed, make_topics, until

TOLD = ("actions", "suppressions", "alerts", "tiers", "kpis", "experiments", "models")
"""Topics whose every message is compared."""


class Outcome(msgspec.Struct):
    """What became of the events."""

    customers: dict[bytes, Customer]
    told: dict[str, Counter[str]]
    """By topic: how often each message was published."""


def shop_worker(settings: Settings, *flags: str) -> WorkerProcess:
    """The product's own worker, as a process."""
    return WorkerProcess(settings, "worker", *flags, module="stream")


async def live(
    settings: Settings, file: Path, until_text: str, *, kill_after_days: Sequence[int] = (), patience_s: float = 180.0
) -> Outcome:
    """Through a broker, to the end of time as given; the worker is killed (-9) each time so many days are closed."""
    await make_topics(settings)
    await send_file(file, settings)
    for days in kill_after_days:
        with shop_worker(settings, "--until", until_text) as worker:

            async def reached(least: int = days) -> bool:
                assert worker.process.poll() is None, worker.log
                return len(await values_of(settings, settings.topic_epochs)) >= least

            await until(reached, patience_s)
            worker.kill()
    with shop_worker(settings, "--until", until_text, "--exit-when-done") as worker:
        await until(lambda: worker.process.poll() is not None, patience_s)
        assert worker.process.returncode == 0, worker.log
    told = {name: told_by(await values_of(settings, getattr(settings, f"topic_{name}"))) for name in TOLD}
    return Outcome(await customers_of(settings), told)


def replayed(settings: Settings, file: Path, until_text: str) -> Outcome:
    """Without Kafka."""
    with Replay(settings, load_rules(), until_ms=parse_ms(until_text), states=True) as run:
        run.run([file])
        found = {key: decode(value) for key, value in run.states().items() if key != PARTITION_KEY}
        return Outcome(found, {name: told_by(run.rows(name)) for name in TOLD})


async def customers_of(settings: Settings) -> dict[bytes, Customer]:
    """The customers as the changelog has them, without their offset stamps."""
    latest: dict[bytes, bytes | None] = {}
    for record in await committed(settings, settings.topic_changelog):
        latest[record.key] = record.value
    found = {key: decode(value) for key, value in latest.items() if value is not None and key != PARTITION_KEY}
    for customer in found.values():
        customer.stamps = [-1] * TOPICS
    return found


async def values_of(settings: Settings, topic: str) -> list[bytes]:
    """All committed values of a topic."""
    return [record.value for record in await committed(settings, topic)]


def told_by(rows: Iterable[bytes]) -> Counter[str]:
    """Messages as comparable text: without where in Kafka the causing event lay."""
    found: Counter[str] = Counter()
    for row in rows:
        plain: dict[str, Any] = orjson.loads(row)
        if "cause" in plain:
            plain["cause"] |= {"topic": None, "partition": None, "offset": None}
        found[orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()] += 1
    return found
