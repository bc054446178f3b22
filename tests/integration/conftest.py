"""One real broker for all integration tests: unique topic names and app ids keep them apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream.adapters.broker import EmbeddedBroker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running single-node Kafka; ``broker.bootstrap`` is its address."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running
