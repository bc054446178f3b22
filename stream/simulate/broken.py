"""Broken messages, as senders really send them, each with the reason for which it will be refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


def broken(message: dict[str, Any], which: int) -> tuple[str, bytes]:
    """A message spoilt in one of the ways that senders know, and the reason with which it will be refused.

    >>> broken({"type": "track", "event": "Order Completed", "messageId": "1"}, 0)
    ('not_json', b'{"type":"track","event":"Order Complet')
    """
    good = msgspec.json.encode(message)

    def with_changes(**changes: Any) -> bytes:
        return msgspec.json.encode({**message, **changes})

    ways: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("not_json", lambda: good[: max(len(good) * 2 // 3, 1)]),
        ("not_utf8", lambda: good[:-1] + b',"note":"caf\xe9"}'),
        ("not_segment", lambda: msgspec.json.encode([message])),
        ("no_customer", lambda: with_changes(userId=None, anonymousId=None)),
        ("no_message_id", lambda: with_changes(messageId=None)),
        ("no_time", lambda: with_changes(timestamp=None)),
        ("bad_time", lambda: with_changes(timestamp="yesterday")),
        ("no_zone", lambda: with_changes(timestamp="2026-01-31T10:00:00")),
        ("time_out_of_range", lambda: with_changes(timestamp="1970-01-01T00:00:00Z")),
        ("negative_money", lambda: with_changes(
            type="track", event="Order Completed", properties={"order_id": "x", "revenue": -5})),
        ("wrong_type", lambda: with_changes(
            type="track", event="Order Completed", properties={"order_id": "x", "revenue": "12,50"})),
        ("value_out_of_range", lambda: with_changes(type="track", event="NPS Submitted", properties={"score": 11})),
    )  # fmt: skip
    reason, spoil = ways[which % len(ways)]
    return reason, spoil()
