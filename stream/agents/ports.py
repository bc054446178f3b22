"""What the shell needs of the core and of the outside: protocols, so that either side can be tested without the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from stream.events.record import Record
from stream.outcome import Outcome


class Processor(Protocol):
    """The pure processor of one Kafka partition. Not thread-safe, never awaits, reads no clock.

    The shell calls ``apply`` or ``tick``, makes the outcome durable in one transaction, puts what changed into the store,
    and then says ``commit``; or, if any of that fails, ``rollback``. Between two of those only one outcome is open.
    """

    def recover(self, now_ms: int) -> None:
        """Builds indexes from the store that the shell has just restored. ``now_ms`` is 0 with the event clock."""

    def apply(self, records: Sequence[Record], now_ms: int) -> Outcome:
        """One batch in the given order. With the event clock ``now_ms`` is the event time of its last record."""

    def tick(self, now_ms: int) -> Outcome:
        """Fires a bounded slice of what is due up to ``now_ms``; to be called again while ``next_due_ms`` is past."""

    def next_due_ms(self) -> int | None:
        """When ``tick`` has something to do next."""

    def follow(self, epoch: bytes) -> None:
        """Takes over a version of what all partitions share."""

    def awaits_epoch(self, now_ms: int) -> bool:
        """Whether the version that holds at ``now_ms`` (of its UTC day) has not been followed yet."""

    def commit(self) -> None:
        """What was returned since the last commit is durable."""

    def rollback(self) -> None:
        """What was returned since the last commit never happened."""

    def customer(self, customer_id: str, now_ms: int) -> dict[str, Any] | None:
        """One customer as JSON-able data."""

    def find(self, asked: Mapping[str, str], after: str, now_ms: int) -> Iterator[dict[str, Any] | None]:
        """The customers of a class, as JSON-able data, those after one; ``None`` in between, when others may have a turn."""

    def product(self, product_id: str) -> dict[str, Any]:
        """What is known of a product, as JSON-able data."""

    def drivers(self) -> dict[str, Any]:
        """What goes along with loyalty and money three months later, as JSON-able data."""

    def population(self) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[tuple[str, str], int]]:
        """Number of customers by tier and by segment."""

    def source_offsets(self) -> dict[str, int]:
        """Last applied offset by source topic, as the state has it."""


class Owner(Protocol):
    """The one in the cluster that turns all partitions' contributions into the next epoch."""

    def resume(self, epoch: bytes) -> None:
        """Goes on from the latest published version."""

    def apply(self, records: Sequence[Record]) -> Outcome:
        """Takes contributions; may return a message for the epochs stream."""

    def safe_offset(self) -> int | None:
        """Offset of the contributions topic that may be committed: what is before it is in the published version."""


class Release(NamedTuple):
    """Rules that were published, and what people have switched: what a worker goes by from some step on."""

    number: int
    """Version of the rules; 0: none is published, and the worker's own hold."""
    rules_version: str
    """Hash of what they say."""
    at_ms: int
    by: str
    switch: int
    """Number of the switches' version."""
    paused: str
    """What is paused and by whom, for a person; empty: nothing."""
    switched: tuple[str, ...]
    """All that is switched (pauses, dry runs, test customers), for a person, a line each."""
    take_over: Callable[[Processor], None]
    """To be called between two steps."""


class Core(NamedTuple):
    """The parts of the core that the shell drives; the composition root fills it in."""

    partition: Callable[[int, int, Mapping[bytes, bytes]], Processor]
    """Makes the processor of (partition, number of partitions, store of committed records)."""
    owner: Callable[[int], Owner]
    """Makes the epoch owner for a number of partitions."""
    event_time_ms: Callable[[Record], int | None]
    """When the event of a record happened; ``None`` if the record can't say."""
    partition_of: Callable[[str, int], int]
    """Which of so many partitions owns a customer id."""
    epoch_figures: Callable[[bytes], tuple[int, Any]]
    """Of a version: its UTC day number, and the quality of its model as `Gauges.set_model` takes it, or ``None``."""
    programme: Callable[[bytes], Any] | None = None
    """Of a version: how the programme does, as `Gauges.set_programme` takes it. ``None``: this core has no figures of that kind."""
    release: Callable[[Mapping[bytes, bytes]], Release] | None = None
    """Of what is published, by key; raises if it can't be read. ``None``: this core doesn't follow published rules."""


class Clock(Protocol):
    """The wall clock."""

    def now_ms(self) -> int:
        """Unix milliseconds UTC."""


class Gauges(Protocol):
    """The part of the metrics that the shell fills."""

    def observe(self, outcome: Outcome, *, partition: int, commit_ms: int = 0) -> None:
        """A committed outcome."""

    def observe_batch(self, records: int, seconds: float) -> None:
        """A processed batch, without its transaction."""

    def observe_transaction(self, seconds: float) -> None:
        """A committed transaction."""

    def count_transaction_failure(self, reason: str) -> None:
        """A rolled back batch."""

    def set_population(
        self,
        partition: int,
        tiers: Mapping[str, int],
        segments: Mapping[str, int],
        classes: Mapping[tuple[str, str], int],
    ) -> None:
        """The customers of a restored partition."""

    def set_lag(self, topic: str, partition: int, records: int) -> None:
        """Records not processed yet."""

    def set_offset(self, topic: str, partition: int, offset: int) -> None:
        """Last processed offset."""

    def set_clock(self, partition: int, now_ms: int) -> None:
        """The clock of a partition's timers."""

    def set_recovery(self, partition: int, seconds: float, ratio: float) -> None:
        """How long restoring has taken and how far it is."""

    def release(self, partition: int) -> None:
        """The partition went elsewhere."""

    def set_ready(self, reason: str | None) -> None:
        """Why the worker isn't ready, in a word."""

    def set_epoch(self, day: int, today: int) -> None:
        """The version in use and the day by the clock that drives timers (UTC days since 1970)."""

    def set_model(self, quality: Any) -> None:
        """How good the model in use is."""

    def set_programme(self, programme: Any) -> None:
        """How the programme does."""

    def set_rules(self, release: Release) -> None:
        """The rules in use."""

    def set_broker_up(self, up: bool) -> None:
        """Whether the broker answered."""

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The answer to a scrape."""
