"""The wire format of what comes in: Segment e-commerce v2 messages, and how each becomes an event.

`MESSAGES` is the visible table from event name to its properties and builder; JSON Schemas, AsyncAPI and the docs are made
from it. Unknown fields are ignored, missing optional ones defaulted; nothing is converted silently, except ``rating``, which
the specification has as a string. Source: Segment "Spec: V2 Ecommerce Events" and "Spec: Common Fields".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stream.events import kinds
from stream.events.kinds import Event, Line

LONGEST_ID = 256
"""Longest id, in characters. Longer: a sender could grow a customer's record without bound. Shorter: real ids (Segment's
own limit for ``messageId`` is 100) would be refused."""

LONGEST_DETAIL = 500
"""Longest explanation of a refusal, in characters. Longer: dead letters outgrow their topic's limit."""

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
OptionalId = Annotated[str, Meta(max_length=LONGEST_ID)]
Text = Annotated[str, Meta(max_length=10_000)]
Word = Annotated[str, Meta(max_length=64)]
Amount = Annotated[float, Meta(ge=0, lt=1e15)]
"""Money in whole units of its currency, as senders write it."""


class Envelope(
    msgspec.Struct,
    kw_only=True,
    rename={
        "user_id": "userId",
        "anonymous_id": "anonymousId",
        "message_id": "messageId",
        "sent_at": "sentAt",
        "received_at": "receivedAt",
        "previous_id": "previousId",
        "original_timestamp": "originalTimestamp",
    },
):
    """The common fields of every Segment message, or of a structured CloudEvent around one."""

    type: str = ""
    event: str | None = None
    user_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    anonymous_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    previous_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    message_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    timestamp: datetime | None = None
    sent_at: datetime | None = None
    received_at: datetime | None = None
    original_timestamp: datetime | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    traits: msgspec.Raw = msgspec.Raw(b"{}")
    # CloudEvents 1.0, structured mode
    specversion: str | None = None
    id: str | None = None
    time: datetime | None = None
    subject: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class Product(msgspec.Struct, kw_only=True):
    """A product inside an order or a cart."""

    product_id: OptionalId | None = None
    sku: OptionalId | None = None
    name: Text | None = None
    category: OptionalId | None = None
    price: Amount | None = None
    quantity: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class OrderProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Order Completed`` and ``Order Updated``. ``revenue`` counts, else ``total``."""

    order_id: Id | None = None
    revenue: Amount | None = None
    total: Amount | None = None
    discount: Amount | None = None
    currency: Word | None = None
    coupon: OptionalId | None = None
    affiliation: OptionalId | None = None
    channel: Word | None = None
    products: list[Product] | None = None


class RefundProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Order Refunded``; without an amount the whole order is refunded."""

    order_id: Id
    revenue: Amount | None = None
    total: Amount | None = None
    currency: Word | None = None
    channel: Word | None = None


class CancelProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Order Cancelled``."""

    order_id: Id
    channel: Word | None = None


class ProductProperties(Product, kw_only=True):
    """Properties of ``Product Viewed``, ``Product Added``, ``Product Removed``."""

    product_id: Id | None = None
    currency: Word | None = None
    channel: Word | None = None


class SearchProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Products Searched``."""

    query: Text | None = None
    channel: Word | None = None


class CartProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Cart Viewed`` and ``Checkout Started``."""

    currency: Word | None = None
    channel: Word | None = None
    products: list[Product] | None = None


class ReviewProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Product Reviewed``; the specification has ``rating`` as a string, many send a number."""

    product_id: OptionalId | None = None
    rating: str | float | None = None
    review_body: Text | None = None
    channel: Word | None = None


class NpsProperties(msgspec.Struct, kw_only=True):
    """Properties of ``NPS Submitted``."""

    score: Annotated[int, Meta(ge=0, le=10)]
    channel: Word | None = None


class CsatProperties(msgspec.Struct, kw_only=True):
    """Properties of ``CSAT Submitted``."""

    score: Annotated[int, Meta(ge=1, le=5)]
    channel: Word | None = None


class ComplaintProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Complaint Opened`` and ``Complaint Resolved``."""

    complaint_id: Id
    channel: Word | None = None


class ConsentProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Consent Changed``; ``consent_channel`` ``*`` is every channel."""

    granted: bool
    consent_channel: Word = "*"
    channel: Word | None = None


class OutcomeProperties(msgspec.Struct, kw_only=True):
    """Properties of ``Action Delivered``, ``Opened``, ``Clicked``, ``Converted``, ``Unsubscribed``, ``Bounced``."""

    action_id: Id
    channel: Word | None = None


