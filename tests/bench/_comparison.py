"""The systems that do the RFM job, one after the other on one broker: installed, checked, measured.

All read the same topic from the same broker, which has the other core. First each must do a small topic right: every
action, with the sums behind it, exactly as in a plain recount. Then they take turns, in rounds.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stream.errors import WinbackError
from tests.bench._rig import (
    BenchFailed,
    Program,
    Window,
    administrator,
    committed_offsets,
    committed_records,
    create_topics,
    delete_topics,
    figures,
    fill,
    measure,
    say,
    wait_for,
)
from tests.bench.peers.job import Action, purchases, recount
from tests.bench.peers.systems import PEERS, Run, System

_LOAD, _SMALL = "rfm-load", "rfm-small"
_SMALL_EVENTS, _SMALL_CUSTOMERS = 40_000, 1_000
_CHECK_SECONDS = 600.0
"""Longest time for the small topic: Faust needs some 10 s on an idle machine."""
_FASTEST_EPS = 280_000
"""The load is enough for a system as fast as this. A faster one fails with the advice to ask for more events."""
_START_SECONDS = 15
"""Work that may be done before the warm-up counts and after the window closes."""
_SNAPSHOTS = 5
"""That a window must hold, of a system that snapshots on a clock."""
_COMMIT_SECONDS = 5.0
"""Quix Streams' default; Flink gets twice that. Shorter only where a short window would not hold `_SNAPSHOTS`."""


def peers_named(text: str) -> dict[str, System]:
    """The peers of a comma-separated list; ends the program if one is unknown."""
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in PEERS]:
        raise SystemExit(f"unknown peers {unknown}; there are {list(PEERS)}")
    return {name: PEERS[name] for name in names}


