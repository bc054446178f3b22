"""What each part of knowing customers costs: the core on one warm shop with all parts on, and with one off at a time.

CPU µs per event (decoded, as batches of the usual mix) and per visit by a timer, ms per UTC day at the one who learns for all, and
bytes in a customer's record. Two shops, one with and one without the part, take the same batches turn by turn, first the one and
then the other; each figure is the median difference of these pairs, and beside it is its standard error. A part whose figure is smaller
than twice that costs less than this machine can tell at the moment. What is only made when it is read (personas, value, drivers)
costs neither.
"""

from __future__ import annotations

import argparse
import gc
import json as json_module
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from statistics import median, quantiles
from time import process_time
from typing import Any

import msgspec

from stream.config import DAY_MS, Settings, make_settings
from stream.events.codec import Decoder
from stream.events.instants import parse_ms
from stream.events.record import Record
from stream.outcome import Outcome
from stream.processor.runs import Batch
from stream.segments.schemes import CLUSTER, CORE, LIFECYCLE, LOYALTY, SCHEMES, SHARE, VALUE, bits_of
from stream.state.customer import Customer, decode, encode
from stream.worker import COLLECT_AFTER
from tests.bench._events import FIRST, events
from tests.bench._warm import Warm, warm_shop
from tests.bench.core import Shell

DAYS = 2
"""Days that the events are spread over, so that days end and timers fire."""
BATCH = 1_000
LIMIT_BYTES = 1_536
"""A customer's record must not be larger than this on average."""
_ALL = ",".join(SCHEMES)


Pair = tuple[dict[str, float], dict[str, float]]
"""What a batch cost with a part and without it, by column."""


def _without(*schemes: str) -> dict[str, str]:
    return {"schemes": ",".join(scheme for scheme in SCHEMES if scheme not in schemes)}


PARTS: Mapping[str, Mapping[str, Any]] = {
    "tiers by share": _without(SHARE),
    "value groups": _without(VALUE),
    "loyalty and core": _without(LOYALTY, CORE),
    "lifecycle": _without(LIFECYCLE),
    "clusters": _without(CLUSTER),
    "all schemes": {"schemes": ""},
    "churn": {"churn": "off"},
    "contest of models": {"churn_contest_labels_per_day": 0},
    "value forecasts": {"panel_customers": 0},
    "products": {"product_orders_per_day": 0},
    "sentiment": {"sentiment_texts_per_day": 0},
    "suspects": {"suspects": "off"},
    "missing figures": {"missing_figures": "off"},
}
"""Part → the settings that switch it off."""
EVERYTHING = "all of them"


COLUMNS = ("us_per_event", "us_per_visit", "ms_per_day")


class Side:
    """A shop that takes batches, with the timers between them and the days that end."""

    def __init__(self, settings: Settings, warm: Warm) -> None:
        self._shell = Shell(settings, warm)

    def take(self, now_ms: int, batch: Batch) -> dict[str, float]:
        """What this batch and what was due before it cost, by column; without those that nothing belongs to."""
        shell, visits = self._shell, 0
        days = shell.told["epochs"]
        seconds = dict.fromkeys(COLUMNS, 0.0)

        def step(column: str, work: Callable[..., Outcome], *args: Any) -> int:
            before = process_time()
            out = work(*args)
            shell.sink(out)
            between = process_time()
            shell.pass_on(out)
            seconds[column] += between - before
            seconds["ms_per_day"] += process_time() - between
            return len(out.changed)

        while (due_ms := shell.partition.next_due_ms()) is not None and due_ms <= now_ms:
            visits += step("us_per_visit", shell.partition.tick, now_ms)
        step("us_per_event", shell.partition.apply_decoded, batch, now_ms)
        counts = {"us_per_event": len(list(batch)), "us_per_visit": visits, "ms_per_day": shell.told["epochs"] - days}
        units = {"us_per_event": 1e6, "us_per_visit": 1e6, "ms_per_day": 1e3}
        return {column: seconds[column] / n * units[column] for column, n in counts.items() if n}


def arguments(parser: argparse.ArgumentParser) -> None:
    """How large, and how often."""
    parser.add_argument("--customers", type=int, default=6_000)
    parser.add_argument("--events", type=int, default=20_000, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="how often both go through all events, for each part")
    parser.add_argument("--only", default="", help="parts to measure, separated by commas")


def main(json: bool, customers: int, events: int, rounds: int, only: str) -> None:
    """Prints the table, or the same as JSON."""
    found = measured(customers, events, rounds, [name for name in only.split(",") if name])
    if json:
        print(json_module.dumps(found))
        return
    size = found["record_bytes"]
    print(
        f"{found['customers']:,} customers: {size['mean']:.0f} bytes a record, 99 of 100 within {size['p99']:,}, the largest "
        f"{size['largest']:,}; {size['within_limit']:.2%} within {LIMIT_BYTES:,}"
    )
    everything = found["everything"]
    print(
        f"all on: {everything['us_per_event']:.1f} µs an event, {everything['us_per_visit']:.1f} µs a visit, "
        f"{everything['ms_per_day']:.0f} ms a day at who learns\n"
    )
    print(f"{'part':<20}{'µs an event':>18}{'µs a visit':>18}{'ms a day':>18}{'bytes':>9}")
    for name, row in found["parts"].items():
        cells = "".join(f"{row[column]:>11.2f} ±{row[column + '_error']:<5.2f}" for column in COLUMNS)
        print(f"{name:<20}{cells}{row['bytes']:>9.1f}")


