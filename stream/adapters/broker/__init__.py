"""A real Apache Kafka, started from Python packages alone: no Docker, no Java, no installation (MISSION G6).

>>> from pathlib import Path
>>> from stream.adapters.broker import EmbeddedBroker
>>> with EmbeddedBroker(Path("data")) as broker:  # doctest: +SKIP
...     print(broker.bootstrap)
127.0.0.1:40123

The parts: `jars` fetches Kafka once, `storage` and `settings` prepare a data folder, `archive` makes later starts
quick, `lock` keeps two processes apart, `node` runs one JVM under a `watchdog`, `cluster` is the broker as a whole.
"""

from stream.adapters.broker.cluster import EmbeddedBroker
from stream.adapters.broker.jars import KAFKA_VERSION, JarsUnavailable
from stream.adapters.broker.node import BrokerFailed

__all__ = ["KAFKA_VERSION", "BrokerFailed", "EmbeddedBroker", "JarsUnavailable"]
