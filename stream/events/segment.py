"""How each Segment e-commerce v2 message becomes an event.

`MESSAGES` is the visible table from event name to its properties and builder; JSON Schemas, AsyncAPI and the docs are made
from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stream.events import kinds
from stream.events.kinds import Event, Line
from stream.events.rejected import Reason, Refusal
from stream.events.wire import (
    ActivityProperties,
    CancelProperties,
    CartProperties,
    ComplaintProperties,
    ConsentProperties,
    ConversionProperties,
    CsatProperties,
    NpsProperties,
    OrderProperties,
    OutcomeProperties,
    Product,
    ProductProperties,
    RefundProperties,
    ReviewProperties,
    SearchProperties,
    Traits,
)

Money = Callable[[float | None, str | None, str, int], int | None]
"""(amount, currency, field, event time) to minor units; ``None`` stays ``None``; raises `Refusal` for money that can't be
taken."""
Builder = Callable[[Any, str, str, int, bool, Money], Event]
"""(properties, message id, customer, event time, backfill, money) to the event. Builders spell out what all events have,
instead of passing on a dict or an object of it: one of them runs for every record."""


def _lines(products: list[Product] | None, currency: str | None, time_ms: int, money: Money) -> tuple[Line, ...]:
    lines: list[Line] = []
    try:
        for product in products or ():
            amount, quantity = product.price, product.quantity
            price = 0 if amount is None else money(amount, currency, "price", time_ms) or 0
            product_id = product.product_id or product.sku or product.name or ""
            lines.append(Line(product_id, 1 if quantity is None else quantity, price))
    except Refusal as refusal:
        if refusal.field == "price":
            refusal.field = f"products[{len(lines)}].price"
        raise
    return tuple(lines)


def _first_category(products: list[Product]) -> str:
    for product in products:
        if product.category:
            return product.category
    return ""


def _product_line(p: ProductProperties, time_ms: int, money: Money) -> Line:
    product_id = p.product_id or p.sku
    if not product_id:
        raise Refusal(Reason.MISSING_FIELD, "product_id", "a product event needs product_id or sku")
    price = money(p.price, p.currency, "price", time_ms)
    return Line(product_id, 1 if p.quantity is None else p.quantity, price or 0)


def _order(kind: type[kinds.Purchase]) -> Builder:
    def build(p: OrderProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
        currency, products = p.currency, p.products
        paid = money(p.revenue, currency, "revenue", time_ms)
        total = money(p.total, currency, "total", time_ms)
        if paid is None:
            paid = total
        discount = money(p.discount, currency, "discount", time_ms)
        return kind(
            message_id,
            customer,
            time_ms,
            backfill,
            p.channel or "",
            order_id=p.order_id or message_id,
            amount_minor=paid or 0,
            discount_minor=discount or 0,
            coupon=p.coupon or "",
            store=p.affiliation or "",
            category=_first_category(products) if products else "",
            lines=_lines(products, currency, time_ms, money) if products else (),
        )

    return build


def _refund(p: RefundProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    amount = money(p.revenue, p.currency, "revenue", time_ms)
    if amount is None:
        amount = money(p.total, p.currency, "total", time_ms)
    return kinds.Refund(
        message_id, customer, time_ms, backfill, p.channel or "", order_id=p.order_id, amount_minor=amount
    )


def _cancel(p: CancelProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    return kinds.Cancellation(message_id, customer, time_ms, backfill, p.channel or "", order_id=p.order_id)


def _viewed(p: ProductProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    product_id = p.product_id or p.sku
    if not product_id:
        raise Refusal(Reason.MISSING_FIELD, "product_id", "a product event needs product_id or sku")
    return kinds.ProductViewed(
        message_id,
        customer,
        time_ms,
        backfill,
        p.channel or "",
        product_id=product_id,
        category=p.category or "",
        price_minor=money(p.price, p.currency, "price", time_ms) or 0,
    )


def _added(p: ProductProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    return kinds.CartAdded(
        message_id,
        customer,
        time_ms,
        backfill,
        p.channel or "",
        line=_product_line(p, time_ms, money),
        category=p.category or "",
    )


def _removed(p: ProductProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    return kinds.CartRemoved(
        message_id, customer, time_ms, backfill, p.channel or "", line=_product_line(p, time_ms, money)
    )


def _cart(kind: type[kinds.CartViewed]) -> Builder:
    def build(p: CartProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
        return kind(
            message_id,
            customer,
            time_ms,
            backfill,
            p.channel or "",
            lines=_lines(p.products, p.currency, time_ms, money),
        )

    return build


def _searched(p: SearchProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    return kinds.Searched(message_id, customer, time_ms, backfill, p.channel or "", query=p.query or "")


def _reviewed(p: ReviewProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    try:
        rating = float(p.rating) if p.rating not in (None, "") else 0.0
    except ValueError:
        raise Refusal(Reason.WRONG_TYPE, "rating", f"{p.rating!r} is not a number") from None
    if not 0.0 <= rating <= 5.0:
        raise Refusal(Reason.VALUE_OUT_OF_RANGE, "rating", f"{rating:g} is not between 0 and 5")
    return kinds.Reviewed(
        message_id,
        customer,
        time_ms,
        backfill,
        p.channel or "",
        product_id=p.product_id or "",
        rating=rating,
        text=p.review_body or "",
    )


def _score(kind: type[kinds.NpsGiven | kinds.CsatGiven]) -> Builder:
    def build(
        p: NpsProperties | CsatProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money
    ) -> Event:
        return kind(message_id, customer, time_ms, backfill, p.channel or "", score=p.score)

    return build


def _complaint(kind: type[kinds.ComplaintOpened | kinds.ComplaintResolved]) -> Builder:
    def build(
        p: ComplaintProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money
    ) -> Event:
        return kind(message_id, customer, time_ms, backfill, p.channel or "", complaint_id=p.complaint_id)

    return build


def _consent(p: ConsentProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money) -> Event:
    return kinds.ConsentChanged(
        message_id,
        customer,
        time_ms,
        backfill,
        p.channel or "",
        consent_channel=p.consent_channel,
        granted=p.granted,
    )


def _outcome(status: str) -> Builder:
    def build(
        p: OutcomeProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money
    ) -> Event:
        return kinds.Outcome(
            message_id, customer, time_ms, backfill, p.channel or "", action_id=p.action_id, status=status
        )

    return build


def _converted(
    p: ConversionProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money
) -> Event:
    return kinds.Outcome(
        message_id,
        customer,
        time_ms,
        backfill,
        p.channel or "",
        action_id=p.action_id,
        status="converted",
        order_id=p.order_id or "",
        amount_minor=money(p.revenue, p.currency, "revenue", time_ms) or 0,
    )


def activity(name: str) -> Builder:
    """Builds the event of what only says that the customer was there."""

    def build(
        p: ActivityProperties, message_id: str, customer: str, time_ms: int, backfill: bool, money: Money
    ) -> Event:
        return kinds.Activity(message_id, customer, time_ms, backfill, p.channel or "", name=name)

    return build


def build_identified(t: Traits, message_id: str, customer: str, time_ms: int, backfill: bool) -> Event:
    """The event of an ``identify`` call."""
    return kinds.Identified(
        message_id,
        customer,
        time_ms,
        backfill,
        region=t.region or (t.address.country if t.address and t.address.country else ""),
        language=t.language or t.locale or "",
        timezone=t.timezone or "",
        birthday=t.birthday or "",
        level=t.level or "",
        membership_expires=t.membership_expires or "",
        referred_by=t.referred_by or "",
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
    MessageType("Product List Viewed", ActivityProperties, activity("Product List Viewed"), "browses"),
    MessageType("Product Clicked", ActivityProperties, activity("Product Clicked"), "browses"),
    MessageType("Session Started", ActivityProperties, activity("Session Started"), "browses"),
    MessageType("Application Opened", ActivityProperties, activity("Application Opened"), "browses"),
    MessageType("Signed In", ActivityProperties, activity("Signed In"), "browses"),
    MessageType("Checked In", ActivityProperties, activity("Checked In"), "browses"),
    MessageType("Feature Used", ActivityProperties, activity("Feature Used"), "browses"),
    MessageType("Product Reviewed", ReviewProperties, _reviewed, "feedback"),
    MessageType("NPS Submitted", NpsProperties, _score(kinds.NpsGiven), "feedback"),
    MessageType("CSAT Submitted", CsatProperties, _score(kinds.CsatGiven), "feedback"),
    MessageType("Complaint Opened", ComplaintProperties, _complaint(kinds.ComplaintOpened), "feedback"),
    MessageType("Complaint Resolved", ComplaintProperties, _complaint(kinds.ComplaintResolved), "feedback"),
    MessageType("Support Contacted", ActivityProperties, activity("Support Contacted"), "feedback"),
    MessageType("Referral Converted", ActivityProperties, activity("Referral Converted"), "profiles"),
    MessageType("Consent Changed", ConsentProperties, _consent, "profiles"),
    MessageType("Action Delivered", OutcomeProperties, _outcome("delivered"), "outcomes"),
    MessageType("Action Opened", OutcomeProperties, _outcome("opened"), "outcomes"),
    MessageType("Action Clicked", OutcomeProperties, _outcome("clicked"), "outcomes"),
    MessageType("Action Converted", ConversionProperties, _converted, "outcomes"),
    MessageType("Action Unsubscribed", OutcomeProperties, _outcome("unsubscribed"), "outcomes"),
    MessageType("Action Bounced", OutcomeProperties, _outcome("bounced"), "outcomes"),
)
"""Every ``track`` event that Winback understands."""


def plain_name(name: str) -> str:
    """An event name with case and separators levelled, so that other senders' spellings match.

    >>> plain_name("order-completed"), plain_name("Order_Completed")
    ('order completed', 'order completed')
    """
    return name.replace("-", " ").replace("_", " ").lower()
