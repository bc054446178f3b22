"""The topics of a worker: made if missing, checked if they exist, and the way from a message to its topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stream.actions.message import Message, Stream
from stream.agents.connection import MAX_MESSAGE_BYTES
from stream.agents.topic_ids import TopicFacts, mark_of, recreated, recreated_error, topic_facts
from stream.config import Settings
from stream.errors import TopicError
from stream.events.record import Headers

Row = tuple[bytes | None, bytes | None, Headers]
"""Key, value and headers of one record to write."""

Rows = Mapping[tuple[str, int], Iterable[Row]]
"""Records to write, by topic and partition. They are gone through once."""

_SETTLE_SECONDS = 30.0
"""How long to wait until a new topic has a leader. A cluster under load takes seconds; a broker that takes longer has a
problem that its own log explains better."""

_log = logging.getLogger(__name__)


class Topic(NamedTuple):
    """What Winback needs one topic to be."""

    name: str
    keyed: bool
    """Has as many partitions as the inputs, because partition p belongs to the same customers."""
    partitions: int
    """How many it is made with."""
    compacted: bool = False
    large: bool = False
    """Must take records of `MAX_MESSAGE_BYTES`."""


class Layout(NamedTuple):
    """The topics as they are on the broker."""

    settings: Settings
    partitions: int
    """Partitions of every keyed topic."""
    counts: Mapping[str, int]
    """Partitions of every topic."""
    ids: Mapping[str, str]
    """Ids of the keyed topics, as far as the broker tells."""

    @property
    def keyed(self) -> tuple[str, ...]:
        """The topics whose partition p feeds processor p."""
        return (*self.settings.input_topics, self.settings.topic_repartition)

    @property
    def mark(self) -> str:
        """What is committed with offsets, to know the topics again."""
        return mark_of(self.ids)

    def check(self, now: Mapping[str, TopicFacts]) -> None:
        """Raises a `TopicError` if a keyed topic isn't what it was. One that is away may come back."""
        if gone := recreated(self.mark, {name: found.id for name, found in now.items()}):
            raise recreated_error(gone, self.settings.app_id)
        for name, found in now.items():
            if found.partitions != self.partitions:
                raise TopicError(
                    f"{name} has {found.partitions} partitions and had {self.partitions} when this worker started: more "
                    "partitions mean other owners of the customers.\n"
                    "  - give all inputs the same number and start with another --app-id (the state is built anew), or "
                    "recreate the topic with the old number"
                )

    def rows(self, partition: int, changed: Mapping[bytes, bytes | None], messages: Iterable[Message]) -> Rows:
        """Where the outcome of a step of ``partition`` is to be written."""
        rows: dict[tuple[str, int], list[Row]] = {}
        for message in messages:
            topic = self._topic(message)
            at = partition if message.partition is None else message.partition
            # An output topic may have fewer partitions than the inputs: the customer's order is kept all the same.
            rows.setdefault((topic, at % self.counts[topic]), []).append((message.key, message.value, message.headers))
        if not changed:
            return rows
        changelog = zip(changed, changed.values(), repeat(()))
        return {(self.settings.topic_changelog, partition): changelog, **rows}

    def _topic(self, message: Message) -> str:
        if message.stream is Stream.DEAD_LETTERS:
            return dead_letter_topic(message.source_topic)
        return _STREAM_TOPICS[message.stream](self.settings)


_STREAM_TOPICS: dict[Stream, Callable[[Settings], str]] = {
    Stream.ACTIONS: lambda s: s.topic_actions,
    Stream.ALERTS: lambda s: s.topic_alerts,
    Stream.SUPPRESSIONS: lambda s: s.topic_suppressions,
    Stream.TIERS: lambda s: s.topic_tiers,
    Stream.KPIS: lambda s: s.topic_kpis,
    Stream.EXPERIMENTS: lambda s: s.topic_experiments,
    Stream.MODELS: lambda s: s.topic_models,
    Stream.REPARTITION: lambda s: s.topic_repartition,
    Stream.CONTRIBUTIONS: lambda s: s.topic_contributions,
    Stream.EPOCHS: lambda s: s.topic_epochs,
}


def dead_letter_topic(topic: str) -> str:
    """Where the dead letters of an input topic go."""
    return f"{topic}.dlq"


