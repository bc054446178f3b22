"""The demo's worker: ``winback worker`` in a process of its own, looked at through its web port."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from stream.adapters.broker.process import TiedProcess
from stream.commands.live_figures import Sample, samples
from stream.config import Settings
from stream.errors import WinbackError

GRACE_SECONDS = 20.0
"""What the worker gets for leaving in good order: it takes a second or two, more on a busy machine. Shorter: its last
transaction may be cut off; longer: Ctrl-C seems not to work."""
ANSWER_SECONDS = 5.0
"""Longest wait for an answer of its web port. A worker in the middle of a large step answers late; that is no failure."""
TAIL_LINES = 12

_TOLD = ("broker", "app_id", "partitions", "replication_factor", "clock", "kafka_security", "web_host", "web_port")
"""Settings that the demo decides, whatever the environment says. All others reach the worker by the environment."""


class WorkerDied(WinbackError):
    """The demo's worker ended by itself. The message ends with the last lines of its log."""

    operator_action = "read the log lines above; the demo begins anew at its next start"


class DemoWorker:
    """One worker process, which ends when this process does, however suddenly.

    A process of its own, because drawing the view and simulating the shop would slow the worker in the same one.
    """

    def __init__(self, settings: Settings, log: Path, *arguments: str) -> None:
        self._settings = settings
        self._log = log
        self._arguments = arguments
        self._process: TiedProcess | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self._settings.web_host}:{self._settings.web_port}"

    def start(self) -> None:
        """Starts the process; returns at once. It looks for the broker itself."""
        self._log.write_bytes(b"")
        told = [f"WINBACK_{name.upper()}={getattr(self._settings, name)}" for name in _TOLD]
        # By `env`, so that neither this process's environment nor a flag that may not exist is needed.
        command = ["env", *told, sys.executable, "-m", "stream", "worker", *self._arguments]
        self._process = TiedProcess(command, output=self._log, grace_seconds=GRACE_SECONDS)

    def check(self) -> None:
        """Raises `WorkerDied` if it ended by itself."""
        if self._process is not None and self._process.exit_code is not None:
            raise WorkerDied(
                f"the worker ended by itself with code {self._process.exit_code}\n{tail(self._log)}"
                f"  the whole log: {self._log}"
            )

    async def metrics(self) -> list[Sample]:
        """Its metrics as of now; empty while it doesn't answer."""
        body = await self._ask("/metrics")
        return list(samples(body.decode())) if body else []

    async def caught_up(self) -> bool:
        """Whether it has processed all that was there (event clock)."""
        body = await self._ask("/ready")
        answer: Mapping[str, Any] = orjson.loads(body) if body else {}
        return bool(answer.get("caught_up"))

    def kill(self) -> None:
        """Ends it as a power cut would."""
        if self._process is not None:
            self._process.kill()

    async def stop(self) -> int | None:
        """Asks it to leave the group and end, and waits for that. The exit code, ``None`` if it never ran."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._process is None:
            return None
        process, self._process = self._process, None
        process.ask_to_end()
        return await asyncio.to_thread(process.wait)

    async def _ask(self, path: str) -> bytes:
        if self._session is None:
            token = self._settings.web_token
            self._session = aiohttp.ClientSession(
                self.url,
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                headers={"Authorization": f"Bearer {token}"} if token else {},
            )
        try:
            async with self._session.get(path) as response:
                return await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return b""


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, as a quotation."""
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    return "".join(f"  | {line[:300]}\n" for line in text.splitlines()[-lines:] if line.strip())
