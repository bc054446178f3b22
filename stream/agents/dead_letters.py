"""The dead letter of a record on which our own code failed. Records that the core refuses come from the core."""

from __future__ import annotations

from stream.actions.message import Message, Stream
from stream.events.record import Record
from stream.events.rejected import Reason, Stage

PREFIX = "__streams.errors."
"""Header names of KIP-1034, so that tools for Kafka Streams' dead letters read ours."""

ATTEMPT_HEADER = "winback.redrive.attempt"
"""How often a dead letter has been sent back, as decimal text."""

_LONGEST_DETAIL = 1_000
"""Characters of an exception's message that are kept: it may quote the record, which is in the letter anyway."""


def processing_failed(record: Record, error: Exception) -> Message:
    """The letter: original bytes, key and headers untouched, and why and where from beside them."""
    detail = f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL]
    return Message(
        Stream.DEAD_LETTERS,
        record.key,
        record.value,
        (
            *record.headers,
            (f"{PREFIX}stage", Stage.PROCESS.value.encode()),
            (f"{PREFIX}reason", Reason.PROCESSING_FAILED.value.encode()),
            (f"{PREFIX}exception", type(error).__name__.encode()),
            (f"{PREFIX}message", detail.encode()),
            (f"{PREFIX}topic", record.topic.encode()),
            (f"{PREFIX}partition", str(record.partition).encode()),
            (f"{PREFIX}offset", str(record.offset).encode()),
        ),
        source_topic=record.topic,
    )


def attempt_of(headers: tuple[tuple[str, bytes], ...]) -> int:
    """How often a record was sent back already.

    >>> attempt_of(((ATTEMPT_HEADER, b"2"),)), attempt_of(())
    (2, 0)
    """
    for name, value in headers:
        if name == ATTEMPT_HEADER and value.isdigit():
            return int(value)
    return 0