def needed(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of a worker with these settings."""
    count = settings.partitions
    outputs = (settings.topic_actions, settings.topic_alerts, settings.topic_suppressions, settings.topic_tiers)
    daily = (settings.topic_kpis, settings.topic_experiments, settings.topic_models)
    sources = (*settings.input_topics, settings.topic_repartition)
    return (
        *(Topic(name, keyed=True, partitions=count) for name in settings.input_topics),
        *(Topic(name, keyed=False, partitions=count) for name in (*outputs, *daily)),
        *(Topic(dead_letter_topic(name), keyed=False, partitions=count, large=True) for name in sources),
        Topic(settings.topic_repartition, keyed=True, partitions=count, large=True),
        Topic(settings.topic_changelog, keyed=True, partitions=count, compacted=True, large=True),
        Topic(settings.topic_contributions, keyed=False, partitions=1, large=True),
        Topic(settings.topic_epochs, keyed=False, partitions=1, compacted=True, large=True),
        Topic(settings.topic_rules, keyed=False, partitions=1, compacted=True, large=True),
    )


async def ensure_topics(admin: AIOKafkaAdminClient, settings: Settings) -> Layout:
    """Makes what is missing and checks what is there.

    Raises:
        TopicError: with every problem and what to do about it.
    """
    topics = needed(settings)
    existing = await _counts(admin)
    partitions = _common_partitions(topics, existing, settings)
    missing = [
        topic._replace(partitions=partitions if topic.keyed else topic.partitions)
        for topic in topics
        if topic.name not in existing
    ]
    if missing:
        await _create(admin, missing, settings)
        existing = await _settled(admin, [topic.name for topic in topics])
        # One that had no leader yet was taken for missing.
        partitions = _common_partitions(topics, existing, settings)
    problems = _wrong_counts(topics, existing, partitions) + await _wrong_configs(admin, topics)
    if problems:
        raise TopicError(f"{len(problems)} problems with the topics" + "".join(f"\n  - {text}" for text in problems))
    facts = await topic_facts(admin._client, (*settings.input_topics, settings.topic_repartition))  # noqa: SLF001
    counts = {topic.name: existing[topic.name] for topic in topics}
    return Layout(settings, partitions, counts, {name: found.id for name, found in facts.items()})


def _common_partitions(topics: Iterable[Topic], existing: Mapping[str, int], settings: Settings) -> int:
    """How many partitions the inputs have; what exists counts more than the setting, which is for new topics."""
    found = {name: existing[name] for name in settings.input_topics if name in existing}
    if not found:
        keyed = {existing[topic.name] for topic in topics if topic.keyed and topic.name in existing}
        return keyed.pop() if len(keyed) == 1 else settings.partitions
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in sorted(found.items()))
        raise TopicError(
            f"the input topics differ in their number of partitions: {listed}.\n"
            "  - a customer's purchases and views must meet in one partition: recreate the smaller ones, or add "
            "partitions to them with `kafka-topics.sh --alter --partitions` before any event was sent"
        )
    return next(iter(found.values()))


def _wrong_counts(topics: Iterable[Topic], existing: Mapping[str, int], partitions: int) -> list[str]:
    problems = []
    for topic in topics:
        count = existing[topic.name]
        if topic.keyed and count != partitions:
            problems.append(
                f"{topic.name} has {count} partitions and the inputs have {partitions}: the state is kept by partition, "
                "so start with another --app-id (the state is built anew), or recreate the inputs with the old number"
            )
        elif not topic.keyed and topic.partitions == 1 and count != 1:
            problems.append(f"{topic.name} has {count} partitions and must have 1: delete it, it is made again")
    return problems


async def _wrong_configs(admin: AIOKafkaAdminClient, topics: Iterable[Topic]) -> list[str]:
    checked = {topic.name: topic for topic in topics if topic.compacted or topic.large}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in checked]
    problems = []
    for response in await admin.describe_configs(resources):
        for code, _text, _kind, name, entries in (tuple(row)[:5] for row in response.resources):
            if code:
                raise for_code(code)(f"describing {name}")
            config = {entry[0]: entry[1] for entry in entries}
            topic = checked[name]
            change = f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config"
            if topic.compacted and config.get("cleanup.policy") != "compact":
                problems.append(
                    f"{name} is not compacted (cleanup.policy={config.get('cleanup.policy')}): old state would be "
                    f"deleted; `{change} cleanup.policy=compact`"
                )
            if topic.large and int(config.get("max.message.bytes") or 0) < MAX_MESSAGE_BYTES:
                problems.append(
                    f"{name} takes records of {config.get('max.message.bytes')} bytes and needs {MAX_MESSAGE_BYTES}; "
                    f"`{change} max.message.bytes={MAX_MESSAGE_BYTES}`"
                )
    return problems


async def _create(admin: AIOKafkaAdminClient, missing: Iterable[Topic], settings: Settings) -> None:
    wanted = []
    for topic in missing:
        config = {"cleanup.policy": "compact"} if topic.compacted else {}
        if topic.large:
            config["max.message.bytes"] = str(MAX_MESSAGE_BYTES)
        wanted.append(NewTopic(topic.name, topic.partitions, settings.replication_factor, topic_configs=config))
    response = await admin.create_topics(wanted)
    problems = []
    for name, code, *text in response.topic_errors:
        error = for_code(code)
        # Another worker that starts at the same moment may have been faster.
        if code and error is not TopicAlreadyExistsError:
            problems.append(f"{name}: {error.__name__} {text[0] if text else ''}".rstrip())
    if problems:
        raise TopicError(
            "the broker refuses to create topics" + "".join(f"\n  - {text}" for text in problems) + "\n"
            "  - create them yourself, or change WINBACK_REPLICATION_FACTOR to what the cluster has brokers for"
        )
    _log.info("created topics %s", ", ".join(topic.name for topic in wanted))


async def _settled(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    wanted = set(names)
    async with asyncio.timeout(_SETTLE_SECONDS):
        while True:
            existing = await _counts(admin)
            if wanted <= existing.keys():
                return existing
            await asyncio.sleep(0.05)


async def _counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Partitions of every topic whose partitions all have a leader. Naming topics here might create them."""
    found: dict[str, int] = {}
    described: list[dict[str, Any]] = await admin.describe_topics()
    for topic in described:
        partitions = topic["partitions"]
        if not topic["error_code"] and partitions and all(row["leader"] >= 0 for row in partitions):
            found[topic["topic"]] = len(partitions)
    return found
