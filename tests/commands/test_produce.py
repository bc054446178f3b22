"""Where a line goes, told from its envelope alone."""

from __future__ import annotations

import json

import pytest

from stream.adapters.files_routing import Route, route, topic_names
from stream.config import make_settings
from stream.events.codec import Decoder
from stream.events.kinds import Event
from stream.events.record import Record
from stream.events.segment import MESSAGES
from stream.simulate import Shop


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row.name)
def test_every_event_of_the_contract_has_its_topic(row: object) -> None:
    """In the contract's own spelling and in those of other senders."""
    for name in (row.name, row.name.lower().replace(" ", "_")):  # type: ignore[attr-defined]
        line = json.dumps({"type": "track", "event": name, "userId": "7"}).encode()

        assert Route(row.topic, b"7") == route(line)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'{"type":"track","event":"Order Completed","userId":7}',
        b"\xff\xfe",
        b'{"specversion":"1.0"}',
    ],
)
def test_broken_lines_have_no_route_and_raise_nothing(line: bytes) -> None:
    """They still go out, keyless, so that the worker's dead letter shows them."""
    assert Route("", None) == route(line)


def test_the_key_is_the_customer_that_the_worker_will_see() -> None:
    """For a year of a simulated shop: routing's glance and the full decoding agree on the customer."""
    decoder = Decoder(make_settings())
    start_ms = 1_700_000_000_000
    for topic, key, line in Shop(11, 60, start_ms).lines(start_ms + 365 * 86_400_000):
        decoded = decoder.decode(Record("t", 0, 0, -1, None, line))

        assert isinstance(decoded, Event)
        assert Route(topic, decoded.customer.encode()) == route(line) == Route(topic, key)


def test_topics_follow_the_settings() -> None:
    """Renamed topics are used by every command."""
    assert "shop.orders" == topic_names(make_settings(topic_purchases="shop.orders"))["purchases"]
