"""The crash suite at a small count, and the proof that it would notice: it finds a bug that is planted for it.

By hand, at a large count: ``uv run python -m tests.bench crash --rounds 100``.
"""

from __future__ import annotations

from rich.console import Console

from tests.bench._crash.suite import Plan
from tests.bench.crash import run, summary


def test_a_few_crashes_lose_and_double_nothing() -> None:
    """A worker killed, one frozen and woken, one dead with its transaction open, and clocks that jump by days: every state
    is the oracle's, every action there once, every dead letter planted."""
    faults = ("kill", "freeze", "die-before-commit", "jump-clock")
    report = run(Plan(rounds=len(faults), nodes=1, rate=200.0, faults=faults), Console())
    figures = summary(report)

    assert [] == figures["differences"]
    assert (4, 0, 0, 0) == tuple(figures[name] for name in ("rounds", "lost", "duplicated", "mismatched"))
    assert set(faults) == figures["by_fault"].keys()
    assert figures["events"] > 500 and figures["dead_letters"] > 0
    assert figures["decisions_as_in_replay"] > 500


def test_at_least_once_loses_no_action_half_way() -> None:
    """Of a worker that dies half way through a step, the state must not be there before the actions: it would call the
    event applied, and nobody would act on it."""
    plan = Plan(rounds=1, nodes=1, rate=200.0, faults=("die-half-way",), delivery="at_least_once")
    figures = summary(run(plan, Console()))

    assert [] == figures["differences"]
    assert (1, 0, 0) == (figures["rounds"], figures["lost"], figures["duplicated"])


def test_the_suite_finds_offsets_that_are_committed_too_early() -> None:
    """With the bug planted, whatever was in the open transaction of the killed worker is missed by name."""
    plan = Plan(rounds=2, nodes=1, rate=200.0, faults=("die-before-commit",), plant="early-commit")
    report = run(plan, Console())
    figures = summary(report)

    assert report.failed
    assert figures["lost"] > 0
    assert any("lost: the decision of crash-event" in text for text in figures["differences"])
