"""What leaves the processor: bytes for a named stream. The shell knows which Kafka topic a stream is."""

from __future__ import annotations

import enum

import msgspec

from stream.events.record import Headers


class Stream(enum.StrEnum):
    """The streams that the core publishes to."""

    ACTIONS = "actions"
    ALERTS = "alerts"
    SUPPRESSIONS = "suppressions"
    TIERS = "tiers"
    KPIS = "kpis"
    """The programme's figures, once a UTC day."""
    EXPERIMENTS = "experiments"
    """Outcomes of measured rules, on UTC days that bring something new."""
    MODELS = "models"
    """Promotions and drift of the churn model, on UTC days that bring any."""
    DEAD_LETTERS = "dead_letters"
    """Goes to ``<input topic>.dlq``; ``Message.source_topic`` names the input topic."""
    REPARTITION = "repartition"
    """A record that arrived on a partition that doesn't own its customer; ``Message.partition`` is the owner."""
    CONTRIBUTIONS = "contributions"
    """What one partition adds to the next epoch: churn examples, its population, and the end of its day."""
    EPOCHS = "epochs"
    """The next version of what all partitions share: population thresholds and churn model. Compacted."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message to publish in the transaction of the batch that caused it."""

    stream: Stream
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    """The partition to write to; ``None`` means the partition that is being processed."""
    source_topic: str = ""
