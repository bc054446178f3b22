"""The wire format of what comes in: the parts of Segment e-commerce v2 messages that Winback reads.

Unknown fields are ignored, missing optional ones defaulted; nothing is converted silently, except ``rating``, which the
specification has as a string. Source: Segment "Spec: V2 Ecommerce Events" and "Spec: Common Fields".
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LONGEST_ID = 256
"""Longest id, in characters. Longer: a sender could grow a customer's record without bound. Shorter: real ids (Segment's
own limit for ``messageId`` is 100) would be refused."""

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
OptionalId = Annotated[str, Meta(max_length=LONGEST_ID)]
Text = Annotated[str, Meta(max_length=10_000)]
Word = Annotated[str, Meta(max_length=64)]
Amount = Annotated[float, Meta(ge=0, lt=1e15)]
"""Money in whole units of its currency, as senders write it."""


class Common(
    msgspec.Struct,
    kw_only=True,
    gc=False,
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
    """The common fields of every Segment message but those that say what happened."""

    type: str = ""
    user_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    anonymous_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    previous_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    message_id: Annotated[str, Meta(max_length=LONGEST_ID)] | None = None
    timestamp: datetime | None = None
    sent_at: datetime | None = None
    received_at: datetime | None = None
    original_timestamp: datetime | None = None
    traits: msgspec.Raw = msgspec.Raw(b"{}")
    # CloudEvents 1.0, structured mode
    specversion: str | None = None
    id: str | None = None
    time: datetime | None = None
    subject: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class Envelope(Common, kw_only=True, gc=False):
    """Any Segment message, or a structured CloudEvent around one."""

    event: str | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")


class Track(Common, kw_only=True, gc=False):
    """A ``track`` message that lacks nothing and isn't wrapped in a CloudEvent; its own types add the properties."""

    type: Literal["track"]
    message_id: Id
    timestamp: Annotated[datetime, Meta(tz=True)]
    specversion: None = None


class Product(msgspec.Struct, kw_only=True, gc=False):
    """A product inside an order or a cart."""

    product_id: OptionalId | None = None
    sku: OptionalId | None = None
    name: Text | None = None
    category: OptionalId | None = None
    price: Amount | None = None
    quantity: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class OrderProperties(msgspec.Struct, kw_only=True, gc=False):
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


class RefundProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Order Refunded``; without an amount the whole order is refunded."""

    order_id: Id
    revenue: Amount | None = None
    total: Amount | None = None
    currency: Word | None = None
    channel: Word | None = None


class CancelProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Order Cancelled``."""

    order_id: Id
    channel: Word | None = None


class ProductProperties(Product, kw_only=True, gc=False):
    """Properties of ``Product Viewed``, ``Product Added``, ``Product Removed``."""

    product_id: Id | None = None
    currency: Word | None = None
    channel: Word | None = None


class SearchProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Products Searched``."""

    query: Text | None = None
    channel: Word | None = None


class CartProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Cart Viewed`` and ``Checkout Started``."""

    currency: Word | None = None
    channel: Word | None = None
    products: list[Product] | None = None


class ReviewProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Product Reviewed``; the specification has ``rating`` as a string, many send a number."""

    product_id: OptionalId | None = None
    rating: str | float | None = None
    review_body: Text | None = None
    channel: Word | None = None


class NpsProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``NPS Submitted``."""

    score: Annotated[int, Meta(ge=0, le=10)]
    channel: Word | None = None


class CsatProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``CSAT Submitted``."""

    score: Annotated[int, Meta(ge=1, le=5)]
    channel: Word | None = None


class ComplaintProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Complaint Opened`` and ``Complaint Resolved``."""

    complaint_id: Id
    channel: Word | None = None


class ConsentProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Consent Changed``; ``consent_channel`` ``*`` is every channel."""

    granted: bool
    consent_channel: Word = "*"
    channel: Word | None = None


class OutcomeProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Action Delivered``, ``Opened``, ``Clicked``, ``Unsubscribed``, ``Bounced``."""

    action_id: Id
    channel: Word | None = None


class ConversionProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of ``Action Converted``: which purchase it was, if the sender knows."""

    action_id: Id
    channel: Word | None = None
    order_id: Id | None = None
    revenue: Amount | None = None
    currency: Word | None = None


class ActivityProperties(msgspec.Struct, kw_only=True, gc=False):
    """Properties of what only says that the customer was there."""

    channel: Word | None = None


class Address(msgspec.Struct, kw_only=True, gc=False):
    """Where a person lives, as far as Winback cares."""

    country: Word | None = None


class Traits(msgspec.Struct, kw_only=True, gc=False):
    """Traits of ``identify``. Names, addresses and numbers of people are ignored: state holds no contact data."""

    region: Word | None = None
    address: Address | None = None
    language: Word | None = None
    locale: Word | None = None
    timezone: Word | None = None
    birthday: Word | None = None
    level: Word | None = None
    membership_expires: Word | None = None
    referred_by: Word | None = None
    consent: Annotated[dict[Word, bool], Meta(max_length=32)] | None = None