class ActivityProperties(msgspec.Struct, kw_only=True):
    """Properties of what only says that the customer was there."""

    channel: Word | None = None


class Address(msgspec.Struct, kw_only=True):
    """Where a person lives, as far as Winback cares."""

    country: Word | None = None


class Traits(msgspec.Struct, kw_only=True):
    """Traits of ``identify``. Names, addresses and numbers of people are ignored: state holds no contact data."""

    region: Word | None = None
    address: Address | None = None
    language: Word | None = None
    locale: Word | None = None
    timezone: Word | None = None
    birthday: Word | None = None
    level: Word | None = None
    consent: Annotated[dict[Word, bool], Meta(max_length=32)] | None = None


class Refusal(Exception):
    """Raised by builders for what types can't say; the codec turns it into a `Rejected`."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.field, self.detail = reason, field, shortened(detail)


def shortened(detail: str) -> str:
    """A detail fit for a header: what a sender wrote may be a megabyte, and is in the dead letter's value anyway.

    >>> len(shortened("x" * 10_000))
    500
    """
    return detail if len(detail) <= LONGEST_DETAIL else f"{detail[: LONGEST_DETAIL - 1]}…"


Money = Callable[[float | None, str | None, str], int | None]
"""(amount, currency, field) to minor units; ``None`` stays ``None``; raises `Refusal` for money that can't be taken."""
Common = dict[str, Any]
Builder = Callable[[Any, Common, Money, str], Event]
"""(properties, common event fields, money, event name) to the event."""


def _lines(products: list[Product] | None, currency: str | None, money: Money) -> tuple[Line, ...]:
    lines = []
    for at, product in enumerate(products or ()):
        price = money(product.price, currency, f"products[{at}].price")
        quantity = 1 if product.quantity is None else product.quantity
        lines.append(Line(product.product_id or product.sku or product.name or "", quantity, price or 0))
    return tuple(lines)


def _product_line(p: ProductProperties, money: Money) -> Line:
    product_id = p.product_id or p.sku
    if not product_id:
        raise Refusal("missing_field", "product_id", "a product event needs product_id or sku")
    price = money(p.price, p.currency, "price")
    return Line(product_id, 1 if p.quantity is None else p.quantity, price or 0)


def _order(kind: type[kinds.Purchase]) -> Builder:
    def build(p: OrderProperties, common: Common, money: Money, name: str) -> Event:
        paid = money(p.revenue, p.currency, "revenue")
        total = money(p.total, p.currency, "total")
        if paid is None:
            paid = total
        discount = money(p.discount, p.currency, "discount")
        lines = _lines(p.products, p.currency, money) if p.products else ()
        return kind(
            **common,
            order_id=p.order_id or common["message_id"],
            amount_minor=paid or 0,
            discount_minor=discount or 0,
            coupon=p.coupon or "",
            store=p.affiliation or "",
            category=next((x.category for x in p.products or () if x.category), ""),
            lines=lines,
        )

    return build


def _refund(p: RefundProperties, common: Common, money: Money, name: str) -> Event:
    amount = money(p.revenue, p.currency, "revenue")
    if amount is None:
        amount = money(p.total, p.currency, "total")
    return kinds.Refund(**common, order_id=p.order_id, amount_minor=amount)


