"""The systems that do the job: how each is installed and started, and what it promises."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tests.bench.peers.install import HERE, flink, python_of

ROOT = HERE.parents[2]


class Run(msgspec.Struct, frozen=True):
    """One run of one system on one topic."""

    name: str
    """Consumer group or application id, and part of the names of all topics of this run."""
    bootstrap: str
    input: str
    output: str
    folder: Path
    """For its local state; empty at the start."""
    commit_seconds: float
    """Longest time between two snapshots of those that snapshot on a clock."""


class Start(msgspec.Struct, frozen=True):
    """How to start a program."""

    command: list[str]
    env: Mapping[str, str] = {}
    cwd: Path | None = None


class System(msgspec.Struct, frozen=True):
    """A system under test."""

    title: str
    guarantee: str
    install: Callable[[], object]
    """Makes everything that `start` needs; takes no time the second time."""
    start: Callable[[Run], Start]
    snapshots: bool
    """Commits by snapshots on a clock, of which a window must have several."""


def _ours(run: Run) -> Start:
    env = {
        "WINBACK_BROKER": f"kafka://{run.bootstrap}",
        "WINBACK_APP_ID": run.name,
        "WINBACK_TOPIC_PURCHASES": run.input,
        "WINBACK_TOPIC_ACTIONS": run.output,
        "WINBACK_WEB_PORT": "0",
        "WINBACK_DATA_DIR": str(run.folder),
    }
    return Start([sys.executable, "-m", "tests.bench._rfm_worker"], env, ROOT)


def _job_env(run: Run) -> dict[str, str]:
    return {
        "RFM_BROKER": run.bootstrap,
        "RFM_INPUT": run.input,
        "RFM_OUTPUT": run.output,
        "RFM_GROUP": run.name,
        "RFM_FOLDER": str(run.folder),
        "RFM_COMMIT_SECONDS": str(run.commit_seconds),
    }


def _faust(run: Run) -> Start:
    command = [str(python_of("faust")), str(HERE / "faust" / "job.py"), "--loop", "uvloop", "worker", "-l", "warn"]
    return Start(command, _job_env(run), run.folder)


def _quix(run: Run) -> Start:
    return Start([str(python_of("quix")), str(HERE / "quix" / "job.py")], _job_env(run), run.folder)


_OPENED = (
    "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time",
    "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
)  # fmt: skip
"""What Flink's own start scripts open to it."""


def _flink(run: Run, job: str) -> Start:
    java, class_path = flink()
    command = [
        str(java),
        "-Xms3g",
        "-Xmx3g",
        "-XX:+UseSerialGC",  # the collector for one core
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        class_path,
        job,
        run.bootstrap,
        run.input,
        run.output,
        run.name,
        str(run.folder / "checkpoints"),
        str(max(1, int(2 * run.commit_seconds))),
    ]
    return Start(command, cwd=run.folder)


OURS = System("Winback", "exactly once", lambda: None, _ours, snapshots=False)
PEERS = {
    "faust": System("Faust 0.15.3, RocksDB", "at least once", lambda: python_of("faust"), _faust, snapshots=False),
    "quix": System("Quix Streams 3.28.1, RocksDB", "exactly once", lambda: python_of("quix"), _quix, snapshots=True),
    "flink": System("Flink 2.0.1, hashmap", "exactly once", flink, lambda run: _flink(run, "RfmJob"), snapshots=True),
    "flink_tuned": System(
        "Flink 2.0.1, hand-tuned", "exactly once", flink, lambda run: _flink(run, "TunedRfmJob"), snapshots=True
    ),
}
"""`flink` is the job as Flink's documentation writes it, as `faust` and `quix` are after theirs; `flink_tuned` is how much
faster it gets in the hands of somebody who knows what costs Flink time."""
