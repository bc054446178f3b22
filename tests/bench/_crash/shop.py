"""The load: a seeded shop whose customers order, return, browse, answer and complain, with all that senders do wrong.

Some events are sent twice, some with another body under the same id, some late, some out of order, some to a partition that
doesn't own their customer, some to another topic, some are no events at all. What must become a dead letter is planted
knowingly: its bytes are remembered with the reason.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

DAY_MS = 86_400_000
MOST_MESSAGES = 60
"""Events of one customer before another takes the place: far below what the product remembers one by one, so that the
oracle needs no notion of forgetting."""
CUSTOMERS = 120
"""Customers at a time. Fewer: the same few are in every transaction; more: few are touched twice in a round."""

_TOPIC_OF = {"order": "purchases", "answer": "feedback", "profile": "profiles", "outcome": "outcomes"}


class Sent(NamedTuple):
    """One record to send."""

    topic: str
    """Kind of the topic: purchases, browses, …"""
    key: bytes
    value: bytes
    stray: bool = False
    """To a partition that doesn't own the key."""


class _Customer:
    def __init__(self, number: int, chance: random.Random) -> None:
        self.name = f"c{number}"
        self.anonymous = chance.random() < 0.15
        self.key = f"anon:{self.name}" if self.anonymous else self.name
        self.shopper = chance.random() < 0.7
        """Buys. The others put something into their cart, once, which no order may empty."""
        self.carted = False
        self.sent = 0
        self.orders: list[tuple[str, int]] = []
        self.complaints: list[str] = []
        self.instants: set[int] = set()


