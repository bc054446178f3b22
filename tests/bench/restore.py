"""How soon a worker is ready again with its disk after `kill -9`, and on an empty one; memory per customer; what waiting costs.

The changelog of a shop with a past is written once as it was lived and half of it a second time, as if compaction had not
come by yet. A worker reads it and fills its disk; then it is killed and started again in the same moment (warm: the group
must first find out that the old one is dead), then killed, its disk removed, and started again (cold). The worker has both cores
with the broker, as it would while it restores.
"""

from __future__ import annotations

import argparse
import asyncio
import json as json_module
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from stream.config import Settings
from tests.bench._rig import Program, describe, fill, machine, pinned_broker, say
from tests.bench._shop_worker import ask, give_past, shop_settings, until_ready, worker
from tests.bench._warm import warm_shop
from tests.bench.scale import let_run

_PATIENCE_S = 600.0
WARM_WITHIN_S, COLD_WITHIN_S, RESIDENT_WITHIN_MIB = 30.0, 120.0, 1536.0
"""Bounds for a million customers."""
_IDLE_S = 30.0
IDLE_WITHIN_PERCENT = 1.0
"""Of a core, while a million customers wait and nothing comes in."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--customers", type=int, default=1_000_000, help="customers of the shop (default 1 M)")
    parser.add_argument("--store", choices=["memory", "disk"], default="memory", help="where customers are kept")


def main(*, json: bool, customers: int, store: str) -> None:
    """Runs it and prints the result; exit code 1 if a million customers miss a bound."""
    about = machine()
    result = asyncio.run(_restore(customers, store)) | {"machine": about}
    if json:
        print(json_module.dumps(result))
    else:
        print(describe(about))
        for name, value in result.items():
            if name != "machine":
                print(f"{name:<24}{value:>14,}")
    bounds = {
        "warm_s": WARM_WITHIN_S,
        "cold_s": COLD_WITHIN_S,
        "resident_mib": RESIDENT_WITHIN_MIB,
        "idle_percent": IDLE_WITHIN_PERCENT,
    }
    missed = [f"{name} is {result[name]}, above {bound:g}" for name, bound in bounds.items() if result[name] > bound]
    if missed and customers <= 1_000_000:
        raise SystemExit("; ".join(missed))


async def _restore(customers: int, store: str) -> dict[str, Any]:
    with pinned_broker() as broker, tempfile.TemporaryDirectory(prefix="winback-bench-") as temporary:
        folder = Path(temporary)
        settings = shop_settings(broker.bootstrap, "restore", state_dir=str(folder / "state"), state_store=store)
        say(f"making a shop of {customers:,} customers")
        warm = warm_shop(settings, customers, int(time.time() * 1000))
        encoded = sum(map(len, warm.customers.values())) / len(warm.customers)
        say(f"writing its changelog, {encoded:.0f} bytes each")
        half = (row for at, row in enumerate(warm.customers.items()) if at % 2)
        await give_past(broker.bootstrap, settings, warm)
        await fill(broker.bootstrap, ((settings.topic_changelog, *row) for row in half))
        count, records = len(warm.customers), int(1.5 * len(warm.customers))
        del warm
        first = await _started(settings, folder, "first")
        await _settled(first)
        first.kill()
        warm_began = time.monotonic()
        second = await _started(settings, folder, "warm")
        warm_s, warm_read = time.monotonic() - warm_began, _read(settings)
        await _settled(second)
        resident_mib = second.resident_bytes() / 2**20
        idle_percent = await _idle_percent(second)
        second.kill()
        shutil.rmtree(settings.state_dir)
        cold_began = time.monotonic()
        third = await _started(settings, folder, "cold")
        cold_s = time.monotonic() - cold_began
        await _settled(third)
        cold_mib = third.resident_bytes() / 2**20
        third.stop()
        return {
            "customers": count,
            "changelog_records": records,
            "warm_s": round(warm_s, 1),
            "cold_s": round(cold_s, 1),
            "warm_records_read": warm_read,
            "bytes_encoded": round(encoded),
            "bytes_resident": round(max(resident_mib, cold_mib) * 2**20 / count),
            "resident_mib": round(max(resident_mib, cold_mib)),
            "resident_warm_mib": round(resident_mib),
            "resident_cold_mib": round(cold_mib),
            "idle_percent": round(idle_percent, 2),
            "disk_mib": round(_size(folder) / 2**20),
        }


async def _started(settings: Settings, folder: Path, name: str) -> Program:
    program = worker(settings, folder / f"{name}.log")
    let_run(program.pid, {0, 1})
    waited = await until_ready(settings, program, _PATIENCE_S)
    say(f"{name}: ready after {waited:.1f} s, {program.cpu_seconds():.1f} s of CPU")
    return program


async def _settled(program: Program) -> None:
    """Until it has nothing left to do: its disk is written, and what it needed for restoring is given back."""
    quiet, before = 0, program.cpu_seconds()
    while quiet < 3:
        await asyncio.sleep(1)
        now = program.cpu_seconds()
        quiet = quiet + 1 if now - before < 0.1 else 0
        before = now


async def _idle_percent(program: Program) -> float:
    """How much of a core it uses with nothing to do but the timers that happen to be due."""
    say(f"watching it do nothing for {_IDLE_S:.0f} s")
    began, before = time.monotonic(), program.cpu_seconds()
    await asyncio.sleep(_IDLE_S)
    return (program.cpu_seconds() - before) / (time.monotonic() - began) * 100


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _read(settings: Settings) -> int:
    answer = orjson.loads(ask(f"http://127.0.0.1:{settings.web_port}/ready"))
    return sum(part["restored_records"] for part in answer["partitions"].values())
