"""What the HTTP API asks of a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Answers(Protocol):
    """A worker, as a probe or a person may ask it."""

    def alive(self) -> list[str]:
        """What is stuck and would be helped by a restart; empty when all is well."""

    def ready(self) -> list[str]:
        """Why events are not being processed right now; empty when they are."""

    def details(self) -> dict[str, Any]:
        """Stage and progress of every partition, JSON-able."""

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Body and content type of a scrape."""

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """One customer, ``None`` if there is none.

        Raises:
            Elsewhere: another worker has the customer's partition.
            NotYet: the partition is this worker's, but not restored yet.
        """

    def customers(self, asked: Mapping[str, str], after: str) -> Iterator[dict[str, Any] | None]:
        """The customers of a class in this worker's partitions, those after one (empty: all); ``None`` in between, when others may
        have a turn.

        Raises:
            ValueError: something is asked for that there isn't; also from the first step on.
            Elsewhere: another worker has the partition of the one to go on after.
            NotYet: not all partitions are restored yet.
        """

    def product(self, product_id: str) -> dict[str, Any]:
        """What is known of a product.

        Raises:
            NotYet: no partition is served here yet.
        """

    def drivers(self) -> dict[str, Any]:
        """What goes along with loyalty and money three months later.

        Raises:
            NotYet: no partition is served here yet.
        """


class NotYet(Exception):
    """The customer's partition, or every partition, is claimed or restored right now."""


class Elsewhere(Exception):
    """The customer's partition is not served by this worker now."""

    def __init__(self, partition: int, held: list[int]) -> None:
        super().__init__(f"partition {partition} is not served here")
        self.partition = partition
        self.held = held