class Comparison:
    """The systems that do the RFM job, on one broker; used as: `prepare`, `round` as often as wanted, `result`."""

    def __init__(self, bootstrap: str, systems: Mapping[str, System], seconds: float, warm_up: float) -> None:
        self._bootstrap = bootstrap
        self._seconds, self._warm_up = seconds, warm_up
        self._systems = dict(systems)
        self._windows: dict[str, list[Window | None]] = {name: [] for name in self._systems}
        self._numbers = itertools.count(1)
        self._count = 0
        self.failures: dict[str, str] = {}

    async def prepare(self, records: int = 0) -> None:
        """Installs, checks the results, writes the load (by default as long as the windows need)."""
        self._count = records or int(_FASTEST_EPS * (self._warm_up + self._seconds + _START_SECONDS))
        for name, system in self._systems.items():
            say(f"{system.title}: installing")
            try:
                system.install()
            except (WinbackError, OSError) as error:
                self._fail(name, error)
        await create_topics(self._bootstrap, [_SMALL, _LOAD])
        small = list(purchases(_SMALL, _SMALL_EVENTS, customers=_SMALL_CUSTOMERS))
        await fill(self._bootstrap, small)
        expected = recount(small)
        for name in self._working():
            say(f"{self._systems[name].title}: checking its results on {_SMALL_EVENTS:,} events")
            try:
                await self._check(name, expected)
            except (WinbackError, OSError) as error:
                self._fail(name, error)
        if self._working():
            say(f"writing {self._count:,} events")
            await fill(self._bootstrap, purchases(_LOAD, self._count))

    async def round(self, number: int) -> None:
        """One window of everybody who works, each round in another order."""
        for name in self._turns(number):
            await self._measure(name, number)

    def result(self) -> dict[str, Any]:
        """What the benchmark prints as JSON, without the circumstances."""
        measured = {
            name: {"title": self._systems[name].title, "guarantee": self._systems[name].guarantee, **figures(windows)}
            for name in self._windows
            if (windows := [window for window in self._windows[name] if window is not None])
        }
        ours = measured.pop("ours", {})
        ratios = {name: ratio for name in measured if (ratio := self._speedup(name))}
        return {"ours": ours, "peers": measured, "speedup": ratios, "failures": self.failures}

    def _speedup(self, peer: str) -> dict[str, float]:
        """Medians over the rounds of how many times faster, and how many times less CPU time."""
        rounds = zip(self._windows.get("ours", []), self._windows[peer], strict=False)
        pairs = [(ours, other) for ours, other in rounds if ours is not None and other is not None]
        if not pairs:
            return {}
        return {
            "eps": round(statistics.median(ours.eps / other.eps for ours, other in pairs), 2),
            "cpu": round(statistics.median(b.cpu_s_per_million / a.cpu_s_per_million for a, b in pairs), 2),
        }

    def _working(self) -> list[str]:
        return [name for name in self._systems if name not in self.failures]

    def _turns(self, number: int) -> list[str]:
        """Everybody who works; nobody is always the one after the load was written."""
        names = self._working()
        return names[number % len(names) :] + names[: number % len(names)] if names else []

    def _fail(self, name: str, error: Exception) -> None:
        self.failures[name] = str(error)
        say(f"{self._systems[name].title} FAILED: {error}")

    async def _check(self, name: str, expected: Counter[Action]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = await self._new_run(name, _SMALL, Path(folder), 1.0)
            with self._started(name, run) as program:
                async with administrator(self._bootstrap) as admin:
                    await wait_for(
                        program, lambda: committed_offsets(admin, run.name, [_SMALL]), _SMALL_EVENTS, _CHECK_SECONDS
                    )

                async def published() -> int:
                    # Some commit their offsets a moment before their actions.
                    return (await self._actions(run.output)).total()

                await wait_for(program, published, expected.total(), 30)
            found = await self._actions(run.output)
        await delete_topics(self._bootstrap, run.name)
        if found != expected:
            lost, more = (expected - found).total(), (found - expected).total()
            raise BenchFailed(
                f"of {expected.total():,} actions {lost} are missing or wrong, {more} are doubled or wrong"
            )

    async def _actions(self, topic: str) -> Counter[Action]:
        decode = msgspec.json.Decoder(Action).decode
        return Counter([decode(record.value) async for record in committed_records(self._bootstrap, topic)])

    async def _measure(self, name: str, number: int) -> None:
        commit_seconds = min(_COMMIT_SECONDS, self._seconds / _SNAPSHOTS / 2.5)
        window: Window | None = None
        try:
            with tempfile.TemporaryDirectory() as folder:
                run = await self._new_run(name, _LOAD, Path(folder), commit_seconds)
                with self._started(name, run) as program:
                    async with administrator(self._bootstrap) as admin:
                        window = await measure(
                            program,
                            lambda: committed_offsets(admin, run.name, [_LOAD]),
                            end=self._count,
                            warm_up_s=self._warm_up,
                            window_s=self._seconds,
                            min_commits=_SNAPSHOTS if self._systems[name].snapshots else 1,
                        )
            await delete_topics(self._bootstrap, run.name)
            say(
                f"{self._systems[name].title}, round {number + 1}: {window.eps:,.0f} events/s, "
                f"{window.cpu_s_per_million:.2f} CPU s per million, {window.commits} commits seen, "
                f"core used by others {window.foreign_cpu_s / window.seconds:.0%}"
            )
        except (WinbackError, OSError) as error:
            self._fail(name, error)
        self._windows[name].append(window)

    async def _new_run(self, name: str, topic: str, folder: Path, commit_seconds: float) -> Run:
        mark = f"{name}-run-{next(self._numbers)}"
        run = Run(mark, self._bootstrap, topic, f"{mark}-actions", folder, commit_seconds)
        await create_topics(self._bootstrap, [run.output])
        return run

    def _started(self, name: str, run: Run) -> Program:
        start = self._systems[name].start(run)
        return Program(start.command, run.folder / "program.log", env=start.env, cwd=start.cwd)
