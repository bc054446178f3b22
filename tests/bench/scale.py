"""How cost grows: throughput with one and two workers; CPU and memory per customer from 10,000 customers to 3 million.

Workers: the whole job, unpinned, all of them and the broker on the same cores. Customers: the core alone in a process of
its own for each size, each event of another customer, drawn evenly from all of them: nobody is at hand when met.
"""

from __future__ import annotations

import argparse
import asyncio
import json as json_module
import multiprocessing
import operator
import os
import random
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream.config import make_settings
from stream.events.codec import Decoder
from stream.events.record import Record
from stream.processor import Partition
from stream.processor.partition import PARTITION_KEY
from stream.rules.loader import load_rules
from tests.bench._events import ranked_keys
from tests.bench._rig import (
    administrator,
    committed_offsets,
    create_topics,
    describe,
    fill,
    machine,
    pinned_broker,
    process_tree,
    resident_bytes,
    say,
)
from tests.bench._shop_worker import give_past, load, shop_settings, until_ready, worker
from tests.bench._warm import Warm, warm_shop

_FASTEST_EPS = 60_000
_EVENTS = 60_000
"""Events per size. Fewer: the noise of a shared machine shows; more: it takes longer."""
_BATCH = 2_000
FLAT_WITHIN = 1.3
"""Most that an event may cost compared with the cheapest size, both in decodings of the same events just before: what they cost
doesn't depend on the customers, and a shared machine's speed doubles and halves within minutes."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--sizes", default="10000,100000,1000000,3000000", help="customers (default 10 k to 3 M)")
    parser.add_argument("--pairs", type=int, default=3, help="how often each size is measured, in turns (default 3)")
    parser.add_argument("--workers", default="1,2", help="numbers of workers (default 1,2)")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured time with workers (default 60)")


def main(*, json: bool, sizes: str, pairs: int, workers: str, seconds: float) -> None:
    """Runs it and prints the result; exit code 1 if the cost of a touched customer isn't flat."""
    about = machine()
    result: dict[str, Any] = {"customers": {}, "workers": {}, "machine": about}
    wanted = [int(text) for text in sizes.split(",") if text]
    found: dict[int, list[dict[str, Any]]] = {size: [] for size in wanted}
    for size in wanted * pairs:
        found[size].append(row := _grown(size))
        say(f"{size:,} customers: {row['us_per_event']} µs per event, {row['bytes_resident']} bytes each")
    for size, rows in found.items():
        result["customers"][str(size)] = {
            name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]
        }
    counts = [int(text) for text in workers.split(",") if text]
    if counts:
        result["workers"] = asyncio.run(_workers(counts, seconds))
    if json:
        print(json_module.dumps(result))
    else:
        _show(result, about)
    costs = [row["in_decodings"] for row in result["customers"].values()]
    if costs and max(costs) > FLAT_WITHIN * min(costs):
        raise SystemExit(f"an event costs between {min(costs)} and {max(costs)} decodings: not flat within 30 %")


# -- customers


