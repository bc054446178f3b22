"""A backtest in one process or several: the same readers and pairs, driven directly or over pipes. Nothing is shared but files."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from stream.backtest.game import Question
from stream.backtest.job import VERSIONS, Job, read_again
from stream.backtest.pair import Compared, Pair
from stream.replay.crew import Pipe, collecting_seldom, crew_of
from stream.replay.lockstep import Answer, Lockstep
from stream.replay.processes import Progress
from stream.replay.reading import Reader, Slice, Taken
from stream.replay.spill import Block
from stream.rules.rule import RuleSet


class _Read(NamedTuple):
    """So many bytes more of the files have been read."""

    size: int


class _Played(NamedTuple):
    """So many lines more are done in both versions."""

    lines: int


class _Answered(NamedTuple):
    """The answer to a question of a version."""

    version: int
    answer: Answer


class _Compares(NamedTuple):
    """A process has played to the end and lays decisions side by side."""


class _Told:
    """Adds up what is done, for the progress bar."""

    def __init__(self, progress: Progress, parts: Sequence[Slice], processes: int) -> None:
        self._progress = progress
        self._size = sum(part.end - part.start for part in parts)
        self._processes = processes
        self._bytes = self._done = self._compared = 0
        self.lines = 0

    def read(self, count: int) -> None:
        self._bytes += count
        self._progress("reading", self._bytes, self._size)

    def played(self, count: int) -> None:
        self._done += count
        if count:
            self._progress("replaying", self._done, self.lines)

    def compared(self, count: int) -> None:
        self._compared += count
        self._progress("comparing", self._compared, self._processes)


def alone(job: Job, rules: tuple[RuleSet, RuleSet], parts: Sequence[Slice], progress: Progress) -> Compared:
    """The whole job in this process."""
    with collecting_seldom():
        told = _Told(progress, parts, 1)
        reader = Reader(job.folder, 0, 1, in_order=job.in_order)
        for part in parts:
            reader.read(part, told.read)
        (blocks,) = reader.close()
        told.lines = sum(block.rows for block in blocks)
        locksteps = [Lockstep(job.settings, 1) for _ in VERSIONS]
        pair = Pair(job, rules, 0, blocks)
        while not pair.over:
            said = pair.advance()
            if isinstance(said, Question):
                ((_, answer),) = locksteps[said.version].take(0, said.asked)
                pair.answer(said.version, answer)
            else:
                told.played(said or 0)
        told.compared(0)
        compared = pair.compare()
        told.compared(1)
    return compared


def together(job: Job, parts: Sequence[Slice], progress: Progress) -> Compared:
    """As `alone`, shared out over the job's processes: first the files among them, then the customers."""
    told = _Told(progress, parts, job.processes)
    todo = sorted(parts, key=lambda part: part.start - part.end)
    sorted_out: dict[int, list[list[Block]]] = {}
    compared: dict[int, Compared] = {}
    locksteps = [Lockstep(job.settings, job.processes) for _ in VERSIONS]
    with crew_of(job.processes, _work, job) as crew:
        while len(compared) < job.processes:
            for number, message in crew.heard():
                match message:
                    case _Read(size):
                        told.read(size)
                    case _Played(lines):
                        told.played(lines)
                    case Taken() | None:
                        if message is not None:
                            told.lines += message.lines - message.blank
                        crew.tell(number, todo.pop(0) if todo else None)
                    case Question(version, asked):
                        for whom, answer in locksteps[version].take(number, asked):
                            crew.tell(whom, _Answered(version, answer))
                    case _Compares():
                        told.compared(0)
                    case Compared():
                        compared[number] = message
                        told.compared(1)
                    case _:
                        sorted_out[number] = message
                        if len(sorted_out) == job.processes:
                            for to in range(job.processes):
                                crew.tell(to, [block for blocks in sorted_out.values() for block in blocks[to]])
    whole = compared[0]
    for number in range(1, job.processes):
        whole.add(compared[number])
    return whole


def _work(pipe: Pipe, number: int, job: Job) -> None:
    rules = read_again(job)
    reader = Reader(job.folder, number, job.processes)
    pipe.send(None)
    while (part := pipe.recv()) is not None:
        pipe.send(reader.read(part, lambda size: pipe.send(_Read(size))))
    pipe.send(reader.close())
    pair = Pair(job, rules, number, pipe.recv())
    # An answer for one version may come while the other has a question. If both ends sent and none received, they would wait
    # for each other for ever.
    answers: SimpleQueue[_Answered | None] = SimpleQueue()
    Thread(target=_receive, args=(pipe, answers), daemon=True).start()
    while not pair.over:
        said = pair.advance()
        if said is None:
            answered = answers.get()
            if answered is None:
                raise EOFError
            pair.answer(*answered)
        elif isinstance(said, Question):
            pipe.send(said)
        elif said:
            pipe.send(_Played(said))
    pipe.send(_Compares())
    pipe.send(pair.compare())
    while answers.get() is not None:
        pass  # until the pipe ends: who goes before has failed


def _receive(pipe: Pipe, answers: SimpleQueue[Any]) -> None:
    try:
        while True:
            answers.put(pipe.recv())
    except (EOFError, OSError):
        answers.put(None)
