"""Replay in one process or several: the same readers and players, driven directly or over pipes.

Nothing is shared but files in one folder. A process that ends early, for whatever reason, ends the replay.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from stream.config import Settings
from stream.errors import ConfigurationError, WinbackError
from stream.events.codec import Decoder
from stream.events.money import Rates
from stream.replay.lockstep import Answer, Lockstep, Rests, Waits
from stream.replay.outputs import Figures, Outputs
from stream.replay.player import Player
from stream.replay.reading import Reader, Slice, Taken
from stream.replay.spill import Block, in_order
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet

Progress = Callable[[str, int, int], None]
"""(what is being done, done, total), for a progress bar: bytes while reading, lines while replaying."""

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


class Job(NamedTuple):
    """What every process is told. Each reads the rule files for itself; ``rules_version`` says what it must find."""

    settings: Settings
    rates: Rates | None
    rules_version: str
    folder: Path
    processes: int
    until_ms: int | None
    score_at_ms: tuple[int, ...]
    states: bool

    @property
    def cuts(self) -> tuple[int, ...]:
        """Where days are cut besides midnight: scores are as of then."""
        return tuple(sorted(set(self.score_at_ms)))


class _Read(NamedTuple):
    """So many bytes more of the files have been read."""

    size: int


class _Played(NamedTuple):
    """So many lines more are done."""

    lines: int


class _Failed(NamedTuple):
    """The error that ended a process: the problems of a `ConfigurationError`, or the text of another."""

    problems: tuple[str, ...]
    text: str


def alone(job: Job, rules: RuleSet, parts: Sequence[Slice], progress: Progress) -> tuple[list[Taken], Figures]:
    """The whole job in this process: what was read, and what came out."""
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        return _alone(job, rules, parts, progress)
    finally:
        gc.set_threshold(*before)


def _alone(job: Job, rules: RuleSet, parts: Sequence[Slice], progress: Progress) -> tuple[list[Taken], Figures]:
    told = _Told(progress, sum(part.end - part.start for part in parts))
    reader = Reader(job.folder, 0, 1, job.cuts)
    taken = [reader.read(part, told.read) for part in parts]
    (blocks,) = reader.close()
    told.lines = sum(block.rows for block in blocks)
    player, outputs = _player(job, rules, 0)
    lockstep = Lockstep(job.settings, 1)
    game = player.play(in_order(blocks, player.load))
    asked = next(game, None)
    while asked is not None:
        answer: Answer | None = None
        if isinstance(asked, int):
            told.played(asked)
        else:
            ((_, answer),) = lockstep.take(0, asked)
        asked = _send(game, answer)
    return taken, _figures(job, player, outputs)


def together(job: Job, parts: Sequence[Slice], progress: Progress) -> tuple[list[Taken], Figures]:
    """As `alone`, shared out over the job's processes: first the files among them, then the customers."""
    told = _Told(progress, sum(part.end - part.start for part in parts))
    todo = sorted(parts, key=lambda part: part.start - part.end)
    taken: list[Taken] = []
    sorted_out: dict[int, list[list[Block]]] = {}
    figures: list[Figures] = []
    with _crew(job) as crew:
        # Only now: River's import takes seconds, in which the others begin to read.
        lockstep = Lockstep(job.settings, job.processes)
        while len(figures) < job.processes:
            for number, message in crew.heard():
                match message:
                    case _Read(size):
                        told.read(size)
                    case _Played(lines):
                        told.played(lines)
                    case Taken() | None:
                        if message is not None:
                            taken.append(message)
                        crew.tell(number, todo.pop(0) if todo else None)
                    case Waits() | Rests():
                        for whom, answer in lockstep.take(number, message):
                            crew.tell(whom, answer)
                    case Figures():
                        figures.append(message)
                    case _:
                        sorted_out[number] = message
                        if len(sorted_out) == job.processes:
                            told.lines = sum(taken.lines - taken.blank for taken in taken)
                            for to in range(job.processes):
                                crew.tell(to, [block for blocks in sorted_out.values() for block in blocks[to]])
    whole = figures[0]
    for other in figures[1:]:
        whole.add(other)
    return taken, whole


class _Told:
    """Adds up what is done, for the progress bar."""

    def __init__(self, progress: Progress, size: int) -> None:
        self._progress = progress
        self._size = size
        self._bytes = 0
        self._done = 0
        self.lines = 0

    def read(self, count: int) -> None:
        self._bytes += count
        self._progress("reading", self._bytes, self._size)

    def played(self, count: int) -> None:
        self._done += count
        self._progress("replaying", self._done, self.lines)


class _Crew:
    """The other processes, seen from this one."""

    def __init__(self, processes: Sequence[BaseProcess], pipes: Sequence[Connection[Any, Any]]) -> None:
        self._processes = processes
        self._pipes = pipes

    def tell(self, number: int, message: Any) -> None:
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
def _crew(job: Job) -> Iterator[_Crew]:
    # Spawned, not forked: a forked child would inherit threads' locks (the progress bar has a thread) and open files.
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = []
    pipes: list[Connection[Any, Any]] = []
    try:
        for number in range(job.processes):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(
                target=_child, args=(theirs, number, job), daemon=True, name=f"replay-{number}"
            )
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        yield _Crew(processes, pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(_PATIENCE_S)
            if process.exitcode is None:
                process.kill()
                process.join()


def _child(pipe: Connection[Any, Any], number: int, job: Job) -> None:
    # An interrupt is the parent's to handle; a child ends when its pipe does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        _work(pipe, number, job)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except ConfigurationError as error:
        pipe.send(_Failed(error.problems, ""))
    except Exception as error:  # whatever it is, the parent has to say it
        pipe.send(_Failed((), "".join(traceback.format_exception_only(error)).strip()))


def _work(pipe: Connection[Any, Any], number: int, job: Job) -> None:
    rules = load_rules(job.settings.rules_dir)
    if rules.version != job.rules_version:
        raise ConfigurationError([f"{job.settings.rules_dir}: the rules have changed since the replay began"])
    reader = Reader(job.folder, number, job.processes, job.cuts)
    pipe.send(None)
    while (part := pipe.recv()) is not None:
        pipe.send(reader.read(part, lambda size: pipe.send(_Read(size))))
    pipe.send(reader.close())
    player, outputs = _player(job, rules, number)
    game = player.play(in_order(pipe.recv(), player.load))
    asked = next(game, None)
    while asked is not None:
        answer: Answer | None = None
        if isinstance(asked, int):
            pipe.send(_Played(asked))
        else:
            pipe.send(asked)
            answer = pipe.recv()
        asked = _send(game, answer)
    pipe.send(_figures(job, player, outputs))


def _player(job: Job, rules: RuleSet, number: int) -> tuple[Player, Outputs]:
    outputs = Outputs(job.folder, number)
    decoder = Decoder(job.settings, job.rates, latest_ms=job.until_ms)
    player = Player(
        job.settings, rules, outputs,
        number=number, decoder=decoder, until_ms=job.until_ms, score_at_ms=job.score_at_ms,
    )  # fmt: skip
    return player, outputs


def _send(game: Any, answer: Answer | None) -> Any:
    try:
        return game.send(answer)
    except StopIteration:
        return None


def _figures(job: Job, player: Player, outputs: Outputs) -> Figures:
    if job.states:
        outputs.states(player.store)
    return outputs.close()
