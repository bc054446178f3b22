"""The test kit, shipped: a shop with a hand-moved clock around the real processor. No Kafka, no waiting, no mocks.

>>> shop = Shop()
>>> shop.send("Order Completed", "ann", "2026-03-01T10:00:00Z", order_id="o1", revenue=50.0)
>>> shop.customer("ann")["windows"]["30"]
{'frequency': 1, 'monetary_minor': 5000}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import orjson

from stream.actions.message import Message, Stream
from stream.churn.model import FrozenModel
from stream.config import Settings
from stream.events.instants import DAY_MS, day_of, parse_ms, to_text
from stream.events.record import Headers, Record
from stream.outcome import Outcome
from stream.processor import Partition
from stream.processor.epochs import Coordinator, Epoch, decode_contribution
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet
from stream.segments.population import Thresholds

_TRACK = "track"


def message(
    name: str, customer: str, at: str | int, *, message_id: str, type_: str = _TRACK, **properties: Any
) -> dict[str, Any]:
    """A Segment message as a sender would write it; ``identify`` takes its properties as traits."""
    when = at if isinstance(at, str) else to_text(at)
    body: dict[str, Any] = {"type": type_, "messageId": message_id, "userId": customer, "timestamp": when}
    if name == "identify":
        return {**body, "type": "identify", "traits": properties}
    return {**body, "event": name, "properties": properties}


class Shop:
    """One shop on one partition. Time only moves when told to, and everything due on the way happens in order."""

    def __init__(self, rules: RuleSet | None = None, settings: Settings | None = None) -> None:
        self.settings = msgspec.structs.replace(settings or Settings(), clock="event", partitions=1)
        self.rules = rules or load_rules()
        self.store: dict[bytes, bytes] = {}
        self.partition = Partition(self.settings, self.rules, partition=0, partitions=1, store=self.store)
        self.coordinator = Coordinator(self.settings, 1)
        self.outcomes: list[Outcome] = []
        self._model: FrozenModel | None = None
        self.epoch: Epoch | None = None
        self._sent = 0
        self._taken = 0
        self._failures = 0
        self.keep_outcomes = True
        """Whether `take` may be asked; a shop with millions of events would keep millions of outcomes."""

    def send(
        self, name: str, customer: str, at: str | int, *, message_id: str | None = None, headers: Headers = (), **p: Any
    ) -> None:
        """Sends an event at its own time, after everything that is due before it."""
        self._sent += 1
        body = message(name, customer, at, message_id=message_id or f"m{self._sent}", **p)
        self.send_bytes(orjson.dumps(body), at, headers=headers)

    def send_bytes(self, value: bytes, at: str | int, *, headers: Headers = ()) -> None:
        """Sends raw bytes at an instant."""
        at_ms = parse_ms(at) if isinstance(at, str) else at
        self.wait_until(at_ms)
        topic = self.settings.topic_purchases
        self._step(lambda: self.partition.apply([Record(topic, 0, -1, -1, None, value, headers)], at_ms))

    def send_records(self, records: Sequence[Record], at: str | int) -> None:
        """Sends a batch of records of one UTC day, in order of time, the last of which is of ``at``."""
        at_ms = parse_ms(at) if isinstance(at, str) else at
        self.wait_until(at_ms - at_ms % DAY_MS)
        self._step(lambda: self.partition.apply(records, at_ms))

    def wait_until(self, at: str | int) -> None:
        """Lets time pass with no event; it never goes back."""
        at_ms = max(parse_ms(at) if isinstance(at, str) else at, self.partition.now_ms)
        if self.partition.awaits_epoch(at_ms):
            self._step(lambda: self.partition.tick(at_ms))
        while (due_ms := self.partition.next_due_ms()) is not None and due_ms <= at_ms:
            self._step(lambda: self.partition.tick(at_ms))

    def take(self) -> list[dict[str, Any]]:
        """Actions, suppressions, alerts, tier changes, daily figures and dead letters since the last call, in order.

        Each is the published JSON with ``stream`` added; a dead letter has ``reason`` and ``field`` of its headers.
        """
        fresh = [m for out in self.outcomes[self._taken :] for m in out.messages]
        self._taken = len(self.outcomes)
        return [_readable(m) for m in fresh if m.stream not in (Stream.CONTRIBUTIONS, Stream.EPOCHS)]

    def customer(self, customer_id: str, at: str | int | None = None) -> dict[str, Any]:
        """The customer's view now, or as of an instant; empty when unknown."""
        at_ms = self.partition.now_ms if at is None else parse_ms(at) if isinstance(at, str) else at
        return self.partition.customer(customer_id, at_ms) or {}

    def teach(self, *, thresholds: Thresholds | None = None, model: FrozenModel | None = None) -> None:
        """Gives the shop a population or a churn model, as if the epoch of its day had said so; it stays."""
        self._model = model or self._model
        self.epoch = Epoch(day=day_of(self.partition.now_ms), thresholds=thresholds, model=self._model)
        self.partition.adopt(self.epoch)

    def restart(self) -> None:
        """Crash marker: kills the process and starts another on the committed state and the latest epoch."""
        self.partition = Partition(self.settings, self.rules, partition=0, partitions=1, store=self.store)
        self.partition.recover(0)
        if self.epoch is not None:
            self.partition.adopt(self.epoch)

    def fail_next(self, times: int = 1) -> None:
        """Crash marker: the transactions of the next steps are aborted, so each is rolled back and done again."""
        self._failures += times

    def _step(self, work: Callable[[], Outcome]) -> None:
        out = work()
        while self._failures:
            self._failures -= 1
            self.partition.rollback()
            out = work()
        self._sink(out)

    def _sink(self, out: Outcome) -> None:
        self.store.update((key, value) for key, value in out.changed.items() if value is not None)
        self.partition.commit()
        if self.keep_outcomes:
            self.outcomes.append(out)
        for m in out.messages:
            if m.stream is Stream.CONTRIBUTIONS and m.value:
                self.coordinator.contribute(decode_contribution(m.value))
        epoch = self.coordinator.fold()
        if epoch is not None:
            epoch.model = self._model or epoch.model
            self.epoch = epoch
            self.partition.adopt(epoch)
            if self.keep_outcomes:
                self.outcomes.append(Outcome(messages=list(self.coordinator.told)))


def _readable(m: Message) -> dict[str, Any]:
    if m.stream is Stream.DEAD_LETTERS:
        headers = {name: raw.decode("utf-8", "replace") for name, raw in m.headers}
        return {"stream": "dead_letters", "reason": headers["dlq-reason"], "field": headers["dlq-field"]}
    return {"stream": m.stream.value, **orjson.loads(m.value or b"{}")}


def published(items: Iterable[dict[str, Any]], stream: str = "actions") -> list[dict[str, Any]]:
    """Only what went to one stream."""
    return [item for item in items if item["stream"] == stream]
