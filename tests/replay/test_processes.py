"""The number of processes changes how long a replay takes and nothing else; one that dies fails the whole."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import orjson
import pytest

from stream.config import Settings
from stream.errors import ConfigurationError
from stream.events.instants import DAY_MS, parse_ms
from stream.replay import Replay, ReplayProcessEnded
from stream.rules.loader import load_rules
from stream.simulate import Shop, broken
from stream.testing import message

START_MS = parse_ms("2026-01-01")
SETTINGS = Settings(churn_horizon_days=14, churn_min_labels=40, churn_quiet_days=3)


def _history() -> list[bytes]:
    """Six weeks of a shop, in no order: with repeats, broken messages, ids that come back with another body, and two
    customers who are seen on the first day only."""
    rng = random.Random(3)
    messages = [
        m for _, m in Shop(seed=5, customers=60, start_ms=START_MS, join_days=20).events(START_MS + 42 * DAY_MS)
    ]
    lines = [msgspec.json.encode(m) for m in messages]
    lines += [broken(rng.choice(messages), which)[1] for which in range(24)]
    again = rng.sample([m for m in messages if m.get("event") == "Order Completed"], 10)
    lines += [msgspec.json.encode({**m, "properties": {**m["properties"], "revenue": 1.0}}) for m in again]
    lines += [b'{"type":"track","event":"Nobody Knows This","userId":"%d"}' % number for number in range(5)]
    for customer in ("early-1", "early-2"):
        order = message(
            "Order Completed", customer, "2026-01-01T08:00:00Z", message_id=customer, order_id=customer, revenue=20.0
        )
        lines.append(orjson.dumps(order))
    lines += rng.choices(lines, k=200)
    rng.shuffle(lines)
    return lines


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The history in two files."""
    folder = tmp_path_factory.mktemp("shop")
    lines = _history()
    paths = []
    for number in range(2):
        paths.append(folder / f"part{number}.jsonl")
        paths[-1].write_bytes(b"\n".join(lines[number::2]) + b"\n")
    return paths


def _replay(
    files: list[Path], out: Path, processes: int, until: str | None
) -> tuple[dict[str, bytes], dict[bytes, bytes]]:
    with Replay(
        SETTINGS, load_rules(), processes=processes, work=out, states=True,
        until_ms=parse_ms(until) if until else None,
        score_at_ms=[parse_ms("2025-12-20"), parse_ms("2026-01-20T12:00:00Z"), parse_ms("2026-04-01")],
    ) as run:  # fmt: skip
        run.run(files)
        run.write(out, {})
        return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}, run.states()


@pytest.mark.parametrize(("until", "several"), [(None, (2, 3)), ("2026-03-01", (2,))])
def test_the_number_of_processes_does_not_show(
    files: list[Path], tmp_path: Path, until: str | None, several: tuple[int, ...]
) -> None:
    """One, two and three processes write the same bytes into every file and leave the same record of every customer."""
    told, states = _replay(files, tmp_path / "1", 1, until)
    summary = orjson.loads(told["summary.json"])
    assert summary["model"]
    assert all(summary[name] for name in ("actions", "suppressions", "dead_letters", "labels", "ignored"))
    assert len(told) == 12
    assert {name for name in told if not told[name]} <= {"alerts.jsonl", "experiments.jsonl", "models.jsonl"}
    assert len(states) == summary["customers"] + 1  # and the partition's own

    for processes in several:
        others, other_states = _replay(files, tmp_path / str(processes), processes, until)

        assert told == others
        assert {k: v for k, v in states.items() if k[:1] != b"\0"} == {
            k: v for k, v in other_states.items() if k[:1] != b"\0"
        }


def test_a_process_that_dies_fails_the_replay(files: list[Path], tmp_path: Path) -> None:
    """Killed half way, one of two processes ends the replay with an error that says so, and leaves nothing behind."""

    def kill(what: str, done: int, total: int) -> None:
        if what == "replaying":
            victim = next(process for process in multiprocessing.active_children() if process.name == "replay-1")
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)

    out = tmp_path / "out"
    with (
        pytest.raises(ReplayProcessEnded, match="process 2 of 2 was ended by signal 9"),
        Replay(SETTINGS, load_rules(), processes=2, work=out) as run,
    ):
        run.run(files, kill)

    assert [] == list(out.iterdir())
    assert [] == multiprocessing.active_children()


def test_what_a_process_meets_with_is_told(tmp_path: Path) -> None:
    """A packed file that breaks off is named, whichever process reads it."""
    file = tmp_path / "broken.jsonl.gz"
    file.write_bytes(b"\x1f\x8b\x08\x00 no gzip")
    for processes in (1, 2):
        with (
            pytest.raises(ConfigurationError, match=r"broken\.jsonl\.gz: "),
            Replay(SETTINGS, load_rules(), processes=processes, work=tmp_path) as run,
        ):
            run.run([file])


def test_a_history_without_labels_waits_for_neither_faust_nor_river(tmp_path: Path) -> None:
    """Both take seconds of CPU to import, and such a history needs neither."""
    order = message("Order Completed", "ana", "2026-01-01T08:00:00Z", message_id="m-1", order_id="o-1", revenue=20.0)
    (tmp_path / "events.jsonl").write_bytes(orjson.dumps(order))
    script = (
        "import sys; from stream.cli import main; "
        "main(['replay', 'events.jsonl', '--out', 'result'], standalone_mode=False); "
        "print(sorted({'faust', 'river'} & sys.modules.keys()))"
    )

    told = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert told.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "result" / "summary.json").is_file()
