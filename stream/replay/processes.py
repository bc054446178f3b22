"""Replay in one process or several: the same readers and players, driven directly or over pipes.

Nothing is shared but files in one folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stream.actions.codec import when_who_which
from stream.config import Settings
from stream.errors import ConfigurationError
from stream.events.codec import Decoder
from stream.events.instants import parse_ms
from stream.events.money import Rates
from stream.replay.crew import Pipe, collecting_seldom, crew_of
from stream.replay.lockstep import Answer, Lockstep, Rests, Waits
from stream.replay.outputs import NAMES, Figures, Outputs, merge
from stream.replay.player import Player
from stream.replay.reading import Reader, Slice, Taken
from stream.replay.spill import Block, in_order
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet

Progress = Callable[[str, int, int], None]
"""(what is being done, done, total), for a progress bar: bytes while reading, lines while replaying."""


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
    in_order: bool = False
    """Everybody's events by time, as live has them; only alone."""

    @property
    def cuts(self) -> tuple[int, ...]:
        """Where days are cut besides midnight: scores are as of then."""
        return tuple(sorted(set(self.score_at_ms)))

    @property
    def files(self) -> list[str]:
        """Names of the files of rows to write."""
        asked = {"states": False, "scores": bool(self.score_at_ms)}
        return [name for name in NAMES if asked.get(name, True)]

    def file(self, name: str) -> Path:
        """Where a file is made, before it is moved into place."""
        return self.folder / f"{name}.jsonl"


class _Read(NamedTuple):
    """So many bytes more of the files have been read."""

    size: int


class _Played(NamedTuple):
    """So many lines more are done."""

    lines: int


class _Merge(NamedTuple):
    """Asks for a file to be made of its blocks, which all processes have written."""

    name: str
    blocks: list[Block]


class _Merged(NamedTuple):
    """A file is whole."""

    name: str


def alone(job: Job, rules: RuleSet, parts: Sequence[Slice], progress: Progress) -> tuple[list[Taken], Figures]:
    """The whole job in this process: what was read, and what came out."""
    with collecting_seldom():
        return _alone(job, rules, parts, progress)


def _alone(job: Job, rules: RuleSet, parts: Sequence[Slice], progress: Progress) -> tuple[list[Taken], Figures]:
    told = _Told(progress, sum(part.end - part.start for part in parts))
    reader = Reader(job.folder, 0, 1, job.cuts, in_order=job.in_order)
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
    _tell(lockstep, outputs, outputs.until_ms)
    return taken, _figures(job, player, outputs)


def together(job: Job, parts: Sequence[Slice], progress: Progress) -> tuple[list[Taken], Figures]:
    """As `alone`, shared out over the job's processes: first the files among them, then the customers."""
    told = _Told(progress, sum(part.end - part.start for part in parts))
    todo = sorted(parts, key=lambda part: part.start - part.end)
    taken: list[Taken] = []
    sorted_out: dict[int, list[list[Block]]] = {}
    figures: list[Figures] = []
    whole: Figures | None = None
    merges: list[_Merge] = []
    missing = set(job.files)
    with crew_of(job.processes, _work, job) as crew:
        lockstep = Lockstep(job.settings, job.processes)
        while missing:
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
                        if len(figures) == job.processes:
                            outputs = Outputs(job.folder, job.processes)
                            _tell(lockstep, outputs, figures[0].until_ms)
                            whole = _sum([*figures, outputs.close()])
                            merges = _merges(job, whole)
                            for to in range(min(len(merges), job.processes)):
                                crew.tell(to, merges.pop(0))
                    case _Merged(name):
                        missing.remove(name)
                        if merges:
                            crew.tell(number, merges.pop(0))
                    case _:
                        sorted_out[number] = message
                        if len(sorted_out) == job.processes:
                            told.lines = sum(taken.lines - taken.blank for taken in taken)
                            for to in range(job.processes):
                                crew.tell(to, [block for blocks in sorted_out.values() for block in blocks[to]])
    assert whole is not None
    return taken, whole


def _tell(lockstep: Lockstep, outputs: Outputs, until_ms: int | None) -> None:
    """Adds what all customers' days have given together, up to the end of the replay."""
    for message in lockstep.told:
        if until_ms is not None and parse_ms(when_who_which(message)[0]) <= until_ms:
            outputs.message(message)


def _sum(figures: Sequence[Figures]) -> Figures:
    whole = figures[0]
    for other in figures[1:]:
        whole.add(other)
    return whole


def _merges(job: Job, whole: Figures) -> list[_Merge]:
    """The files to make, the largest first: whoever is done takes the next."""
    merges = [_Merge(name, whole.blocks[name]) for name in job.files]
    return sorted(merges, key=lambda each: -sum(block.size for block in each.blocks))


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


def _work(pipe: Pipe, number: int, job: Job) -> None:
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
    while True:  # until the pipe ends
        name, blocks = pipe.recv()
        merge(blocks, job.file(name))
        pipe.send(_Merged(name))


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
