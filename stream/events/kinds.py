"""The events, one frozen Struct per kind: what is left of a message once names, clocks and currencies are settled.

Every event has ``message_id`` (the duplicate key), ``customer`` (the customer key), ``time_ms`` (event time, Unix
milliseconds UTC, corrected for the sender's clock skew) and ``backfill`` (imported history: state yes, actions never).
Money is integer minor units of the shop's currency. Source: MISSION A1, the Segment e-commerce v2 vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False):
    """What all events share."""

    kind: ClassVar[str] = ""

    message_id: str
    customer: str
    time_ms: int
    backfill: bool = False
    channel: str = ""


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A product in an order or a cart; ``price_minor`` is for one piece."""

    product_id: str
    quantity: int = 1
    price_minor: int = 0


class Purchase(Event, frozen=True, kw_only=True, gc=False):
    """An order was completed. ``order_id`` is its identity: several sends of it are one order."""

    kind: ClassVar[str] = "purchase"

    order_id: str
    amount_minor: int
    discount_minor: int = 0
    coupon: str = ""
    store: str = ""
    category: str = ""
    lines: tuple[Line, ...] = ()


class OrderUpdated(Purchase, frozen=True, kw_only=True, gc=False):
    """An order was changed; it replaces the sends of the same order that carry an earlier time."""

    kind: ClassVar[str] = "order_updated"


class Refund(Event, frozen=True, kw_only=True, gc=False):
    """Money went back. ``amount_minor`` of ``None`` refunds the whole order."""

    kind: ClassVar[str] = "refund"

    order_id: str
    amount_minor: int | None = None


class Cancellation(Event, frozen=True, kw_only=True, gc=False):
    """An order was cancelled: it never counted."""

    kind: ClassVar[str] = "cancellation"

    order_id: str


class Activity(Event, frozen=True, kw_only=True, gc=False):
    """The customer was there: a session, a page, a login, a check-in, a feature used."""

    kind: ClassVar[str] = "session"

    name: str = ""


class ProductViewed(Event, frozen=True, kw_only=True, gc=False):
    """A product was looked at."""

    kind: ClassVar[str] = "product_viewed"

    product_id: str
    category: str = ""
    price_minor: int = 0


class Searched(Event, frozen=True, kw_only=True, gc=False):
    """Products were searched for."""

    kind: ClassVar[str] = "searched"

    query: str = ""


class CartAdded(Event, frozen=True, kw_only=True, gc=False):
    """A product was put into the cart."""

    kind: ClassVar[str] = "cart_added"

    line: Line
    category: str = ""


class CartRemoved(Event, frozen=True, kw_only=True, gc=False):
    """A product was taken out of the cart."""

    kind: ClassVar[str] = "cart_removed"

    line: Line


class CartViewed(Event, frozen=True, kw_only=True, gc=False):
    """The whole cart as it was seen; replaces what single adds and removes had built."""

    kind: ClassVar[str] = "cart_viewed"

    lines: tuple[Line, ...] = ()


class CheckoutStarted(CartViewed, frozen=True, kw_only=True, gc=False):
    """Checkout began with these lines in the cart."""

    kind: ClassVar[str] = "checkout_started"


class Reviewed(Event, frozen=True, kw_only=True, gc=False):
    """A product was rated, 1 to 5, perhaps with words."""

    kind: ClassVar[str] = "reviewed"

    product_id: str = ""
    rating: float = 0.0
    text: str = ""


class NpsGiven(Event, frozen=True, kw_only=True, gc=False):
    """Net promoter answer, 0 to 10 (Reichheld 2003: 0–6 detractor, 7–8 passive, 9–10 promoter)."""

    kind: ClassVar[str] = "nps"

    score: int


class CsatGiven(Event, frozen=True, kw_only=True, gc=False):
    """Customer satisfaction answer, 1 to 5."""

    kind: ClassVar[str] = "csat"

    score: int


class ComplaintOpened(Event, frozen=True, kw_only=True, gc=False):
    """A complaint or a support contact was opened."""

    kind: ClassVar[str] = "complaint_opened"

    complaint_id: str


class ComplaintResolved(Event, frozen=True, kw_only=True, gc=False):
    """A complaint was resolved."""

    kind: ClassVar[str] = "complaint_resolved"

    complaint_id: str


class Identified(Event, frozen=True, kw_only=True, gc=False):
    """Traits of the person became known. Contact addresses are not kept: nothing here needs them."""

    kind: ClassVar[str] = "identified"

    region: str = ""
    language: str = ""
    timezone: str = ""
    birthday: str = ""
    level: str = ""
    membership_expires: str = ""
    referred_by: str = ""
    consent: tuple[tuple[str, bool], ...] = ()


class ConsentChanged(Event, frozen=True, kw_only=True, gc=False):
    """The person allowed (``granted``) or forbade contact on a channel; ``*`` means every channel."""

    kind: ClassVar[str] = "consent_changed"

    consent_channel: str = "*"
    granted: bool = False


class Outcome(Event, frozen=True, kw_only=True, gc=False):
    """What became of an action: delivered, opened, clicked, converted, unsubscribed, bounced."""

    kind: ClassVar[str] = "outcome"

    action_id: str
    status: str
    order_id: str = ""
    """Of a conversion: the order that it was; empty: not told."""
    amount_minor: int = 0
    """Of a conversion: its worth, 0 when not told."""


class Aliased(Event, frozen=True, kw_only=True, gc=False):
    """Two identities are one person. Counted for now; merging histories needs a transfer between partitions."""

    kind: ClassVar[str] = "aliased"

    previous: str = ""


KINDS: tuple[type[Event], ...] = (
    Purchase,
    OrderUpdated,
    Refund,
    Cancellation,
    Activity,
    ProductViewed,
    Searched,
    CartAdded,
    CartRemoved,
    CartViewed,
    CheckoutStarted,
    Reviewed,
    NpsGiven,
    CsatGiven,
    ComplaintOpened,
    ComplaintResolved,
    Identified,
    ConsentChanged,
    Outcome,
    Aliased,
)
"""Every kind of event."""
