"""Workers as processes of their own: started, killed, frozen, told to die at a certain point, given a wrong clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from stream.config import Settings
from tests.agents.harness import until

HAS_DISK = "state_dir" in Settings.__struct_fields__
"""Whether workers keep state on a disk of their own."""


class Worker:
    """One worker and its folder: log, clock, orders, and its disk, which survives it."""

    def __init__(self, settings: Settings, folder: Path, plant: str = "") -> None:
        folder.mkdir(parents=True)
        self.name = folder.name
        self.disk = folder / "state"
        self._settings = settings
        self._folder = folder
        self._plant = plant
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.wrong_by_ms = 0
        """What was done to its clock."""
        self.set_clock(0)

    def start(self) -> None:
        """Begins a new life on the same disk."""
        (self._folder / "order").unlink(missing_ok=True)
        self._starts += 1
        values = msgspec.structs.asdict(self._settings) | ({"state_dir": str(self.disk)} if HAS_DISK else {})
        settings = {f"WINBACK_{name.upper()}": str(value) for name, value in values.items() if value != ""}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench._crash.worker", str(self._folder), *self._plant.split()],
                env=os.environ | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def _log(self) -> Path:
        return self._folder / f"life-{self._starts}.log"

    @property
    def log(self) -> str:
        """What it has logged in this life."""
        return self._log.read_text(errors="replace")

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def started(self) -> bool:
        """Whether it ever was."""
        return self._process is not None

    def check(self) -> None:
        """Raises if it ended though nobody made it."""
        if not self.runs:
            last = "\n".join(self.log.splitlines()[-12:])
            raise AssertionError(f"{self.name} ended by itself with exit code {self.exit_code}:\n{last}")

    @property
    def exit_code(self) -> int | None:
        """Of the last life."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def leave(self) -> None:
        """Ends in good order."""
        assert self._process is not None
        self.send(signal.SIGTERM)
        await asyncio.to_thread(self._process.wait, 240)

    async def ended(self) -> None:
        """Returns when it is gone."""
        assert self._process is not None
        await asyncio.to_thread(self._process.wait, 240)

    def wipe(self) -> None:
        """Its disk is lost."""
        shutil.rmtree(self.disk, ignore_errors=True)

    def set_clock(self, wrong_by_ms: int) -> None:
        """Its wall clock is wrong by so much from now on. Written in place: the worker has mapped the file."""
        self.wrong_by_ms = wrong_by_ms
        path = self._folder / "clock"
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(struct.pack("<q", wrong_by_ms))

    def order(self, what: str) -> None:
        """What to do at its next commit (`tests.bench._crash.worker.ORDERS`)."""
        new = self._folder / "order.new"
        new.write_text(what)
        new.rename(self._folder / "order")

    async def obeyed(self) -> None:
        """Returns when it has taken the order."""
        await until(lambda: not (self._folder / "order").exists(), 240)

    async def get(self, path: str) -> Any:
        """An answer of its HTTP API, whatever the status; ``None`` if there is none."""
        address = re.search(r"web: (http://[\d.:]+)", self.log)
        if address is None or not self.runs:
            return None
        return await asyncio.to_thread(_get, f"{address.group(1)}{path}")

    async def partitions(self) -> set[int]:
        """The partitions it serves now."""
        answer = await self.get("/ready")
        if answer is None:
            return set()
        served = answer["partitions"].items()
        return {int(number) for number, partition in served if partition["stage"] == "running"}


def _get(url: str) -> Any:
    with contextlib.suppress(OSError):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            return json.loads(refusal.read())
    return None
