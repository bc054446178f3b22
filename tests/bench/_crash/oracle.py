"""What must come out, counted plainly from what is in the input topics. Shares no code with the product.

Everything is counted from the beginning for each customer that is asked about; there is no state to get wrong. It may be
so plain because the shop's customers stay far within what the product remembers (see `tests.bench._crash.shop`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from statistics import median
from typing import Any, NamedTuple

DAY_MS = 86_400_000
WINDOWS_DAYS = (7, 30, 90, 365)
BORN_MS, CART_MS, HALF_DAY_MS = 2_000, 3_000, 43_200_000
"""After how long the suite's timer rules answer (``rules/*.yaml``)."""

_ORDERS = {"Order Completed", "Order Updated"}
_ABOUT_ORDERS = {*_ORDERS, "Order Cancelled", "Order Refunded"}
_DONE_BY_THE_SHOP = {"Order Updated", "Order Cancelled", "Order Refunded", "Complaint Resolved", "Consent Changed"}
_DONE_BY_THE_SHOP |= {"identify", "Action Unsubscribed"}


class Event(NamedTuple):
    """One event of a customer."""

    message_id: str
    name: str
    at_ms: int
    properties: Mapping[str, Any]


class Oracle:
    """Events by customer, and the planted dead letters."""

    def __init__(self, planted: Mapping[bytes, str]) -> None:
        self._planted = planted
        self.customers: dict[str, dict[str, Event]] = defaultdict(dict)
        """Customer → messageId → event: every id once."""
        self.letters: dict[tuple[str, int, int], str] = {}
        """(topic, partition, offset) of each record that must become a dead letter → why."""
        self.records = 0
        self.lines: list[bytes] = []
        """Every event once, as it was sent."""

    def take(self, topic: str, partition: int, offset: int, value: bytes) -> str | None:
        """A record of an input topic; the customer whose event it is, if it tells of a new one."""
        self.records += 1
        if (why := self._planted.get(value)) is not None:
            self.letters[topic, partition, offset] = why
            return None
        body = json.loads(value)
        customer = body.get("userId") or f"anon:{body['anonymousId']}"
        if body["messageId"] in self.customers[customer]:
            return None
        name = "identify" if body["type"] == "identify" else body["event"]
        at = datetime.fromisoformat(body["timestamp"])
        inner = body["traits"] if name == "identify" else body["properties"]
        event = Event(body["messageId"], name, round(at.timestamp() * 1000), inner)
        self.customers[customer][event.message_id] = event
        self.lines.append(value)
        return customer

    def decisions(self, customer: str, clock_ms: int) -> set[tuple[str, str]]:
        """(rule, occurrence) of every answer of the suite's own rules, when the clock has reached ``clock_ms``."""
        events = self.customers[customer].values()
        found = {("crash-event", event.message_id) for event in events if event.name not in _ABOUT_ORDERS}
        found |= {("crash-order", event.properties["order_id"]) for event in events if event.name in _ORDERS}
        born_ms = min(event.at_ms for event in events)
        if born_ms + BORN_MS <= clock_ms:
            found.add(("crash-born", "profile"))
        if born_ms + HALF_DAY_MS <= clock_ms:
            found.add(("crash-half-day", "profile"))
        for event in events:
            if event.name == "Product Added" and event.at_ms + CART_MS <= clock_ms:
                found.add(("crash-cart", f"cart-{event.at_ms}"))
        return found

    def figures(self, customer: str, as_of_ms: int) -> dict[str, Any]:
        """A customer's figures as of an instant after everything that was sent."""
        events = sorted(self.customers[customer].values(), key=lambda event: event.at_ms)
        today = as_of_ms // DAY_MS
        bought, clamped = _orders(events)
        days = sorted({at_ms // DAY_MS for at_ms, _ in bought})
        gaps = [later - earlier for earlier, later in zip(days, days[1:], strict=False)]
        own = [event.at_ms for event in events if event.name not in _DONE_BY_THE_SHOP]
        named = {name: [event for event in events if event.name == name] for name in {event.name for event in events}}
        cart = named.get("Product Added", [])
        ratings = [float(event.properties["rating"]) for event in named.get("Product Reviewed", [])]
        answers = [event.properties["score"] for event in named.get("NPS Submitted", [])]
        views = [event.at_ms for event in named.get("Product Viewed", [])]
        return {
            "windows": {
                str(width): {
                    "frequency": len(inside := [net for at_ms, net in bought if today - width < at_ms // DAY_MS]),
                    "monetary_minor": sum(inside),
                }
                for width in WINDOWS_DAYS
            },
            "lifetime": {"frequency": len(bought), "monetary_minor": sum(net for _, net in bought)},
            "clamped_refunds": clamped,
            "recency_days": today - days[-1] if days else None,
            "tenure_days": today - days[0] if days else 0,
            "first_purchase_at": _text(bought[0][0]) if bought else None,
            "last_purchase_at": _text(bought[-1][0]) if bought else None,
            "cycle_days": float(median(gaps)) if gaps else None,
            "views_30d": sum(1 for at_ms in views if at_ms > as_of_ms - 30 * DAY_MS),
            "active_days_30d": len({at_ms // DAY_MS for at_ms in own if today - 30 < at_ms // DAY_MS}),
            "last_activity_at": _text(max(own)) if own else None,
            "cart": {
                "items": sum(event.properties["quantity"] for event in cart),
                "value_minor": sum(event.properties["quantity"] * _cents(event.properties["price"]) for event in cart),
            },
            "last_nps": answers[-1] if answers else None,
            "last_rating": ratings[-1] if ratings else None,
            "open_complaints": _open_complaints(events),
            "consent": _consent(events),
        }


def action_id(rule: str, customer: str, occurrence: str) -> str:
    """The id of an action as the contract has it: BLAKE2b of the texts, each after its length."""
    digest = blake2b(digest_size=16)
    for part in ("action", rule, customer, occurrence):
        digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    return digest.hexdigest()


def _orders(events: list[Event]) -> tuple[list[tuple[int, int]], int]:
    """(instant, net cents) of the orders that count, ascending; and how many got more back than they were worth."""
    by_order: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.name in _ABOUT_ORDERS:
            by_order[event.properties["order_id"]].append(event)
    found, clamped = [], 0
    for mine in by_order.values():
        sends = [event for event in mine if event.name in _ORDERS]
        refunds = [event.properties.get("revenue") for event in mine if event.name == "Order Refunded"]
        back = sum(_cents(amount) for amount in refunds if amount is not None)
        if not sends:
            continue
        worth = _cents(sends[-1].properties["revenue"])
        clamped += back > worth
        gone = None in refunds or any(event.name == "Order Cancelled" for event in mine)
        if not gone and back < worth:
            found.append((sends[-1].at_ms, worth - back))
    return sorted(found), clamped


def _open_complaints(events: list[Event]) -> int:
    opened: dict[str, int] = {}
    resolved: dict[str, int] = {}
    for event in events:
        if event.name == "Complaint Opened":
            opened[event.properties["complaint_id"]] = event.at_ms
        elif event.name == "Complaint Resolved":
            resolved[event.properties["complaint_id"]] = event.at_ms
    return sum(1 for name, at_ms in opened.items() if resolved.get(name, 0) < at_ms)


def _consent(events: list[Event]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for event in events:
        if event.name == "Consent Changed":
            found[event.properties["consent_channel"]] = event.properties["granted"]
        elif event.name == "identify":
            found |= event.properties["consent"]
        elif event.name == "Action Unsubscribed":
            found[event.properties["channel"]] = False
    return dict(sorted(found.items()))


def _cents(amount: float) -> int:
    return round(amount * 100)


def _text(at_ms: int) -> str:
    """An instant as the product writes it: milliseconds only where there are any."""
    text = datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().removesuffix("+00:00")
    return f"{text}.{at_ms % 1000:03d}Z" if at_ms % 1000 else f"{text}Z"
