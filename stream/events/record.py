"""A Kafka record as the core sees it: bytes and where they came from, nothing of a client library."""

from __future__ import annotations

import msgspec

Headers = tuple[tuple[str, bytes], ...]

BACKFILL_HEADER = "winback-backfill"
"""Header of imported history."""
BACKFILL_END_HEADER = "winback-backfill-end"
"""Header of the record with which an import ends on a partition."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of an input topic.

    ``timestamp_ms`` is the record's own Kafka time-stamp (Unix milliseconds UTC), not the event's time; ``offset`` and
    ``timestamp_ms`` are −1 where a record doesn't come from Kafka.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