def _cancel(p: CancelProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.Cancellation(**common, order_id=p.order_id)


def _viewed(p: ProductProperties, common: Common, money: Money, name: str) -> Event:
    line = _product_line(p, money)
    return kinds.ProductViewed(
        **common, product_id=line.product_id, category=p.category or "", price_minor=line.price_minor
    )


def _added(p: ProductProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.CartAdded(**common, line=_product_line(p, money), category=p.category or "")


def _removed(p: ProductProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.CartRemoved(**common, line=_product_line(p, money))


def _cart(kind: type[kinds.CartViewed]) -> Builder:
    def build(p: CartProperties, common: Common, money: Money, name: str) -> Event:
        return kind(**common, lines=_lines(p.products, p.currency, money))

    return build


def _searched(p: SearchProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.Searched(**common, query=p.query or "")


def _reviewed(p: ReviewProperties, common: Common, money: Money, name: str) -> Event:
    try:
        rating = float(p.rating) if p.rating not in (None, "") else 0.0
    except ValueError:
        raise Refusal("wrong_type", "rating", f"{p.rating!r} is not a number") from None
    if not 0.0 <= rating <= 5.0:
        raise Refusal("value_out_of_range", "rating", f"{rating:g} is not between 0 and 5")
    return kinds.Reviewed(**common, product_id=p.product_id or "", rating=rating, text=p.review_body or "")


def _nps(p: NpsProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.NpsGiven(**common, score=p.score)


def _csat(p: CsatProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.CsatGiven(**common, score=p.score)


def _complaint(kind: type[kinds.ComplaintOpened | kinds.ComplaintResolved]) -> Builder:
    def build(p: ComplaintProperties, common: Common, money: Money, name: str) -> Event:
        return kind(**common, complaint_id=p.complaint_id)

    return build


def _consent(p: ConsentProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.ConsentChanged(**common, consent_channel=p.consent_channel, granted=p.granted)


def _outcome(p: OutcomeProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.Outcome(**common, action_id=p.action_id, status=name.rsplit(maxsplit=1)[-1].lower())


def _activity(p: ActivityProperties, common: Common, money: Money, name: str) -> Event:
    return kinds.Activity(**common, name=name)


def build_identified(t: Traits, common: Common) -> Event:
    """The event of an ``identify`` call."""
    return kinds.Identified(
        **common,
        region=t.region or (t.address.country if t.address and t.address.country else ""),
        language=t.language or t.locale or "",
        timezone=t.timezone or "",
        birthday=t.birthday or "",
        level=t.level or "",
        consent=tuple(sorted((t.consent or {}).items())),
    )


class MessageType(msgspec.Struct, frozen=True):
    """One row of the contract: an event name, the Struct of its properties, and how it becomes an event."""

    name: str
    properties: type[msgspec.Struct]
    build: Builder
    topic: str
    """Which input topic it is meant for: purchases, browses, feedback, profiles or outcomes."""


MESSAGES: tuple[MessageType, ...] = (
    MessageType("Order Completed", OrderProperties, _order(kinds.Purchase), "purchases"),
    MessageType("Order Updated", OrderProperties, _order(kinds.OrderUpdated), "purchases"),
    MessageType("Order Refunded", RefundProperties, _refund, "purchases"),
    MessageType("Order Cancelled", CancelProperties, _cancel, "purchases"),
    MessageType("Product Viewed", ProductProperties, _viewed, "browses"),
    MessageType("Products Searched", SearchProperties, _searched, "browses"),
    MessageType("Product Added", ProductProperties, _added, "browses"),
    MessageType("Product Removed", ProductProperties, _removed, "browses"),
    MessageType("Cart Viewed", CartProperties, _cart(kinds.CartViewed), "browses"),
    MessageType("Checkout Started", CartProperties, _cart(kinds.CheckoutStarted), "browses"),
    MessageType("Product List Viewed", ActivityProperties, _activity, "browses"),
    MessageType("Product Clicked", ActivityProperties, _activity, "browses"),
    MessageType("Session Started", ActivityProperties, _activity, "browses"),
    MessageType("Application Opened", ActivityProperties, _activity, "browses"),
    MessageType("Signed In", ActivityProperties, _activity, "browses"),
    MessageType("Checked In", ActivityProperties, _activity, "browses"),
    MessageType("Feature Used", ActivityProperties, _activity, "browses"),
    MessageType("Product Reviewed", ReviewProperties, _reviewed, "feedback"),
    MessageType("NPS Submitted", NpsProperties, _nps, "feedback"),
    MessageType("CSAT Submitted", CsatProperties, _csat, "feedback"),
    MessageType("Complaint Opened", ComplaintProperties, _complaint(kinds.ComplaintOpened), "feedback"),
    MessageType("Complaint Resolved", ComplaintProperties, _complaint(kinds.ComplaintResolved), "feedback"),
    MessageType("Support Contacted", ActivityProperties, _activity, "feedback"),
    MessageType("Consent Changed", ConsentProperties, _consent, "profiles"),
    MessageType("Action Delivered", OutcomeProperties, _outcome, "outcomes"),
    MessageType("Action Opened", OutcomeProperties, _outcome, "outcomes"),
    MessageType("Action Clicked", OutcomeProperties, _outcome, "outcomes"),
    MessageType("Action Converted", OutcomeProperties, _outcome, "outcomes"),
    MessageType("Action Unsubscribed", OutcomeProperties, _outcome, "outcomes"),
    MessageType("Action Bounced", OutcomeProperties, _outcome, "outcomes"),
)
"""Every ``track`` event that Winback understands."""


def plain_name(name: str) -> str:
    """An event name with case and separators levelled, so that other senders' spellings match.

    >>> plain_name("order-completed"), plain_name("Order_Completed")
    ('order completed', 'order completed')
    """
    return name.replace("-", " ").replace("_", " ").lower()
