"""An event as conditions see it."""

from __future__ import annotations

from stream.events import kinds
from stream.events.kinds import Event
from stream.rules.vocabulary import EventFacts

NOTHING = EventFacts(kind="")
"""Stands for the event where a timer or an alert triggers the rule."""


def event_facts(event: Event) -> EventFacts:
    """The facts of an event; fields that its kind doesn't carry have their neutral value."""
    match event:
        case kinds.Purchase():
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
        case kinds.Refund():
            amount = event.amount_minor or 0
            return EventFacts(kind=event.kind, order_id=event.order_id, revenue_minor=amount, channel=event.channel)
        case kinds.Cancellation():
            return EventFacts(kind=event.kind, order_id=event.order_id, channel=event.channel)
        case kinds.ProductViewed():
            return EventFacts(
                kind=event.kind,
                product_id=event.product_id,
                category=event.category,
                price_minor=event.price_minor,
                quantity=1,
                channel=event.channel,
            )
        case kinds.CartAdded() | kinds.CartRemoved():
            return EventFacts(
                kind=event.kind,
                product_id=event.line.product_id,
                category=event.category if isinstance(event, kinds.CartAdded) else "",
                price_minor=event.line.price_minor,
                quantity=event.line.quantity,
                channel=event.channel,
            )
        case kinds.CartViewed():
            worth = sum(line.quantity * line.price_minor for line in event.lines)
            return EventFacts(kind=event.kind, revenue_minor=worth, channel=event.channel)
        case kinds.Reviewed():
            return EventFacts(kind=event.kind, product_id=event.product_id, rating=event.rating, channel=event.channel)
        case kinds.NpsGiven():
            return EventFacts(kind=event.kind, nps=event.score, channel=event.channel)
        case kinds.CsatGiven():
            return EventFacts(kind=event.kind, rating=float(event.score), channel=event.channel)
        case _:
            return EventFacts(kind=event.kind, channel=event.channel)


def product_of(event: Event) -> str:
    """The product that an event is about, empty when it is about none."""
    kind = type(event)
    if kind is kinds.ProductViewed or kind is kinds.Reviewed:
        product: str = event.product_id  # type: ignore[attr-defined]
        return product
    if isinstance(event, kinds.CartAdded | kinds.CartRemoved):
        return event.line.product_id
    return ""
