"""A child process that is tied to the life of this one, through the `watchdog`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stream.adapters.broker import watchdog


class TiedProcess:
    """A running command that ends when it is told to, or when this process ends, even by ``kill -9``.

    ``held_fds`` stay open until the command has ended: a file lock on one of them outlives this process exactly as long
    as the command does. Signals from the terminal (Ctrl-C) don't reach the command: its owner decides.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        grace_seconds: float,
        niceness: int = 0,
        cwd: Path | None = None,
        held_fds: Sequence[int] = (),
    ) -> None:
        script = str(Path(watchdog.__file__).resolve())
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script, str(grace_seconds), str(niceness), str(output.resolve()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            start_new_session=True,
            pass_fds=held_fds,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._life = self._process.stdin, self._process.stdout
        self.pid = int(self._life.readline() or 0)
        """Process id of the command; 0 if it could not be started."""

    def fileno(self) -> int:
        """A file descriptor that becomes readable when the command has ended, for ``select``."""
        return self._life.fileno()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def settle(self) -> None:
        """Wait until the exit code of a process that is ending is known."""
        self._process.wait()

    def ask_to_end(self) -> None:
        """Begin an orderly end (SIGTERM, then SIGKILL after the grace); returns at once."""
        with contextlib.suppress(OSError):
            self._orders.close()

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL) and wait until it is gone."""
        with contextlib.suppress(OSError):
            self._orders.write(watchdog.KILL)
            self._orders.close()
        self.wait()

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        code = self._process.wait()
        self.ask_to_end()
        self._life.close()
        return code
