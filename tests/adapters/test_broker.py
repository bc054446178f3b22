"""The embedded broker, with real starts, crashes and refusals."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.adapters.broker import BrokerFailed, EmbeddedBroker, JarsUnavailable
from stream.adapters.broker.storage import FEATURE_LEVELS, format_nodes
from stream.errors import AlreadyRunning, ConfigurationError, PortInUse

ORDERS = [b"order %d" % number for number in range(100)]

CHILD = """
import sys
from pathlib import Path
from stream.adapters.broker import EmbeddedBroker

broker = EmbeddedBroker(Path(sys.argv[1]))
broker.start()
print(broker.pid(), broker.bootstrap, flush=True)
broker.wait()
"""


def create_topic(bootstrap: str, topic: str, replicas: int = 1) -> None:
    """Create a topic of one partition."""

    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=replicas)])
        finally:
            await admin.close()

    asyncio.run(create())


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Write values, each acknowledged by all replicas in sync."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", retry_backoff_ms=20) as producer:
            await asyncio.gather(*[await producer.send(topic, value, partition=0) for value in values])

    asyncio.run(send())


def consume(bootstrap: str, topic: str) -> list[bytes]:
    """Read partition 0 from its beginning to its end."""

    async def read() -> list[bytes]:
        partition = TopicPartition(topic, 0)
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            values: list[bytes] = []
            while len(values) < end:
                records = await consumer.getmany(partition, timeout_ms=500)
                values += [record.value for record in records.get(partition, ())]
            return values

    return asyncio.run(asyncio.wait_for(read(), 30))


def wait_gone(pid: int) -> None:
    """Wait until a process that isn't our child has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([handle], [], [], 30)[0], f"process {pid} is still alive"
    os.close(handle)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that runs a broker in ``tmp_path``."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def garbage_repository() -> Iterator[str]:
    """A Maven repository that answers every request with the same few bytes."""

    class Garbage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"not a jar")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Garbage) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_data_survive_a_stop_and_a_start(tmp_path: Path) -> None:
    """What was written before an orderly stop is read, complete and in order, after the next start."""
    broker = EmbeddedBroker(tmp_path)
    with broker:
        create_topic(broker.bootstrap, "orders")
        produce(broker.bootstrap, "orders", ORDERS)

        assert ORDERS == consume(broker.bootstrap, "orders")

    assert broker.pid() is None

    with broker:
        assert ORDERS == consume(broker.bootstrap, "orders")
        log = broker.log_file().read_text("utf-8")

    assert "clean shutdown file was found" in log, "the first stop wasn't orderly"


def test_kill_of_the_owner_takes_kafka_along_and_blocks_nobody(tmp_path: Path, child: subprocess.Popen[str]) -> None:
    """After ``kill -9`` of the process that runs a broker, its JVM ends and a new broker starts with the same data."""
    assert child.stdout is not None
    pid, bootstrap = child.stdout.readline().split()
    create_topic(bootstrap, "orders")
    produce(bootstrap, "orders", ORDERS)

    with pytest.raises(AlreadyRunning, match=f"process {child.pid} already runs a broker"):
        EmbeddedBroker(tmp_path).start()

    child.kill()

    with EmbeddedBroker(tmp_path) as broker:
        wait_gone(int(pid))

        assert ORDERS == consume(broker.bootstrap, "orders")


def test_kill_of_kafka_is_noticed(tmp_path: Path) -> None:
    """A JVM that ends by itself ends the wait of its owner with an error that names the log, and can be restarted."""
    with EmbeddedBroker(tmp_path) as broker:
        pid = broker.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        with pytest.raises(BrokerFailed, match=r"node 1 ended by itself with code 137(.|\n)*broker\.log"):
            broker.wait(30)

        broker.restart(1)

        assert broker.pid() not in (None, pid)


def test_three_nodes_survive_the_loss_of_one(tmp_path: Path) -> None:
    """With three nodes, records are accepted and kept while one is dead, and it comes back."""
    with EmbeddedBroker(tmp_path, nodes=3) as broker:
        create_topic(broker.bootstrap, "orders", replicas=3)
        broker.kill(1)
        produce(broker.bootstrap, "orders", ORDERS)
        broker.restart(1)

        assert ORDERS == consume(broker.bootstrap, "orders")


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    """A port that another program listens on is refused by number before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 is in use"):
            EmbeddedBroker(tmp_path, port=port).start()


def test_a_failed_start_shows_what_the_log_says(tmp_path: Path) -> None:
    """When Kafka refuses to start, the error carries Kafka's own reason."""
    data = tmp_path / "node-1"
    format_nodes([data])
    properties = data / "meta.properties"
    properties.write_text(properties.read_text("ascii").replace("node.id=1", "node.id=7"), "ascii")

    with pytest.raises(BrokerFailed, match=r"Stored node id 7 doesn't match"):
        EmbeddedBroker(tmp_path).start()


def test_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    """Data of one node aren't opened as a part of a cluster of three, which would start with holes."""
    format_nodes([tmp_path / "node-1"])

    with pytest.raises(ConfigurationError, match=r"holds the data of 1 node\(s\), not 3"):
        EmbeddedBroker(tmp_path, nodes=3).start()


def test_only_the_locked_jars_are_run(tmp_path: Path, garbage_repository: str) -> None:
    """A download that isn't byte for byte what the lock names is refused and not kept."""
    cache = tmp_path / "cache"
    broker = EmbeddedBroker(tmp_path / "data", cache_dir=cache, maven_repository=garbage_repository)

    with pytest.raises(JarsUnavailable, match="was downloaded with SHA-256"):
        broker.start()

    assert [] == list(cache.rglob("*.jar"))


def test_a_new_cluster_has_the_features_of_a_formatted_one(tmp_path: Path) -> None:
    """The folder that we format without Kafka's tool gives the feature levels that the tool would give."""
    with EmbeddedBroker(tmp_path) as broker:
        log = broker.log_file().read_text("utf-8")

    assert "metadataVersion=4.1-IV1" in log
    for feature in FEATURE_LEVELS.keys() - {"metadata.version"}:
        assert f"{feature}={FEATURE_LEVELS[feature]}" in log
