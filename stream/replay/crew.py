"""The processes that share a replay's work: started, told, heard and ended by the first one."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, ClassVar, NamedTuple, TypeAlias

from stream.errors import ConfigurationError, WinbackError

Pipe: TypeAlias = "Connection[Any, Any]"
Work = Callable[[Pipe, int, Any], None]
"""What a process does with its pipe, its number and the job; a function that can be sent by name."""

_PATIENCE_S = 10.0
"""How long a process that is told to stop may take. Longer: an error shows later; shorter: it may be killed in its cleanup,
which loses nothing."""
_COLLECT_AFTER = (50_000, 50, 500)
"""When Python looks for garbage in cycles (see `gc.set_threshold`); there is hardly any. Sooner: it looks at millions of objects
in vain; later: a few MB more of refused lines' errors."""


class ReplayProcessEnded(WinbackError):
    """One of the processes that share a replay's work is gone."""

    operator_action: ClassVar[str] = (
        "nothing was written; look whether the system ran out of memory or disk (--processes 1 needs the least memory)"
    )


class _Failed(NamedTuple):
    """The error that ended a process: the problems of a `ConfigurationError`, or the text of another."""

    problems: tuple[str, ...]
    text: str


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Python looks for garbage as seldom as `_COLLECT_AFTER` says."""
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Crew:
    """The other processes, seen from this one."""

    def __init__(self, processes: Sequence[BaseProcess], pipes: Sequence[Pipe]) -> None:
        self._processes = processes
        self._pipes = pipes

    def tell(self, number: int, message: Any) -> None:
        """Sends a process something."""
        try:
            self._pipes[number].send(message)
        except OSError:
            self._ended(number)

    def heard(self) -> Iterator[tuple[int, Any]]:
        """What has come in, at least one message. Raises `ReplayProcessEnded` and what a process itself met with."""
        for pipe in wait(self._pipes):
            number = self._pipes.index(pipe)
            try:
                message = self._pipes[number].recv()
            except (EOFError, OSError):
                self._ended(number)
            if isinstance(message, _Failed):
                if message.problems:
                    raise ConfigurationError(message.problems)
                raise ReplayProcessEnded(f"process {number + 1} of {len(self._pipes)} failed:\n{message.text}")
            yield number, message

    def _ended(self, number: int) -> None:
        process = self._processes[number]
        process.join(_PATIENCE_S)
        code = process.exitcode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        raise ReplayProcessEnded(f"process {number + 1} of {len(self._pipes)} {how}")


@contextmanager
def crew_of(processes: int, work: Work, job: Any) -> Iterator[Crew]:
    """So many processes, for as long as the block lasts. A process that ends early, for whatever reason, ends the block."""
    # Spawned, not forked: a forked child would inherit threads' locks (the progress bar has a thread) and open files.
    context = multiprocessing.get_context("spawn")
    started: list[BaseProcess] = []
    pipes: list[Pipe] = []
    try:
        for number in range(processes):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(
                target=_child, args=(theirs, number, work, job), daemon=True, name=f"replay-{number}"
            )
            process.start()
            theirs.close()
            started.append(process)
            pipes.append(ours)
        yield Crew(started, pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in started:
            process.join(_PATIENCE_S)
            if process.exitcode is None:
                process.kill()
                process.join()


def _child(pipe: Pipe, number: int, work: Work, job: Any) -> None:
    # An interrupt is the parent's to handle; a child ends when its pipe does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with collecting_seldom():
            work(pipe, number, job)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except ConfigurationError as error:
        pipe.send(_Failed(error.problems, ""))
    except Exception as error:  # whatever it is, the parent has to say it
        pipe.send(_Failed((), "".join(traceback.format_exception_only(error)).strip()))
