"""What it costs to read one record and to write one message, in µs of CPU.

One line per kind of record, as Segment's libraries send them, with the context that Winback doesn't read: `decode` is from
record to event, `time` is what the event clock and replay need to merge topics. Then hashes and messages that leave.
Medians of rounds in one process; pin it (`taskset -c 1`) and let nothing else run.
"""

from __future__ import annotations

import json as json_module
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from stream.actions.alert import Alert
from stream.actions.codec import alert_message, decision_message, tier_message
from stream.actions.decision import Decision, action_id
from stream.actions.tier_change import TierChange
from stream.config import Settings
from stream.events.codec import Decoder, event_time_ms
from stream.events.hashing import hash64, owner_partition
from stream.events.kinds import Event
from stream.events.record import Record

ROUNDS, CALLS = 15, 10_000
"""Fewer: one interruption moves the median. More: only takes longer."""
CLOUDEVENT = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e-00000001"),
    ("ce_source", b"/shop"),
    ("ce_type", b"com.example.shop"),
    ("ce_time", b"2026-03-02T09:15:00Z"),
    ("content-type", b"application/json"),
)
EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"


def main(json: bool) -> None:
    """Prints the tables, or the same as JSON."""
    decode, figures = Decoder(Settings()).decode, dict[str, dict[str, float]]()
    for name, record in records().items():
        if not isinstance(decode(record), Event):
            raise TypeError(f"{name} is no event: {decode(record)}")
        figures[name] = {
            "bytes": len(record.value or b""),
            "decode_us": cost_us(decode, record),
            "time_us": cost_us(event_time_ms, record),
        }
    calls = {name: cost_us(call, *given) for name, (call, *given) in others().items()}
    if json:
        print(json_module.dumps({"records": figures, "calls_us": calls}))
        return
    print(f"{'record':<28}{'bytes':>7}{'decode µs':>11}{'time µs':>10}")
    for name, row in figures.items():
        print(f"{name:<28}{row['bytes']:>7}{row['decode_us']:>11.2f}{row['time_us']:>10.2f}")
    print(f"\n{'call':<28}{'µs':>18}")
    for name, us in calls.items():
        print(f"{name:<28}{us:>18.2f}")


def cost_us(call: Callable[..., Any], *given: Any) -> float:
    """Median CPU time of one call."""
    rounds = []
    for _ in range(ROUNDS):
        before = time.process_time_ns()
        for _ in range(CALLS):
            call(*given)
        rounds.append((time.process_time_ns() - before) / CALLS / 1000)
    return round(statistics.median(rounds), 3)


def records() -> dict[str, Record]:
    """Records by what they are."""
    view = {"product_id": "p-1042", "sku": "TEA-1042", "category": "oolong", "price": 18.9, "currency": "USD"}
    products = [
        {
            **view,
            "name": f"Tea {n}",
            "brand": "House",
            "quantity": n,
            "position": n,
            "url": f"https://shop.example/p/{n}",
        }
        for n in (1, 2, 3)
    ]
    order = {"order_id": "o-20260302-0001", "affiliation": "web", "revenue": 64.3, "total": 70.25, "shipping": 0}
    order |= {"tax": 5.95, "discount": 3.5, "coupon": "SPRING", "currency": "USD", "products": products}
    clocks = {"sentAt": "2026-03-02T09:15:01Z", "receivedAt": "2026-03-02T09:15:01.250Z"}
    return {
        "Product Viewed": _record("Product Viewed", view),
        "… with sentAt, receivedAt": _record("Product Viewed", view, **clocks),
        "… with CloudEvents headers": msgspec.structs.replace(_record("Product Viewed", view), headers=CLOUDEVENT),
        "Order Completed, 3 products": _record("Order Completed", order),
        "NPS Submitted": _record("NPS Submitted", {"score": 9, "survey_id": "s1", "comment": "good tea"}),
        "Session Started": _record("Session Started", {}),
    }


def _record(event: str, properties: dict[str, Any], **more: str) -> Record:
    message = {
        "type": "track",
        "event": event,
        "userId": "customer-012345",
        "anonymousId": "a7c1e7b2-0d3f-4c61-8b8d-5f1d2a9e4c11",
        "messageId": "ajs-1772442900-00000001-9f2c",
        "timestamp": "2026-03-02T09:15:00.123Z",
        **more,
        "context": {"library": {"name": "analytics.js", "version": "4.1.0"}},
        "properties": properties,
    }
    return Record("t", 0, 1, 1_772_442_901_000, b"customer-012345", msgspec.json.encode(message))


def others() -> dict[str, tuple[Any, ...]]:
    """Calls by name: the function and what it is given."""
    return {
        "hash64": (hash64, "customer-012345"),
        "owner_partition": (owner_partition, b"customer-012345", 12),
        "action_id": (action_id, "lapsed-60", "customer-012345", "order-12345"),
        "decision_message": (decision_message, _example("action", Decision)),
        "alert_message": (alert_message, _example("alert", Alert)),
        "tier_message": (tier_message, _example("tier-change", TierChange)),
    }


def _example(folder: str, kind: type[Any]) -> Any:
    return msgspec.json.decode((EXAMPLES / folder / "valid.json").read_bytes(), type=kind)
