"""The embedded broker as a whole: one or several Kafka nodes on loopback, their folder, their life."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.adapters.broker.archive import ClassArchive, class_path_of
from stream.adapters.broker.jars import KAFKA_VERSION, fetch_jars
from stream.adapters.broker.lock import FolderLock
from stream.adapters.broker.node import BrokerFailed, Node, free_ports, wait_any_ended
from stream.adapters.broker.settings import HOST, Addresses
from stream.adapters.broker.storage import format_nodes

DEFAULT_HEAP_MIB = 768
"""Smaller: Kafka collects garbage more often under load. Larger: no gain was measured."""


def _silent(_: str) -> None:
    pass


class EmbeddedBroker:
    """A real Apache Kafka in KRaft mode on loopback, for demos, development and tests.

    Every node is broker and controller at once. With three nodes or more, topics have three replicas of which two must
    be in sync, so the cluster survives `kill` of any one node. What is written stays in ``data_dir`` and is there at
    the next start. The broker ends when the process that started it ends, however suddenly.

    Args:
        data_dir: folder for data, settings and logs; created if need be. One broker at a time may use it.
        port: where clients connect; further nodes take the following ports. 0: any free port, another at every start.
        nodes: how many Kafka nodes, each a JVM of some 350 MB.
        heap_mib: heap of each JVM in MiB.
        cache_dir: where the jars of Kafka are kept, 100 MB for all brokers of a user; None: ``~/.cache/winback``.
        maven_repository: URL to fetch the jars from at the first start; None: Maven Central.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        nodes: int = 1,
        heap_mib: int = DEFAULT_HEAP_MIB,
        cache_dir: Path | None = None,
        maven_repository: str | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self._port = port
        self._count = nodes
        self._heap_mib = heap_mib
        self._cache = (cache_dir or Path.home() / ".cache" / "winback") / f"kafka-{KAFKA_VERSION}"
        self._repository = maven_repository
        self._lock: FolderLock | None = None
        self._archive: ClassArchive | None = None
        self._class_path = ""
        self._addresses: list[Addresses] = []
        self._nodes: list[Node] = []

    @property
    def bootstrap(self) -> str:
        """What clients connect to, ``127.0.0.1:PORT[,127.0.0.1:PORT…]``; empty before the first start."""
        return ",".join(f"{HOST}:{address.broker}" for address in self._addresses)

    def log_file(self, node: int = 1) -> Path:
        """Where a node logs."""
        return self.data_dir / ("broker.log" if self._count == 1 else f"broker-{node}.log")

    def pid(self, node: int = 1) -> int | None:
        """Process id of a node's JVM; None if it doesn't run."""
        process = self._nodes[node - 1].process if self._nodes else None
        return process.pid if process is not None else None

    def start(self, progress: Callable[[str], None] | None = None, *, timeout_seconds: float = 90.0) -> None:
        """Start, and return when every node answers clients.

        Args:
            progress: called with a sentence whenever a stage begins, for the person who waits.
            timeout_seconds: how long a node may take from launch to its first answer.

        Raises:
            AlreadyRunning: another process runs a broker in this folder.
            PortInUse: somebody listens on the port.
            JarsUnavailable: the first start on this machine, and no way to fetch Kafka.
            ConfigurationError: the folder holds a cluster of another size.
            BrokerFailed: Kafka ended or didn't answer in time; the message has the end of its log.
        """
        report = progress or _silent
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.data_dir)
        try:
            jars = fetch_jars(self._cache / "jars", self._repository, report)
            self._class_path = class_path_of(jars)
            self._archive = ClassArchive(self._cache, self.data_dir, self._class_path)
            self._addresses = self._choose_ports()
            self._nodes = [
                Node(self.data_dir, n, self._addresses, heap_mib=self._heap_mib, log=self.log_file(n))
                for n in range(1, self._count + 1)
            ]
            format_nodes([node.data for node in self._nodes])
            report(f"starting Apache Kafka {KAFKA_VERSION} on {self.bootstrap}")
            for node in self._nodes:
                node.launch(self._class_path, self._archive.jvm_flags(recording=node.number == 1), self._lock.node_fd)
            deadline = time.monotonic() + timeout_seconds
            for node in self._nodes:
                node.wait_ready(deadline)
            self._archive.build()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes in an orderly way and give the folder back. Does nothing if it doesn't run."""
        if self._archive is not None:
            self._archive.cancel()
            self._archive = None
        for node in self._nodes:
            node.ask_to_end()
        for node in self._nodes:
            node.wait_ended()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def kill(self, node: int) -> None:
        """End one node (counted from 1) as a power cut would, and return when it is gone."""
        self._nodes[node - 1].kill()

    def restart(self, node: int, *, timeout_seconds: float = 90.0) -> None:
        """Start a killed node again on its ports, with its data; returns when it answers clients.

        Raises:
            PortInUse: somebody took its port meanwhile.
            BrokerFailed: it ended or didn't answer in time.
        """
        if self._lock is None or self._archive is None:
            raise BrokerFailed("the cluster isn't running, so no node of it can be restarted")
        again = self._nodes[node - 1]
        if again.process is not None and again.process.exit_code is not None:
            again.wait_ended()
        again.launch(self._class_path, self._archive.jvm_flags(), self._lock.node_fd)
        again.wait_ready(time.monotonic() + timeout_seconds)

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Wait until the time is up (None: for ever) or a node ends by itself.

        Raises:
            BrokerFailed: a node ended by itself.
        """
        wait_any_ended(self._nodes, timeout_seconds)
        for node in self._nodes:
            node.check()

    def _choose_ports(self) -> list[Addresses]:
        count = self._count
        free = free_ports(2 * count)
        brokers = [self._port + n for n in range(count)] if self._port else free[count:]
        return [Addresses(broker, controller) for broker, controller in zip(brokers, free, strict=False)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
