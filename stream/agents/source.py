"""The consumer as a runner sees it: positions of its own partition, opened and shut topic by topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from aiokafka.errors import IllegalStateError
from faust.types import TP

from stream.agents.transport import BatchConsumer
from stream.errors import TransientError


class NotAssigned(TransientError):
    """The group has not given this partition to this worker, or not any more."""


class Source(Protocol):
    """Where records come from."""

    async def seek(self, partition: int, positions: Mapping[str, int]) -> None:
        """Deliver these topics of the partition from these offsets on, and open them."""

    def open(self, partition: int, topics: Iterable[str]) -> None:
        """Deliver these topics."""

    def shut(self, partition: int, topics: Iterable[str]) -> None:
        """Deliver them no more for now."""

    def end(self, topic: str, partition: int) -> int | None:
        """End of a topic's partition as the last fetch saw it, ``None`` before the first."""

    def note(self, offsets: Mapping[TP, int]) -> None:
        """Commit soon as a member of the group (at-least-once delivery only)."""


class ConsumerSource:
    """`Source` over the worker's Faust consumer."""

    def __init__(self, consumer: BatchConsumer) -> None:
        self._consumer = consumer

    async def seek(self, partition: int, positions: Mapping[str, int]) -> None:
        """Deliver these topics of the partition from these offsets on, and open them."""
        wanted = {TP(topic, partition): offset for topic, offset in positions.items()}
        try:
            await self._consumer.seek_to(wanted)
        except IllegalStateError as error:
            raise NotAssigned(f"partition {partition} is not assigned to this worker now") from error
        self._consumer.open(wanted)

    def open(self, partition: int, topics: Iterable[str]) -> None:
        """Deliver these topics."""
        self._consumer.open(TP(topic, partition) for topic in topics)

    def shut(self, partition: int, topics: Iterable[str]) -> None:
        """Deliver them no more for now."""
        self._consumer.shut([TP(topic, partition) for topic in topics])

    def end(self, topic: str, partition: int) -> int | None:
        """End of a topic's partition as the last fetch saw it, ``None`` before the first."""
        return self._consumer.end(TP(topic, partition))

    def note(self, offsets: Mapping[TP, int]) -> None:
        """Commit soon as a member of the group (at-least-once delivery only)."""
        self._consumer.late_commits.note(offsets)
