"""A backtest from its files to its files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec
import orjson

from stream.backtest.job import ROOM_BYTES, Job, Named
from stream.backtest.processes import alone, together
from stream.backtest.result import Result, result_of
from stream.config import Settings
from stream.events.money import Rates
from stream.governance.policy import limits_are_shared
from stream.replay.outputs import merge
from stream.replay.processes import Progress
from stream.replay.reading import slices
from stream.rules.rule import RuleSet

WINDOW_DAYS = 30
"""How long after a decision a purchase counts, unless something else is asked for: as long as attribution takes by default."""


class Backtest:
    """One run of two rule sets over a history. Call `run` once, then `write`; then `close` (or use ``with``).

    ``folders`` are where the old and the new rules are from (``""``: the library that comes with Winback), which other
    processes read again. ``processes`` changes how long it takes and nothing else. ``work`` is the folder for what doesn't fit
    into memory: about the size of the input, unpacked, and of the orders and decisions once more; it is deleted by `close`.
    """

    def __init__(
        self,
        settings: Settings,
        rules: tuple[RuleSet, RuleSet],
        folders: tuple[str, str],
        *,
        until_ms: int | None = None,
        window_days: int = WINDOW_DAYS,
        rates: Rates | None = None,
        processes: int = 1,
        work: Path | None = None,
        room_bytes: int = ROOM_BYTES,
    ) -> None:
        self._settings = msgspec.structs.replace(settings, clock="event", partitions=1)
        self._rules = rules
        in_order = any(limits_are_shared(self._settings, each) for each in rules)
        if in_order:
            processes = 1  # each process plays its own customers, and knows nothing of what the others' have used up
        if work is not None:
            work.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=".backtest-", dir=work))
        old, new = [Named(folder, each.version) for folder, each in zip(folders, rules, strict=True)]
        self._job = Job(
            self._settings, rates, (old, new), self._folder, processes, until_ms, window_days, in_order, room_bytes
        )
        self._differences = self._folder / "differences.jsonl"
        self.result: Result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the work folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, paths: Sequence[Path], progress: Progress = lambda what, done, total: None) -> Result:
        """Plays the events of JSON Lines files (also ``.gz``) under both sets of rules and compares what they decided.

        Raises `ConfigurationError` for files that can't be read and `ReplayProcessEnded`.
        """
        parts = slices(paths)
        if self._job.processes == 1:
            compared = alone(self._job, self._rules, parts, progress)
        else:
            compared = together(self._job, parts, progress)
        merge(compared.differences, self._differences)
        self.result = result_of(self._job, self._rules, compared)
        return self.result

    def differences(self) -> Iterator[bytes]:
        """The lines of ``differences.jsonl``."""
        with self._differences.open("rb") as file:
            yield from file

    def write(self, out_dir: Path, report: str) -> None:
        """Writes the files into a folder, ``backtest.json`` last: a folder that has one is whole."""
        out_dir.mkdir(parents=True, exist_ok=True)
        summary = out_dir / "backtest.json"
        summary.unlink(missing_ok=True)
        shutil.move(self._differences, out_dir / "differences.jsonl")
        (out_dir / "report.html").write_text(report, encoding="utf-8")
        pretty = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        aside = self._folder / "backtest.json"
        aside.write_bytes(orjson.dumps(msgspec.to_builtins(self.result), option=pretty))
        shutil.move(aside, summary)
