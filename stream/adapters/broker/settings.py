"""What a node is told: Kafka's settings, its logging, the JVM's flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

HOST = "127.0.0.1"
_MIB = 1_048_576


class Addresses(msgspec.Struct, frozen=True):
    """The two loopback ports of one node."""

    broker: int
    controller: int


def server_properties(node: int, addresses: Sequence[Addresses], data: Path) -> str:
    """The ``server.properties`` of one combined broker and controller (node ids count from 1).

    >>> "min.insync.replicas=2" in server_properties(1, [Addresses(1, 2)] * 3, Path("node-1"))
    True
    """
    mine, count = addresses[node - 1], len(addresses)
    replicas = min(3, count)
    in_sync = 2 if count >= 3 else 1
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node,
        "controller.quorum.voters": ",".join(f"{i}@{HOST}:{a.controller}" for i, a in enumerate(addresses, start=1)),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{mine.broker},CONTROLLER://{HOST}:{mine.controller}",
        "log.dirs": data,
        # Topics are made on purpose, with the right partitions: a typo must not make one.
        "auto.create.topics.enable": "false",
        "num.partitions": 4,
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Each partition of these is a folder with files to open at every start; 50 of each are for large clusters.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        # One developer's workers needn't wait 3 s for others to join, and tests want dead ones noticed at once.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        # A dead letter is the original record plus headers, so it must be able to be larger than any input.
        "message.max.bytes": 8 * _MIB,
        "replica.fetch.max.bytes": 8 * _MIB,
        # Records imported from old data carry old time-stamps: age must not delete them, any past must be accepted.
        "log.retention.ms": -1,
        "log.message.timestamp.before.max.ms": 2**63 - 1,
        # The default takes 128 MiB of heap at start; this still cleans over a million keys in one pass.
        "log.cleaner.dedupe.buffer.size": 32 * _MIB,
        # One machine, a few cores: fewer threads start sooner and switch less.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 4,
        # A killed node must be given up before it may register again: the default of 9 s is a long wait at a restart.
        # Shorter, and a busy machine makes the controller take a living node for dead.
        "broker.session.timeout.ms": 4_000,
        "broker.heartbeat.interval.ms": 1_000,
        # A no-op record every 500 ms (the default) is most of what an idle broker does.
        "metadata.max.idle.interval.ms": 5_000,
    }
    return _properties(values)


def log4j2_properties(log: Path) -> str:
    """Logging of one node: into ``log``, which is cut at 10 MB and kept three times."""
    return _properties(
        {
            "status": "error",
            "appender.file.type": "RollingFile",
            "appender.file.name": "file",
            "appender.file.fileName": log,
            "appender.file.filePattern": f"{log}.%i",
            "appender.file.layout.type": "PatternLayout",
            "appender.file.layout.pattern": "%d{ISO8601}{UTC}Z %-5p %c{1}: %m%n",
            "appender.file.policies.type": "Policies",
            "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
            "appender.file.policies.size.size": "10MB",
            "appender.file.strategy.type": "DefaultRolloverStrategy",
            "appender.file.strategy.max": 3,
            "rootLogger.level": "info",
            "rootLogger.appenderRef.file.ref": "file",
            # Hundreds of lines at every start that nobody reads: all settings three times, every metadata record.
            "logger.values.name": "org.apache.kafka.common.config.AbstractConfig",
            "logger.values.level": "warn",
            "logger.config.name": "kafka.server.KafkaConfig",
            "logger.config.level": "warn",
            "logger.controller.name": "org.apache.kafka.controller",
            "logger.controller.level": "warn",
        }
    )


def jvm_flags(heap_mib: int) -> list[str]:
    """Flags of every Kafka JVM."""
    return [
        f"-Xmx{heap_mib}m",
        "-XX:+UseSerialGC",  # starts sooner and takes less memory than G1; pauses are a few ms at this heap
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Xlog:disable",
        "-Djava.awt.headless=true",
        "-Dlog4j2.shutdownHookEnabled=false",  # or the last lines, those of the shutdown, are lost
        # Kafka's dependencies still use what Java 25 warns about.
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
    ]


def _properties(values: Mapping[str, object]) -> str:
    r"""Java properties, in which a backslash would begin an escape.

    >>> _properties({"log.dirs": r"C:\data"})
    'log.dirs=C:\\\\data\n'
    """
    return "".join(f"{key}={str(value).replace(chr(92), chr(92) * 2)}\n" for key, value in values.items())
