"""An event as conditions see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream.events import kinds
from stream.events.kinds import Event
from stream.rules.vocabulary import EventFacts

NOTHING = EventFacts(kind="")
"""Stands for the event where a timer or an alert triggers the rule."""


def event_facts(event: Event) -> EventFacts:
    """The facts of an event; fields that its kind doesn't carry have their neutral value."""
    facts = _FACTS.get(type(event))
    return EventFacts(kind=event.kind, channel=event.channel) if facts is None else facts(event)


def _purchase(event: kinds.Purchase) -> EventFacts:
    return EventFacts(
        kind=event.kind,
        order_id=event.order_id,
        category=event.category,
        revenue_minor=event.amount_minor,
        quantity=sum(line.quantity for line in event.lines),
        channel=event.channel,
        store=event.store,
        coupon=event.coupon,
        discount_minor=event.discount_minor,
    )


def _refund(event: kinds.Refund) -> EventFacts:
    amount = event.amount_minor or 0
    return EventFacts(kind=event.kind, order_id=event.order_id, revenue_minor=amount, channel=event.channel)


def _activity(event: kinds.Activity) -> EventFacts:
    return EventFacts(kind=event.kind, channel=event.channel, name=event.name)


def _cancellation(event: kinds.Cancellation) -> EventFacts:
    return EventFacts(kind=event.kind, order_id=event.order_id, channel=event.channel)


def _viewed(event: kinds.ProductViewed) -> EventFacts:
    return EventFacts(
        kind=event.kind,
        product_id=event.product_id,
        category=event.category,
        price_minor=event.price_minor,
        quantity=1,
        channel=event.channel,
    )


def _cart_changed(event: kinds.CartAdded | kinds.CartRemoved) -> EventFacts:
    return EventFacts(
        kind=event.kind,
        product_id=event.line.product_id,
        category=event.category if isinstance(event, kinds.CartAdded) else "",
        price_minor=event.line.price_minor,
        quantity=event.line.quantity,
        channel=event.channel,
    )


def _cart_viewed(event: kinds.CartViewed) -> EventFacts:
    worth = sum(line.quantity * line.price_minor for line in event.lines)
    return EventFacts(kind=event.kind, revenue_minor=worth, channel=event.channel)


def _reviewed(event: kinds.Reviewed) -> EventFacts:
    return EventFacts(kind=event.kind, product_id=event.product_id, rating=event.rating, channel=event.channel)


def _nps(event: kinds.NpsGiven) -> EventFacts:
    return EventFacts(kind=event.kind, nps=event.score, channel=event.channel)


def _csat(event: kinds.CsatGiven) -> EventFacts:
    return EventFacts(kind=event.kind, rating=float(event.score), channel=event.channel)


_FACTS: dict[type[Event], Callable[[Any], EventFacts]] = {
    kinds.Purchase: _purchase,
    kinds.OrderUpdated: _purchase,
    kinds.Refund: _refund,
    kinds.Cancellation: _cancellation,
    kinds.Activity: _activity,
    kinds.ProductViewed: _viewed,
    kinds.CartAdded: _cart_changed,
    kinds.CartRemoved: _cart_changed,
    kinds.CartViewed: _cart_viewed,
    kinds.CheckoutStarted: _cart_viewed,
    kinds.Reviewed: _reviewed,
    kinds.NpsGiven: _nps,
    kinds.CsatGiven: _csat,
}


def product_of(event: Event) -> str:
    """The product that an event is about, empty when it is about none."""
    kind = type(event)
    if kind is kinds.ProductViewed or kind is kinds.Reviewed:
        product: str = event.product_id  # type: ignore[attr-defined]
        return product
    if isinstance(event, kinds.CartAdded | kinds.CartRemoved):
        return event.line.product_id
    return ""
