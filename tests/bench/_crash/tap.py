"""A consumer of everything, as a downstream team's would be: read committed, and what it has seen counts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.agents.connection import reader_options, stop_reader
from stream.agents.topics import dead_letter_topic
from stream.config import Settings
from tests.bench._crash.oracle import Oracle


class _RuleId(msgspec.Struct):
    id: str


class _Decision(msgspec.Struct):
    """What the suite looks at in an action or a suppression."""

    action_id: str
    verdict: str
    not_before: str
    customer_id: str
    occurrence: str
    rule: _RuleId


_PATIENCE_SECONDS = 5.0
"""Without a record for so long the reader is replaced. Between rounds that costs a connection; under load there is always
something, unless the reader is stuck."""

_log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder(_Decision).decode


class Tap:
    """Reads inputs and outputs while they are written."""

    def __init__(self, settings: Settings, oracle: Oracle) -> None:
        self._settings = settings
        self._oracle = oracle
        self.decisions: Counter[str] = Counter()
        """Action id → how often it was published, as an action or suppressed."""
        self.named: dict[tuple[str, str, str], str] = {}
        """(customer, rule, occurrence) → action id."""
        self.by_customer: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        """Customer → (rule, occurrence) of the decisions of the suite's own rules."""
        self.doubled: dict[str, int] = {}
        """Action id → how often it was published, if more than once."""
        self.letters: Counter[tuple[str, int, int]] = Counter()
        """(topic, partition, offset) of a source record → how many dead letters it became."""
        self.reasons: dict[tuple[str, int, int], str] = {}
        self.records: list[dict[bytes, bytes]] = [{} for _ in range(settings.partitions)]
        """By partition: key → latest committed record of the changelog."""
        self.inputs: Counter[bytes] = Counter()
        """Value → how often it is in the input topics."""
        self.heard = time.monotonic()
        """When the last output came."""
        self.touched: set[str] = set()
        """Customers of whom something was heard since somebody cleared this."""
        self._commits: list[list[tuple[int, float]]] = [[] for _ in range(settings.partitions)]
        self._inputs = set(settings.input_topics)
        self._letters = {dead_letter_topic(topic) for topic in (*settings.input_topics, settings.topic_repartition)}
        self._next: dict[TopicPartition, int] = {}
        self._ending = False

    async def __aenter__(self) -> Self:
        settings = self._settings
        topics = [*self._inputs, *self._letters, settings.topic_actions, settings.topic_suppressions]
        self._tps = [
            TopicPartition(topic, number)
            for topic in (*topics, settings.topic_changelog)
            for number in range(settings.partitions)
        ]
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._ending = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while not self._ending:
            try:
                await self._read_while_it_comes()
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)
            except Exception:
                # The client's own, when all brokers vanish at once. What it has not told is told by the next one.
                _log.exception("the suite's reader fails; another takes over")

    async def _read_while_it_comes(self) -> None:
        consumer = AIOKafkaConsumer(**reader_options(self._settings))
        try:
            await consumer.start()
            consumer.assign(self._tps)
            for tp in self._tps:
                consumer.seek(tp, self._next.get(tp, 0))
            last = time.monotonic()
            while not self._ending and time.monotonic() < last + _PATIENCE_SECONDS:
                for tp, records in (await consumer.getmany(timeout_ms=50, max_records=2_000)).items():
                    last = time.monotonic()
                    for record in records:
                        # The reader may go back after an error; what it says twice was written once.
                        if record.offset >= self._next.get(tp, 0):
                            self._next[tp] = record.offset + 1
                            self._take(record)
        finally:
            await stop_reader(consumer)

    def _take(self, record: Any) -> None:
        topic, settings = record.topic, self._settings
        if topic in self._inputs:
            self.inputs[record.value] += 1
            if customer := self._oracle.take(topic, record.partition, record.offset, record.value):
                self.touched.add(customer)
            return
        self.heard = time.monotonic()
        if topic == settings.topic_changelog:
            self._commits[record.partition].append((record.timestamp, time.monotonic()))
            if record.value is None:
                self.records[record.partition].pop(record.key, None)
            else:
                self.records[record.partition][record.key] = record.value
            self.touched.add(record.key.decode())
        elif topic in self._letters:
            headers = dict(record.headers)
            where = (
                headers["__streams.errors.topic"].decode(),
                int(headers["__streams.errors.partition"]),
                int(headers["__streams.errors.offset"]),
            )
            self.letters[where] += 1
            self.reasons[where] = headers["dlq-reason"].decode()
        else:
            decision = _decode(record.value)
            # What is put off is decided again under its id: once for each time that it is put off, and once for good.
            once = decision.action_id
            if decision.verdict == "deferred":
                once += f" put off until {decision.not_before}"
            self.decisions[once] += 1
            if (times := self.decisions[once]) > 1:
                self.doubled[once] = times
            rule = decision.rule.id
            if rule.startswith("crash-"):
                self.named[decision.customer_id, rule, decision.occurrence] = decision.action_id
                self.by_customer[decision.customer_id].add((rule, decision.occurrence))
            self.touched.add(decision.customer_id)

    def committed_since(self, began_ms: int) -> float | None:
        """When (monotonic) every partition had committed something that was written after an instant."""
        latest = 0.0
        for commits in self._commits:
            first = next((arrived for written_ms, arrived in commits if written_ms > began_ms), None)
            if first is None:
                return None
            latest = max(latest, first)
        return latest

    def quiet_since(self, began_ms: int) -> list[int]:
        """Partitions that have committed nothing that was written after an instant."""
        return [
            number
            for number, commits in enumerate(self._commits)
            if not any(written_ms > began_ms for written_ms, _ in commits)
        ]

    def forget_commits(self) -> None:
        """Before a round, so that looking for a commit stays cheap."""
        for commits in self._commits:
            commits.clear()