def _grown(size: int) -> dict[str, Any]:
    """One size. The shop is made in one process and read from its file in another one: what is left in memory of making
    it, or of another size, would count as the customers'."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pool.apply(_make, (size,))
        row: dict[str, Any] = pool.apply(_measure_core, (size,))
    return row


def _make(size: int) -> None:
    warm_shop(make_settings(partitions=1), size, int(time.time() * 1000))


def _measure_core(size: int) -> dict[str, Any]:
    settings = make_settings(partitions=1)
    now_ms = int(time.time() * 1000)
    rounds = _rounds(size, now_ms)
    before = resident_bytes([os.getpid()])
    warm = warm_shop(settings, size, now_ms)
    warm.customers[PARTITION_KEY] = warm.partition
    encoded = sum(map(len, warm.customers.values())) / len(warm.customers)
    costs, decodings, resident, recovered = [], [], 0.0, 0.0
    decode = Decoder(settings).decode
    for batches in rounds:
        # A small shop is visited several times, each time as it was before.
        store = dict(warm.customers) if len(rounds) > 1 else warm.customers
        partition = Partition(settings, load_rules(), partition=0, partitions=1, store=store)
        began = time.process_time()
        partition.recover(now_ms)
        recovered = time.process_time() - began
        partition.follow(warm.epoch)
        resident = resident or resident_bytes([os.getpid()]) - before
        while (due := partition.next_due_ms()) is not None and due <= now_ms:
            _keep(partition, store, partition.tick(now_ms))
        for batch in batches:
            began = time.process_time()
            for record in batch:
                decode(record)
            decodings.append((time.process_time() - began) / len(batch) * 1e6)
            began = time.process_time()
            _keep(partition, store, partition.apply(batch, now_ms))
            costs.append((time.process_time() - began) / len(batch) * 1e6)
    return {
        "us_per_event": round(statistics.median(costs), 2),
        "decode_us": round(statistics.median(decodings), 2),
        "in_decodings": round(statistics.median(map(operator.truediv, costs, decodings)), 2),
        "recover_cpu_s": round(recovered, 2),
        "bytes_encoded": round(encoded),
        "bytes_resident": round(resident / size),
        "resident_mib": round(resident_bytes([os.getpid()]) / 2**20),
    }


def _keep(partition: Partition, store: dict[bytes, bytes], outcome: Any) -> None:
    store.update(outcome.changed)
    partition.commit()


def _rounds(size: int, now_ms: int) -> list[list[list[Record]]]:
    """The usual mix of events in batches, each customer met once a round: what a second event finds is at hand, and there would
    be more second events in a small shop."""
    draw, keys = random.Random(size), ranked_keys(size)
    events = load(_EVENTS, customers=min(size, 20_000), seed=3)
    rounds: list[list[list[Record]]] = []
    for _ in range(max(1, _EVENTS // size)):
        met = draw.sample(keys, min(size, _EVENTS))
        records = [
            Record(topic, 0, offset, now_ms, new, value.replace(key, new, 1))
            for offset, (new, (topic, key, value)) in enumerate(zip(met, events, strict=False))
        ]
        rounds.append([records[start : start + _BATCH] for start in range(0, len(records), _BATCH)])
    return rounds


# -- workers


async def _workers(counts: list[int], seconds: float) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    customers = 200_000
    every_core = set(range(os.cpu_count() or 1))
    with pinned_broker() as broker, tempfile.TemporaryDirectory() as folder:
        assert broker.pid() is not None
        let_run(broker.pid() or 0, every_core)
        first = shop_settings(broker.bootstrap, "scale")
        warm: Warm = warm_shop(first, customers, int(time.time() * 1000))
        await create_topics(broker.bootstrap, first.input_topics)
        total = int(_FASTEST_EPS * (seconds + 30))
        say(f"filling the inputs with {total:,} events")
        await fill(broker.bootstrap, load(total, customers=customers))
        for count in counts:
            settings = shop_settings(broker.bootstrap, f"scale-{count}")
            await give_past(broker.bootstrap, settings, warm)
            programs = [worker(settings, Path(folder) / f"{count}-{n}.log", number=n) for n in range(count)]
            try:
                for program in programs:
                    let_run(program.pid, every_core)
                await until_ready(settings, programs[0])
                async with administrator(broker.bootstrap) as admin:
                    position = partial(committed_offsets, admin, settings.app_id, settings.input_topics)
                    await asyncio.sleep(15)
                    start, began = await position(), time.monotonic()
                    cpu = sum(program.cpu_seconds() for program in programs)
                    await asyncio.sleep(seconds)
                    events, elapsed = await position() - start, time.monotonic() - began
                    cpu = sum(program.cpu_seconds() for program in programs) - cpu
                for program in programs:
                    program.check()
            finally:
                for program in programs:
                    program.stop()
            rows[str(count)] = {"eps": round(events / elapsed), "cpu_s_per_million": round(cpu / events * 1e6, 2)}
            say(f"{count} workers: {rows[str(count)]}")
    return rows


def let_run(pid: int, cores: set[int]) -> None:
    """Lets a program that was started on one core use others."""
    for process in process_tree(pid):
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def _show(result: dict[str, Any], about: dict[str, Any]) -> None:
    console = Console()
    console.print(describe(about))
    if result["customers"]:
        table = Table(
            "customers",
            "µs per event",
            "decoding, µs",
            "bytes encoded",
            "bytes resident",
            "recovery, CPU s",
            "process, MiB",
        )
        for column in table.columns:
            column.justify = "right"
        for size, row in result["customers"].items():
            table.add_row(
                f"{int(size):,}",
                f"{row['us_per_event']:.1f}",
                f"{row['decode_us']:.1f}",
                *(f"{row[name]:,.0f}" for name in ("bytes_encoded", "bytes_resident")),
                f"{row['recover_cpu_s']:.1f}",
                f"{row['resident_mib']:,.0f}",
            )
        console.print(table)
    if result["workers"]:
        table = Table("workers", "events/s", "CPU s per million")
        for count, row in result["workers"].items():
            table.add_row(count, f"{row['eps']:,}", f"{row['cpu_s_per_million']:.1f}")
        console.print(table)
