"""A system under test as a program on a core of its own: started, watched, accounted for, ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from stream.adapters.broker.process import TiedProcess
from stream.errors import WinbackError

PROGRAM_CORE, BROKER_CORE = 0, 1
_CORES = os.sched_getaffinity(0)
_GRACE_SECONDS = 20.0
"""How long an orderly end may take. Shorter: a system that finishes its transactions is killed; longer: one that hangs
costs more time."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class BenchFailed(WinbackError):
    """A system under test ended, stood still or gave a wrong result; what it last said is in the message."""

    operator_action = "read the log lines in the message; a benchmark never leaves a failing system out"


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Programs (and threads) that are started inside run on this core only, and so do all of theirs."""
    if core not in _CORES:
        raise BenchFailed(f"core {core} isn't ours to use; the benchmarks need two cores, and have {sorted(_CORES)}")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def process_tree(pid: int) -> list[int]:
    """The process and everything it started that still runs."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes and of their children that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS_PER_SECOND


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of these processes; pages that they share are counted once each."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def core_busy_seconds(core: int) -> float:
    """For how long a core has been busy since the machine started, whoever it was."""
    lines = Path("/proc/stat").read_text().splitlines()
    user, nice, system, _idle, _iowait, *interrupts = next(
        map(int, line.split()[1:9]) for line in lines if line.startswith(f"cpu{core} ")
    )
    return (user + nice + system + sum(interrupts)) / _TICKS_PER_SECOND


class Program:
    """A system under test: a command pinned to `PROGRAM_CORE`, with its log, that ends when this process does."""

    def __init__(
        self, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        self._log = log
        with on_core(PROGRAM_CORE):
            self._process = TiedProcess(["env", *settings, *command], output=log, grace_seconds=_GRACE_SECONDS, cwd=cwd)

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Of the whole process tree, from its start."""
        return cpu_seconds(process_tree(self.pid))

    def resident_bytes(self) -> int:
        """Of the whole process tree."""
        return resident_bytes(process_tree(self.pid))

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text("utf-8", "replace")

    def last_words(self, lines: int = 15) -> str:
        """The end of its log, for error messages."""
        return "\n".join(f"  | {line[:300]}" for line in self.log().splitlines()[-lines:])

    def check(self) -> None:
        """Raises `BenchFailed` if it ended by itself."""
        if (code := self._process.exit_code) is not None:
            raise BenchFailed(f"it ended with code {code}\n{self.last_words()}")

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()

    def stop(self) -> int:
        """In an orderly way; its exit code."""
        self._process.ask_to_end()
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