class Shop:
    """Makes the load, record by record."""

    def __init__(self, seed: int, now_ms: Callable[[], int]) -> None:
        self._chance = random.Random(seed)
        self._now_ms = now_ms
        self._made = 0
        self._customers = [self._newcomer() for _ in range(CUSTOMERS)]
        self._repeatable: deque[Sent] = deque(maxlen=400)
        self._known: deque[tuple[Sent, dict[str, Any]]] = deque(maxlen=100)
        self.planted: dict[bytes, str] = {}
        """Value → why it must become a dead letter."""

    def next(self) -> Sent:
        """The next record."""
        dice = self._chance.random()
        if dice < 0.01:
            return self._broken()
        if dice < 0.06 and self._repeatable:
            return self._again()
        if dice < 0.07 and self._known:
            return self._with_another_body()
        at = self._chance.randrange(len(self._customers))
        customer = self._customers[at]
        if customer.sent >= MOST_MESSAGES:
            customer = self._customers[at] = self._newcomer()
        sent = self._event(customer)
        customer.sent += 1
        self._repeatable.append(sent)
        return sent

    def arrived(self, sent: Sent) -> None:
        """A record is known to be in the log: from now on one with its id and another body comes after it."""
        if sent.stray or sent.value in self.planted:
            return
        body = orjson.loads(sent.value)
        if body.get("event") in ("Product Viewed", "NPS Submitted") and not body.get("late"):
            self._known.append((sent, body))

    # -- inside

    def _newcomer(self) -> _Customer:
        self._made += 1
        return _Customer(self._made, self._chance)

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made}"

    def _broken(self) -> Sent:
        number = self._id("broken-")
        value, reason = self._chance.choice(
            (
                (b'{"type": "track", "event": "Order Comp %s' % number.encode(), "not_json"),
                (b"\xff\xfe %s" % number.encode(), "not_utf8"),
                (orjson.dumps({"type": "track", "event": "Product Viewed", "messageId": number}), "no_customer"),
                (
                    orjson.dumps(
                        {
                            "type": "track", "event": "NPS Submitted", "messageId": number, "userId": "c1",
                            "timestamp": text_of(self._now_ms()), "properties": {"score": 11},
                        }
                    ),
                    "value_out_of_range",
                ),
            )
        )  # fmt: skip
        self.planted[value] = reason
        return Sent("purchases", b"broken", value)

    def _again(self) -> Sent:
        """A record once more, as a sender does that got no answer: now and then to another topic or partition."""
        sent = self._chance.choice(self._repeatable)
        if self._chance.random() < 0.2:
            sent = sent._replace(topic=self._chance.choice(("purchases", "browses", "feedback")))
        return sent._replace(stray=self._chance.random() < 0.2)

    def _with_another_body(self) -> Sent:
        """The id of an event that is in the log, with a content that it never had."""
        at = self._chance.randrange(len(self._known))
        sent, body = self._known[at]
        del self._known[at]
        properties = {"product_id": self._id("other-")} if body["event"] == "Product Viewed" else {"score": 10}
        if properties == body["properties"]:
            properties = {"score": 0}
        # Later, so that replay, which sorts by time, meets the two in the same order.
        value = orjson.dumps(body | {"properties": properties, "timestamp": text_of(self._now_ms())})
        self.planted[value] = "same_id_other_body"
        return sent._replace(value=value)

    def _event(self, customer: _Customer) -> Sent:
        chance = self._chance
        kind, name, properties, late = self._content(customer)
        at_ms = self._now_ms()
        if late:
            at_ms -= late * DAY_MS + chance.randrange(1, DAY_MS)
        elif chance.random() < 0.1:
            at_ms -= chance.randrange(1, 60_000)
        # No two instants of a customer are the same: on a tie the product takes the larger hash, which is its own affair.
        while at_ms in customer.instants:
            at_ms -= 1
        customer.instants.add(at_ms)
        who = {"anonymousId": customer.name} if customer.anonymous else {"userId": customer.name}
        body: dict[str, Any] = {"messageId": self._id("m"), "timestamp": text_of(at_ms), **who}
        if name == "identify":
            body |= {"type": "identify", "traits": properties}
        else:
            body |= {"type": "track", "event": name, "properties": properties}
        if late:
            body["late"] = late
        topic = _TOPIC_OF.get(kind, "browses")
        return Sent(topic, customer.key.encode(), orjson.dumps(body), stray=chance.random() < 0.05)

    def _content(self, customer: _Customer) -> tuple[str, str, dict[str, Any], int]:
        """(kind, name of the event, properties, whole days late)."""
        chance = self._chance
        if not customer.shopper and not customer.carted and chance.random() < 0.2:
            customer.carted = True
            price = chance.randrange(100, 9_999)
            line = {"product_id": f"p{chance.randrange(50)}", "price": price / 100, "quantity": chance.randrange(1, 4)}
            return "browse", "Product Added", line, 0
        dice = chance.random()
        if dice < 0.3 and customer.shopper:
            return self._order(customer)
        late = chance.randrange(1, 20) if chance.random() < 0.08 else 0
        if dice < 0.7:
            return "browse", "Product Viewed", {"product_id": f"p{chance.randrange(50)}"}, late
        if dice < 0.75:
            return "browse", "Products Searched", {"query": f"tea {chance.randrange(1000)}"}, late
        if dice < 0.8:
            return "browse", "Session Started", {"channel": chance.choice(("web", "app"))}, late
        if dice < 0.85:
            return "answer", "NPS Submitted", {"score": chance.randrange(11)}, late
        if dice < 0.88:
            return "answer", "Product Reviewed", {"product_id": "p1", "rating": str(chance.randrange(1, 6))}, late
        if dice < 0.92:
            if customer.complaints and chance.random() < 0.6:
                return "answer", "Complaint Resolved", {"complaint_id": chance.choice(customer.complaints)}, late
            customer.complaints.append(self._id("complaint-"))
            return "answer", "Complaint Opened", {"complaint_id": customer.complaints[-1]}, late
        if dice < 0.95:
            channel = chance.choice(("*", "email", "sms"))
            return "profile", "Consent Changed", {"consent_channel": channel, "granted": chance.random() < 0.5}, late
        if dice < 0.98:
            return "profile", "identify", {"language": chance.choice(("de", "en")), "consent": {"push": True}}, late
        return "outcome", "Action Unsubscribed", {"action_id": "a" * 32, "channel": "email"}, late

    def _order(self, customer: _Customer) -> tuple[str, str, dict[str, Any], int]:
        chance = self._chance
        dice = chance.random()
        late = chance.randrange(1, 300) if chance.random() < 0.15 else 0
        if customer.orders and dice < 0.4:
            order_id, cents = chance.choice(customer.orders)
            if dice < 0.12:
                return "order", "Order Updated", {"order_id": order_id, "revenue": (cents + 100) / 100}, late
            if dice < 0.2:
                return "order", "Order Cancelled", {"order_id": order_id}, 0
            if dice < 0.24:
                return "order", "Order Refunded", {"order_id": order_id}, 0
            if dice < 0.34:
                part = chance.randrange(1, max(2, cents))
                return "order", "Order Refunded", {"order_id": order_id, "revenue": part / 100}, 0
            # The same order from the server too, under another messageId.
            return "order", "Order Completed", {"order_id": order_id, "revenue": cents / 100}, late
        order_id, cents = self._id("o"), chance.randrange(100, 20_000)
        customer.orders.append((order_id, cents))
        if dice > 0.97:
            # The refund is heard of before its order.
            return "order", "Order Refunded", {"order_id": order_id, "revenue": 0.5}, 0
        return "order", "Order Completed", {"order_id": order_id, "revenue": cents / 100, "currency": "USD"}, late


def text_of(at_ms: int) -> str:
    """An instant as senders write it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
