"""Commands that ask Kafka, when nobody is there: one sentence, what to do, and nothing of what a library says of it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        "report",
        "model",
        "drivers",
        "explain some-action",
        "rules history",
        "rules publish stream/rules/library --by ann",
        "pause --by ann",
        "redrive crm.purchases.v1.dlq",
        "produce docs/examples/events.jsonl",
        "import docs/examples/events.jsonl",
    ],
)
def test_that_nobody_answers_is_told_in_two_lines(command: str) -> None:
    """On standard error, with exit code 1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"kafka://127.0.0.1:{probe.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-m", "stream", *command.split(), "--broker", nobody],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    said = [line for line in done.stderr.splitlines() if line]
    assert 1 == done.returncode
    assert [f"winback: no Kafka broker answers at {nobody}"] == said[-2:-1]
    assert said[-1].startswith("  what to do: check --broker")
    assert len(said) == 2
