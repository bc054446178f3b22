"""`winback demo` as a person starts it: a process of its own, with its own broker, ports and folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson
import pytest

from stream.adapters.broker.node import free_ports
from stream.commands.demo_cdnow import CUT_OFFS, area, orders_of
from stream.config import make_settings
from stream.datasets import CDNOW_END
from stream.events.instants import day_of, parse_ms
from stream.replay import Replay
from stream.rules.loader import load_rules

START_SECONDS = 120.0
"""Until the worker processes: 10 s on a free machine."""
STOP_SECONDS = 45.0


class Demo:
    """A running demo, and what it needs to be left alone by others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.web_port = free_ports(2)
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> list[str]:
        """As typed."""
        ports = ["--port", str(self.port), "--web-port", str(self.web_port)]
        return [sys.executable, "-m", "stream", "demo", "--json", "--data-dir", str(self.folder), *ports, *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=600, check=False)

    def start(self, *arguments: str) -> None:
        """In the background."""
        self.process = subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str, str]:
        """Exit code, standard output and error output, once it has ended."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode, out, err

    def processing(self) -> bool:
        """Whether the worker has applied events and published actions."""
        assert self.process is not None and self.process.poll() is None
        try:
            with urlopen(f"http://127.0.0.1:{self.web_port}/metrics", timeout=5) as page:
                return b"winback_actions_total{" in page.read()
        except (URLError, OSError):
            return False

    def left(self) -> list[int]:
        """Processes of this demo that run: by the folder on their command line, or the port in their environment."""
        signs = (str(self.folder).encode(), f"WINBACK_WEB_PORT={self.web_port}".encode())
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                said = (process / "cmdline").read_bytes() + b"\0" + (process / "environ").read_bytes()
            except OSError:
                continue
            if int(process.name) != os.getpid() and any(sign in said for sign in signs):
                found.append(int(process.name))
        return found

    def process_of(self, command: bytes) -> int:
        """The process of this demo that runs a command, not the one that watches over it."""
        for pid in self.left():
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if command in line and b"watchdog.py" not in line:
                return pid
        raise AssertionError(f"{command!r} doesn't run")


def until(condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Asks five times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.2)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Nothing of it is left when the test ends, whatever happened."""
    found = Demo(tmp_path / "data")
    yield found
    if found.process is not None and found.process.poll() is None:
        found.process.kill()
        found.process.communicate()


def test_ctrl_c_ends_all_of_it_and_a_second_start_works(demo: Demo) -> None:
    """While it runs: a second one is refused, a customer can be looked up. Then Ctrl-C: exit code 0, nothing left over."""
    demo.start("--customers", "100", "--rate", "100")
    until(demo.processing)
    second = demo.run()
    other = Demo(demo.folder.parent / "other")
    other.port = demo.port
    taken = other.run()
    url = f"http://127.0.0.1:{demo.web_port}"
    looked_up = subprocess.run(
        [sys.executable, "-m", "stream", "customer", "C-000001", "--json", "--url", url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert demo.process is not None
    demo.process.send_signal(signal.SIGINT)
    code, out, err = demo.end()
    log = (demo.folder / "demo" / "worker.log").read_text()

    assert (1, True, "") == (second.returncode, "already runs a broker in" in second.stderr, second.stdout)
    assert (1, True) == (taken.returncode, f"port {demo.port} on 127.0.0.1 is in use" in taken.stderr)
    assert (0, "C-000001") == (looked_up.returncode, json.loads(looked_up.stdout)["customer_id"]), looked_up.stderr
    assert (0, []) == (code, demo.left()), err
    assert 0 < sum(json.loads(out)["actions"].values())
    assert "told to stop" in log and "all partitions are let go" in log
    again = demo.run("--customers", "100", "--duration", "15")
    assert (0, []) == (again.returncode, demo.left()), again.stderr
    summary = json.loads(again.stdout)
    assert ("2010-01-04T00:00:00Z", 0) == (summary["shop_from"], summary["dead_letters"])


@pytest.mark.parametrize(
    ("command", "said", "log"),
    [
        (b"-m\0stream\0worker", "the worker ended by itself with code 137", "worker.log"),
        (b"\0kafka.Kafka\0", "Kafka node 1 ended by itself with code 137", "broker/broker.log"),
    ],
    ids=["worker", "broker"],
)
def test_whoever_dies_ends_the_demo_with_its_last_words(demo: Demo, command: bytes, said: str, log: str) -> None:
    """Noticed within a look, shown with the end of its log and where the rest is; nothing is left running."""
    demo.start("--customers", "100", "--rate", "100")
    until(demo.processing)
    os.kill(demo.process_of(command), signal.SIGKILL)
    code, out, err = demo.end()

    assert (1, "", []) == (code, out, demo.left())
    assert said in err and "  | " in err and str(demo.folder / "demo" / log) in err
    assert "Traceback" not in err


def test_cdnow_goes_through_kafka_to_the_end_and_agrees_with_replay(demo: Demo, tmp_path: Path) -> None:
    """Some of its customers: every order received, the same actions, alerts and scores as without Kafka."""
    orders = orders_of(300)
    done = demo.run("--dataset", "cdnow", "--customers", "300")
    assert 0 == done.returncode, done.stderr
    summary = json.loads(done.stdout)
    file = tmp_path / "cdnow.jsonl"
    file.write_bytes(b"".join(orjson.dumps(order, option=orjson.OPT_APPEND_NEWLINE) for order in orders))
    cut_offs = [parse_ms(text) for text in CUT_OFFS]
    with Replay(make_settings(), load_rules(), until_ms=parse_ms(CDNOW_END), score_at_ms=cut_offs) as replay:
        replay.run([file])
        expected, scores = replay.summary(), list(replay.scores())

    assert (len(orders), 0, 0, 300) == tuple(
        summary[name] for name in ("orders", "duplicates", "dead_letters", "customers")
    )
    assert expected["actions"] == summary["actions"]
    assert expected["suppressions"] == summary["suppressions"]
    assert expected["deferrals"] == summary["deferrals"]
    assert expected["alerts"] == {"churn": summary["alerts"]}
    assert _areas(scores, orders) == summary["auc"]
    assert [] == demo.left()


def _areas(scores: list[dict[str, Any]], orders: list[dict[str, Any]]) -> dict[str, float | None]:
    days: dict[str, list[int]] = {}
    for order in orders:
        days.setdefault(order["userId"], []).append(day_of(parse_ms(order["timestamp"])))
    return {
        text: area(
            {row["customer_id"]: row["churn_probability"] for row in scores if row["as_of"].startswith(text)},
            days, day_of(parse_ms(text)), 90,
        )
        for text in CUT_OFFS
    }  # fmt: skip
