"""`winback replay` on a generated month, or on CDNOW: events a second with one process and with two, and that both write the same.

The clock runs from the command's start to its end: start of the processes, reading, playing, merging and writing. The events
are those of `whole`, but over a month (``--days``), as history has timers that come due. CDNOW (``--orders``) shows what silence
costs: 18 months in which nearly everybody only waits, and reviews and churn snapshots are most of the work; events a second say
little there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json as json_module
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson

from stream.actions.message import Message
from stream.config import Settings
from stream.datasets import CDNOW_CUSTOMERS, CDNOW_ORDERS, cdnow_events
from stream.events.codec import Decoder
from stream.outcome import Telemetry
from stream.replay.crew import collecting_seldom
from stream.replay.lockstep import Answer, Lockstep
from stream.replay.outputs import Outputs, merge
from stream.replay.player import Player
from stream.replay.reading import Reader, slices
from stream.replay.spill import Block, in_order
from stream.rules.loader import load_rules
from tests.bench._events import CUSTOMERS, write

_PLAY = "playing: events and timers"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--days", type=float, default=30.0, help="what the events are spread over")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--orders", action="store_true", help="play CDNOW's orders instead: 18 months, mostly silence")
    parser.add_argument(
        "--stages", action="store_true", help="also play it in this process and print what costs how much"
    )


def main(
    json: bool, events: int, customers: int, days: float, processes: list[int], orders: bool, stages: bool
) -> None:
    """Prints the table, or the same as JSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "events.jsonl"
        if orders:
            events, customers, days = CDNOW_ORDERS, CDNOW_CUSTOMERS, 545.0
            file.write_bytes(b"\n".join(map(orjson.dumps, cdnow_events())))
        else:
            write(file, events, customers=customers, days=days)
        table = {str(n): ran(_command(file, folder / str(n), n), events) for n in processes}
        same = len({_content(folder / str(number)) for number in processes}) == 1
        counts = orjson.loads((folder / str(processes[0]) / "summary.json").read_bytes())
        spent, timers = _stages(file, folder / "stages", events) if stages else ({}, 0)
    mix = {kind: number / events for kind, number in counts["events"].items()}
    decided = sum(sum(counts[name].values()) for name in ("actions", "suppressions"))
    if json:
        told = {
            "events": events,
            "customers": customers,
            "days": days,
            "mix": mix,
            "decisions": decided,
            "same_bytes": same,
            "processes": table,
            "stages": spent,
            "timers": timers,
        }
        print(json_module.dumps(told))
    else:
        print(
            f"{events:,} events of {customers:,} customers over {days:g} days; {decided / events:.2f} decisions an event"
        )
        print(", ".join(f"{kind} {share:.1%}" for kind, share in sorted(mix.items(), key=lambda item: -item[1])))
        print(f"{'processes':>9}{'events/s':>12}{'seconds':>10}{'CPU s':>10}{'CPU us/event':>14}{'peak MB each':>14}")
        for number, row in table.items():
            print(
                f"{number:>9}{row['eps']:>12,.0f}{row['seconds']:>10.1f}{row['cpu_s']:>10.1f}"
                f"{row['cpu_s'] / events * 1e6:>14.1f}{row['peak_mb']:>14,.0f}"
            )
        print("the same bytes" if same else "OTHER BYTES")
        for name, us in spent.items():
            print(f"{name:>40}{us:>10.1f} us/event")
        if stages:
            print(f"{'timers and reviews that came due':>40}{timers / events:>10.2f} an event")
    if not same:
        sys.exit(1)


def _command(file: Path, out: Path, processes: int) -> list[str]:
    command = [sys.executable, "-m", "stream", "replay", str(file), "--out", str(out), "--processes", str(processes)]
    return [*command, "--json"]


def ran(command: list[str], events: int) -> dict[str, Any]:
    """What a command took that plays so many events, its own processes included."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if child.returncode:
        raise SystemExit(f"{command[3]} ended with {child.returncode}")
    cpu_s = used.ru_utime + used.ru_stime
    return {
        "eps": events / seconds,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "cpu_s_per_million": cpu_s / events * 1e6,
        "peak_mb": used.ru_maxrss / 1024,
    }


def _stages(file: Path, folder: Path, events: int) -> tuple[dict[str, float], int]:
    """CPU time by stage of a run in this process, in us per event, imports left out; the sum is all that it used. And the
    number of timers and reviews that came due."""
    folder.mkdir()
    settings = msgspec.structs.replace(Settings(), clock="event", partitions=1)
    rules = load_rules(settings.rules_dir)
    spent: dict[str, float] = {}
    with collecting_seldom(), _spent(spent, _PLAY):
        with _spent(spent, "reading: customer and time of a line"):
            reader = Reader(folder, 0, 1)
            for part in slices([file]):
                reader.read(part, lambda size: None)
            (blocks,) = reader.close()
        outputs = _Timed(folder, spent)
        player = Player(
            settings, rules, outputs, number=0, decoder=Decoder(settings), until_ms=None, score_at_ms=()
        )  # fmt: skip
        lockstep = Lockstep(settings, 1)

        def load(block: Block) -> list[tuple[Any, ...]]:
            with _spent(spent, "decoding and validating"):
                return player.load(block)

        game = player.play(in_order(blocks, load))
        answer: Answer | None = None
        with contextlib.suppress(StopIteration):
            while True:
                asked = game.send(answer)
                answer = None
                if not isinstance(asked, int):
                    with _spent(spent, "versions: thresholds and model"):
                        ((_, answer),) = lockstep.take(0, asked)
        with _spent(spent, "writing: merge the files"):
            for name, pieces in outputs.close().blocks.items():
                merge(pieces, folder / name)
    return {name: seconds / events * 1e6 for name, seconds in spent.items()}, outputs.timers


class _Timed(Outputs):
    """Outputs that tell what they cost."""

    def __init__(self, folder: Path, spent: dict[str, float]) -> None:
        super().__init__(folder, 0)
        self._spent = spent
        self.timers = 0

    def message(self, message: Message) -> None:
        with _spent(self._spent, "collecting messages"):
            super().message(message)

    def count(self, telemetry: Telemetry) -> None:
        self.timers += len(telemetry.timer_delay_ms)
        super().count(telemetry)

    def customers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        with _spent(self._spent, "customers as of the end"):
            super().customers(rows)


@contextlib.contextmanager
def _spent(spent: dict[str, float], name: str) -> Iterator[None]:
    """Adds the block's CPU time to a stage, and takes it from the stage around it, which is that of playing."""
    began = time.process_time()
    yield
    used = time.process_time() - began
    spent[name] = spent.get(name, 0.0) + used
    if name != _PLAY:
        spent[_PLAY] = spent.get(_PLAY, 0.0) - used


def _content(out: Path) -> str:
    """A hash of everything that must not depend on the run."""
    digest = hashlib.blake2b()
    for path in sorted(out.iterdir()):
        if path.name != "run.json":
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
    return digest.hexdigest()
