"""How to connect to Kafka: the settings as arguments of the client library, the same for every client of the shell."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from stream.config import Settings
from stream.errors import BrokerUnavailable

RETRY_BACKOFF_MS = 5
"""Kafka 4 answers "not yet" to the first produce request after a transaction while it still writes the last one's
markers; the client sleeps this long each time. At its default of 100 ms the worker spends most of its time asleep
(measured: 1.7 times the throughput with 5 ms); below 5 ms it only asks more often."""

CONSUMER_TIMEOUT_MS = 1_000
"""How often a consumer looks for something to do of its own accord. Whatever there is wakes it at once, so this is only a
part of what an idle worker costs; the client's default is 200."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest record that Winback writes: a dead letter holds an input record of up to 1 MiB and its headers, an epoch holds
a model. Topics that Winback creates allow it."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Arguments that every client takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.broker.removeprefix("kafka://").split(","),
        "retry_backoff_ms": RETRY_BACKOFF_MS,
        "security_protocol": settings.kafka_security.upper(),
    }
    if settings.kafka_security in ("ssl", "sasl_ssl"):
        options["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    if settings.kafka_security.startswith("sasl"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    return options


def reader_options(settings: Settings) -> dict[str, Any]:
    """Arguments of a consumer that belongs to no group and reads whole topics, committed records only."""
    return client_options(settings) | {
        "group_id": None,
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        # A seek right after `assign` races with the reset to the default "latest", which silently reads nothing.
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": MAX_MESSAGE_BYTES,
        "fetch_max_wait_ms": 100,
        "consumer_timeout_ms": CONSUMER_TIMEOUT_MS,
    }


async def start_reader(settings: Settings) -> AIOKafkaConsumer:
    """A connected consumer that belongs to no group, for whoever wants to look once; to be ended by `stop_reader`.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    reader = AIOKafkaConsumer(**reader_options(settings))
    try:
        await reader.start()
    except KafkaConnectionError as error:
        await stop_reader(reader)
        raise BrokerUnavailable(f"no Kafka broker answers at {settings.broker}") from error
    return reader


async def stop_reader(reader: AIOKafkaConsumer) -> None:
    """Disconnects a consumer that belongs to no group.

    While a broker is away aiokafka's `stop` lets the cancellation of its own tasks out (`Fetcher.close` in 0.14 awaits what
    it cancels). Whoever awaits it then seems to be cancelled, and a task that is cancelled ends without a word: a partition
    that nobody serves, and nobody says so. (The crash suite found it: all brokers gone at once.)
    """
    try:
        await reader.stop()
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        await reader._client.close()  # noqa: SLF001


def is_cancelled() -> bool:
    """Whether somebody has cancelled the running task, so that a `CancelledError` is meant for it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
