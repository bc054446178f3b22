"""Live is replay: all of CDNOW and a simulated shop through Kafka and a worker that is killed on its way, and through `replay`.

Compares each customer's whole record and every action, suppression, alert and tier change (`tests/equality.py`). Any
difference ends it with code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json as json_module
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from stream.adapters.broker import EmbeddedBroker
from stream.config import DAY_MS
from stream.datasets import CDNOW_END, cdnow_events
from stream.events.instants import parse_ms, to_text
from stream.simulate import Shop
from tests.agents.harness import settings_for
from tests.bench._rig import say
from tests.equality import TOLD, live, replayed

_PATIENCE_S = 3_600.0
"""A worker that needs longer hangs."""
_SHOP_START = parse_ms("2026-01-01T00:00:00Z")
_MOST_SHOWN = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--datasets", default="cdnow,shop", help="one or both, separated by a comma")
    parser.add_argument("--customers", type=int, default=2_000, help="customers of the simulated shop (default 2,000)")
    parser.add_argument("--days", type=int, default=200, help="its days (default 200)")
    parser.add_argument("--kills", type=int, default=5, help="how often the worker is killed on its way (default 5)")


def main(*, json: bool, datasets: str, customers: int, days: int, kills: int) -> None:
    """Runs it and prints the result; exit code 1 if anything differs."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # says "error" for each retry of what it then does itself
    result = {}
    with tempfile.TemporaryDirectory() as name, EmbeddedBroker(Path(name) / "broker") as broker:
        for dataset in datasets.split(","):
            if dataset == "cdnow":
                events, until_text = cdnow_events(), CDNOW_END
            else:
                end_ms = _SHOP_START + days * DAY_MS
                events, until_text = (
                    (body for _, body in Shop(5, customers, _SHOP_START).events(end_ms)),
                    to_text(end_ms),
                )
            file = Path(name) / f"{dataset}.jsonl"
            result[dataset] = _compare(broker.bootstrap, file, events, until_text, kills)
    if json:
        print(json_module.dumps(result))
    else:
        _show(result)
    if wrong := sum(row["differences"] for row in result.values()):
        raise SystemExit(f"{wrong:,} differences")


def _compare(
    bootstrap: str, file: Path, events: Iterator[dict[str, Any]], until_text: str, kills: int
) -> dict[str, Any]:
    with file.open("wb") as out:
        count = 0
        first = last = ""
        for event in events:
            count += 1
            first, last = first or event["timestamp"], event["timestamp"]
            out.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
    # At points of the first two thirds, which are past when the worker goes on to the end.
    span = (parse_ms(last) - parse_ms(first)) // DAY_MS
    points = sorted({max(1, span * 2 * number // (3 * (kills + 1))) for number in range(1, kills + 1)})
    settings = settings_for(bootstrap, clock="event", partitions=4, currency="USD")
    say(f"{file.stem}: {count:,} events through Kafka; the worker is killed after {points} days")
    began = time.monotonic()
    found = asyncio.run(live(settings, file, until_text, kill_after_days=points, patience_s=_PATIENCE_S))
    live_s = time.monotonic() - began
    say(f"{file.stem}: through replay")
    began = time.monotonic()
    expected = replayed(settings_for(bootstrap, currency="USD"), file, until_text)
    replay_s = time.monotonic() - began
    wrong = [
        f"customer {key.decode()}"
        for key in sorted(expected.customers.keys() | found.customers.keys())
        if expected.customers.get(key) != found.customers.get(key)
    ]
    for name in TOLD:
        one, other = expected.told[name], found.told[name]
        wrong += [
            f"{name}: {one[row]} in replay, {other[row]} live: {row}"
            for row in itertools.chain(one - other, other - one)
        ]
    for text in wrong[:_MOST_SHOWN]:
        say(text)
    return {
        "events": count,
        "customers": len(found.customers),
        **{name: found.told[name].total() for name in TOLD},
        "kills": len(points),
        "differences": len(wrong),
        "live_s": round(live_s, 1),
        "replay_s": round(replay_s, 1),
    }


def _show(result: dict[str, dict[str, Any]]) -> None:
    table = Table("", *result, title="Live is replay")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in next(iter(result.values())):
        table.add_row(name.replace("_", " "), *(f"{row[name]:,}" for row in result.values()))
    Console().print(table)
