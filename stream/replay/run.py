"""A replay from its files to its files: shares the work out, merges what comes back, and writes it in the defined order."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import orjson

from stream.config import Settings
from stream.events.instants import to_text
from stream.events.money import Rates
from stream.experiments.rows import report
from stream.governance.policy import limits_are_shared
from stream.replay.outputs import NAMES, Figures, merge, merged
from stream.replay.processes import Job, Progress, alone, together
from stream.replay.reading import Slice, Taken, slice_and_line, slices
from stream.rules.rule import RuleSet

SMALL_BYTES = 64 << 20
"""Input that one process replays sooner than several have started (about a second)."""


def sensible_processes(paths: Sequence[Path]) -> int:
    """One per core that this process may use, and one where that wouldn't pay."""
    size = sum(path.stat().st_size for path in paths if path.is_file())
    # sched_getaffinity knows the cores of this process; where it is missing (macOS), those of the machine have to do.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if size > SMALL_BYTES else 1


class Replay:
    """One run over a history. Call `run` once, then read the results or `write` them; then `close` (or use ``with``).

    ``processes`` changes how long it takes and nothing else. With more than one, ``rules`` must be those of
    ``settings.rules_dir``. ``work`` is the folder for what doesn't fit into memory: as large as the input, unpacked, and the
    output; it is deleted by `close`. ``states`` keeps the customers' records for `states`.
    """

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        *,
        until_ms: int | None = None,
        score_at_ms: Sequence[int] = (),
        rates: Rates | None = None,
        processes: int = 1,
        work: Path | None = None,
        states: bool = False,
    ) -> None:
        self.settings = msgspec.structs.replace(settings, clock="event", partitions=1)
        self._rules = rules
        in_order = limits_are_shared(settings, rules)
        if in_order:
            processes = 1  # each process plays its own customers, and knows nothing of what the others' have used up
        if work is not None:
            work.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=".replay-", dir=work))
        self._job = Job(
            self.settings, rates, rules.version, self._folder, processes, until_ms, tuple(score_at_ms), states, in_order
        )
        self._taken: list[Taken] = []
        self._parts: list[Slice] = []
        self._figures = Figures({}, {}, [], 0, {name: [] for name in NAMES})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the work folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, paths: Sequence[Path], progress: Progress = lambda what, done, total: None) -> None:
        """Plays the events of JSON Lines files (also ``.gz``) to ``until``, then on to the last time to score at.

        Raises `ConfigurationError` for files that can't be read and `ReplayProcessEnded`.
        """
        self._parts = slices(paths)
        if self._job.processes == 1:
            taken, self._figures = alone(self._job, self._rules, self._parts, progress)
        else:
            taken, self._figures = together(self._job, self._parts, progress)
        self._taken = sorted(taken)

    # -- results

    @property
    def lines(self) -> int:
        """Lines read, blank ones included."""
        return sum(taken.lines for taken in self._taken)

    def rows(self, name: str) -> Iterator[bytes]:
        """The lines of an output file (see `NAMES`), in its order."""
        for portion in merged(self._figures.blocks[name]):
            for key, row in portion:
                yield row or key

    def scores(self) -> Iterator[dict[str, Any]]:
        """Every buyer's churn score as of each instant asked for."""
        return map(orjson.loads, self.rows("scores"))

    def states(self) -> dict[bytes, bytes]:
        """Every customer's record, ascending by key."""
        return {key: row for portion in merged(self._figures.blocks["states"]) for key, row in portion}

    def summary(self) -> dict[str, Any]:
        """Counts and rates of the run, and how good the model was."""
        counts = {name: dict(sorted(found.items())) for name, found in self._figures.counts.items()}
        bought = counts.get("buyers", {})
        customers, buyers = bought.get("all", 0), bought.get("bought", 0)
        published, alerts = sum(counts["actions"].values()), sum(counts["alerts"].values())
        until_ms = self._figures.until_ms
        return {
            "as_of": None if until_ms is None else to_text(until_ms),
            "events": counts["events"],
            "ignored": {k: n for k, n in counts["ignored"].items() if k != "duplicate"},
            "dead_letters": counts["dead_letters"],
            "customers": customers,
            "buyers": buyers,
            "tiers": counts["tiers"],
            "segments": counts["segments"],
            "actions": counts["actions"],
            "suppressions": counts["suppressed"],
            "deferrals": counts["deferred"],
            "journeys": counts["journeys"],
            "alerts": counts["alerts"],
            "labels": counts["labels"],
            "rates": {
                "repurchase": round(bought["again"] / buyers, 6) if buyers else None,
                "actions_per_customer": round(published / customers, 6) if customers else None,
                "alerts_per_customer": round(alerts / customers, 6) if customers else None,
            },
            "model": self._figures.quality,
            **report(self._figures.tallies),
        }

    def facts(self) -> dict[str, Any]:
        """What depends on the files' layout: lines, repeats, and which lines were refused."""
        return {
            "lines": self.lines,
            "blank_lines": sum(taken.blank for taken in self._taken),
            "repeated_lines": self._figures.repeats,
            "duplicates": self._figures.counts["ignored"].get("duplicate", 0),
            "refused_lines": list(self._refused()),
        }

    def _refused(self) -> Iterator[dict[str, Any]]:
        before: list[int] = []
        position, path = 0, None
        for part, taken in zip(self._parts, self._taken, strict=True):
            position = position if part.path == path else 0
            path = part.path
            before.append(position)
            position += taken.lines
        for number, reason, detail in sorted(self._figures.refused):
            slice_number, line = slice_and_line(number)
            yield {
                "file": self._parts[slice_number].path.name,
                "line": before[slice_number] + line,
                "reason": reason,
                "detail": detail,
            }

    # -- writing

    def write(self, out_dir: Path, run: Mapping[str, Any]) -> dict[str, Any]:
        """Writes all files of the run into a folder and returns the summary.

        They are made aside and moved into place at the end, ``summary.json`` last: a folder that has one is whole.
        """
        out_dir.mkdir(parents=True, exist_ok=True)
        aside = self._folder
        names = self._job.files
        for name in names:
            if self._job.processes == 1:
                merge(self._figures.blocks[name], self._job.file(name))
        summary = self.summary()
        pretty = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        (aside / "run.json").write_bytes(orjson.dumps({**run, **self.facts()}, option=pretty))
        (aside / "summary.json").write_bytes(orjson.dumps(summary, option=pretty))
        for stale in ("summary.json", "scores.jsonl"):
            (out_dir / stale).unlink(missing_ok=True)
        for file in (*(self._job.file(name).name for name in names), "run.json", "summary.json"):
            shutil.move(aside / file, out_dir / file)
        return summary