def measured(customers: int, count: int, rounds: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """All figures; `KeyError` for a part that there isn't."""
    settings = make_settings(partitions=1, schemes=_ALL)
    warm = warm_shop(settings, customers, parse_ms(FIRST), _progress)
    batches = _batches(settings, customers, count)
    names = list(only) or [*PARTS, EVERYTHING]
    everything_off = {name: value for off in PARTS.values() for name, value in off.items()} | {"schemes": ""}
    off_by = {name: everything_off if name == EVERYTHING else PARTS[name] for name in names}
    pairs: dict[str, list[Pair]] = {name: [] for name in names}
    for turn in range(rounds):
        for name, off in off_by.items():
            _progress(f"round {turn + 1}: {name}", turn, rounds)
            pairs[name] += _paired(settings, msgspec.structs.replace(settings, **off), warm, batches)
    whole = [on for found in pairs.values() for on, _ in found]
    return {
        "customers": customers,
        "record_bytes": _sizes(warm),
        "everything": {column: median([on[column] for on in whole if column in on]) for column in COLUMNS},
        "parts": {name: {**_differences(found), "bytes": _bytes_of(name, warm)} for name, found in pairs.items()},
    }


def _paired(on: Settings, off: Settings, warm: Warm, batches: Sequence[tuple[int, Batch]]) -> list[Pair]:
    """Both sides through all batches, the first one changing with every batch."""
    with_it, without = Side(on, warm), Side(off, warm)
    found: list[Pair] = []
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    for number, (now_ms, batch) in enumerate(batches):
        if number % 2:
            first = with_it.take(now_ms, batch)
            found.append((first, without.take(now_ms, batch)))
        else:
            first = without.take(now_ms, batch)
            found.append((with_it.take(now_ms, batch), first))
    gc.unfreeze()
    return found


def _batches(settings: Settings, customers: int, count: int) -> list[tuple[int, Batch]]:
    decoder, load = Decoder(settings), events(count, customers=customers, first=FIRST, days=DAYS, seed=3)
    found: list[tuple[int, Batch]] = []
    done = 0
    while lines := list(islice(load, BATCH)):
        now_ms = parse_ms(FIRST) + (done + len(lines)) * DAYS * DAY_MS // count
        records = [Record(topic, 0, done + n, now_ms, key, value) for n, (topic, key, value) in enumerate(lines)]
        found.append((now_ms, [(record, decoder.decode(record)) for record in records]))
        done += len(lines)
    return found


def _differences(pairs: Sequence[Pair]) -> dict[str, float]:
    found = {}
    for column in COLUMNS:
        differences = [on[column] - off[column] for on, off in pairs if column in on and column in off]
        low, middle, high = quantiles(differences, n=4)
        found[column] = middle
        # Of a median, from the quartiles: 0.93 times their distance over the root of how many (McGill and others 1978).
        found[f"{column}_error"] = 0.93 * (high - low) / len(differences) ** 0.5
    return found


def _sizes(warm: Warm) -> dict[str, float]:
    sizes = sorted(map(len, warm.customers.values()))
    return {
        "mean": sum(sizes) / len(sizes),
        "p99": sizes[len(sizes) * 99 // 100],
        "largest": sizes[-1],
        "within_limit": sum(size <= LIMIT_BYTES for size in sizes) / len(sizes),
    }


def _bytes_of(name: str, warm: Warm) -> float:
    """What a part takes of a record, on average."""
    saved = 0
    for value in warm.customers.values():
        customer = decode(value)
        for part in KEPT if name == EVERYTHING else (name,):
            if part in KEPT:
                KEPT[part](customer)
        saved += len(value) - len(encode(customer))
    return saved / len(warm.customers)


def _without_classes(*schemes: str) -> Callable[[Customer], None]:
    bits = bits_of(schemes)

    def drop(customer: Customer) -> None:
        known = customer.memory.population
        if known is not None:
            cell = 0 if set(schemes) == set(SCHEMES) else known.cell
            customer.memory.population = msgspec.structs.replace(known, cell=cell, classes=known.classes & ~bits)

    return drop


def _without_labels(customer: Customer) -> None:
    memory = customer.memory
    memory.snapshots, memory.score, memory.alert_armed = [], -1.0, False


def _without_texts(customer: Customer) -> None:
    customer.memory.sentiments = []


def _without_suspicion(customer: Customer) -> None:
    customer.memory.suspect = ""


KEPT: Mapping[str, Callable[[Customer], None]] = {
    "tiers by share": _without_classes(SHARE),
    "value groups": _without_classes(VALUE),
    "loyalty and core": _without_classes(LOYALTY, CORE),
    "lifecycle": _without_classes(LIFECYCLE),
    "clusters": _without_classes(CLUSTER),
    "all schemes": _without_classes(*SCHEMES),
    "churn": _without_labels,
    "sentiment": _without_texts,
    "suspects": _without_suspicion,
}
"""Part → what takes it out of a record. The others keep nothing there."""


def _progress(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done:,} of {total:,}", end="", file=sys.stderr)
