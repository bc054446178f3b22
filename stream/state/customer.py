"""A customer's record: facts, decisions and offset stamps, with its versioned codec and the way an event changes it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from stream.config import Settings
from stream.errors import NewerVersionError, StateError
from stream.events import kinds
from stream.events.hashing import hash64
from stream.events.instants import day_of
from stream.events.kinds import Event
from stream.state.memory import Memory
from stream.state.messages import Entry, MessageLog, Seen, Trace, kept_lines, product_code
from stream.state.orders import Applied, OrderBook
from stream.state.person import Answer, Person, keep_answer

VERSION = 1
"""Version of the record's layout. Raise it with any change of a stored Struct and add a step to `UPGRADES`."""


class Customer(msgspec.Struct, array_like=True):
    """Everything kept of one customer. Encoded as a MessagePack array that starts with version and next due instant."""

    version: int = VERSION
    next_due_ms: int = 0
    """When something about this customer is due next, 0 for never; first, so that an index is rebuilt cheaply."""
    stamps: dict[int, int] = {}
    """Input topic number → offset of the last record applied."""
    orders: OrderBook = msgspec.field(default_factory=OrderBook)
    messages: MessageLog = msgspec.field(default_factory=MessageLog)
    person: Person = msgspec.field(default_factory=Person)
    memory: Memory = msgspec.field(default_factory=Memory)

    def apply(self, event: Event, settings: Settings) -> Applied | Seen:
        """Folds an event into the facts, once; says what became of it. Never looks at decisions or clocks."""
        message = hash64(event.message_id)
        body = checksum(event)
        days = settings.memory_message_days
        seen = self.messages.look_up(message, body, event.time_ms, days)
        if seen is Seen.DUPLICATE or seen is Seen.OTHER_BODY:
            return seen
        change = _CHANGES.get(type(event))
        if seen is Seen.BEYOND_MEMORY and not isinstance(event, _HAS_OWN_IDENTITY):
            return seen
        applied = change(self, event, message, settings) if change else Applied.CHANGED
        if applied is Applied.BEYOND_MEMORY:
            return applied
        self.person.seen(event.time_ms)
        if type(event) in _DONE_BY_CUSTOMER:
            self.person.active(event.time_ms, day_of(event.time_ms))
        if seen is Seen.NEW:
            entry = _entry(event, message, body)
            self.messages.add(entry, memory_days=days, memory_messages=settings.memory_messages)
        return applied


def checksum(event: Event) -> int:
    """CRC-32 of an event's kind and content without its time, which a re-send may correct differently."""
    content = _content.encode(msgspec.structs.replace(event, time_ms=0, backfill=False))
    return zlib.crc32(content, _KIND_SUMS[type(event)])


_KIND_SUMS = {kind: zlib.crc32(kind.kind.encode()) for kind in kinds.KINDS}
"""Where the checksum of each kind starts: an NPS answer of 5 and a CSAT answer of 5 have the same fields."""


def _purchase(c: Customer, e: kinds.Purchase, message: int, s: Settings) -> Applied:
    return c.orders.purchase(
        hash64(e.order_id),
        message,
        e.time_ms,
        e.amount_minor,
        memory_days=s.memory_days,
        memory_orders=s.memory_orders,
    )


def _refund(c: Customer, e: kinds.Refund, message: int, s: Settings) -> Applied:
    return c.orders.refund(
        hash64(e.order_id),
        message,
        e.time_ms,
        e.amount_minor,
        memory_days=s.memory_days,
        memory_orders=s.memory_orders,
    )


def _cancel(c: Customer, e: kinds.Cancellation, message: int, s: Settings) -> Applied:
    return c.orders.cancel(hash64(e.order_id), e.time_ms, memory_days=s.memory_days, memory_orders=s.memory_orders)


def _nps(c: Customer, e: kinds.NpsGiven, message: int, s: Settings) -> Applied:
    keep_answer(c.person.nps, Answer(e.time_ms, message, float(e.score)))
    return Applied.CHANGED


def _csat(c: Customer, e: kinds.CsatGiven, message: int, s: Settings) -> Applied:
    keep_answer(c.person.csat, Answer(e.time_ms, message, float(e.score)))
    return Applied.CHANGED


def _reviewed(c: Customer, e: kinds.Reviewed, message: int, s: Settings) -> Applied:
    if e.rating:
        keep_answer(c.person.ratings, Answer(e.time_ms, message, e.rating))
    return Applied.CHANGED


def _complaint_opened(c: Customer, e: kinds.ComplaintOpened, message: int, s: Settings) -> Applied:
    c.person.open_complaint(hash64(e.complaint_id), e.time_ms)
    return Applied.CHANGED


def _complaint_resolved(c: Customer, e: kinds.ComplaintResolved, message: int, s: Settings) -> Applied:
    c.person.resolve_complaint(hash64(e.complaint_id), e.time_ms)
    return Applied.CHANGED


def _identified(c: Customer, e: kinds.Identified, message: int, s: Settings) -> Applied:
    for name in ("region", "language", "timezone", "birthday", "level"):
        c.person.set_trait(name, e.time_ms, getattr(e, name))
    for channel, granted in e.consent:
        c.person.set_consent(channel, e.time_ms, granted)
    return Applied.CHANGED


def _consent(c: Customer, e: kinds.ConsentChanged, message: int, s: Settings) -> Applied:
    c.person.set_consent(e.consent_channel, e.time_ms, e.granted)
    return Applied.CHANGED


def _outcome(c: Customer, e: kinds.Outcome, message: int, s: Settings) -> Applied:
    if e.status == "unsubscribed":
        c.person.set_consent(e.channel or "*", e.time_ms, False)
    return Applied.CHANGED


_CHANGES: dict[type[Event], Callable[[Customer, Any, int, Settings], Applied]] = {
    kinds.Purchase: _purchase,
    kinds.OrderUpdated: _purchase,
    kinds.Refund: _refund,
    kinds.Cancellation: _cancel,
    kinds.NpsGiven: _nps,
    kinds.CsatGiven: _csat,
    kinds.Reviewed: _reviewed,
    kinds.ComplaintOpened: _complaint_opened,
    kinds.ComplaintResolved: _complaint_resolved,
    kinds.Identified: _identified,
    kinds.ConsentChanged: _consent,
    kinds.Outcome: _outcome,
}
"""What each kind of event changes besides the log of messages."""

_HAS_OWN_IDENTITY = (kinds.Purchase, kinds.Refund, kinds.Cancellation)
"""Kinds that the order book can tell from a repeat even when the message log has forgotten their id."""

_DONE_BY_CUSTOMER = frozenset(
    (
        kinds.Purchase,
        kinds.Activity,
        kinds.ProductViewed,
        kinds.Searched,
        kinds.CartAdded,
        kinds.CartRemoved,
        kinds.CartViewed,
        kinds.CheckoutStarted,
        kinds.Reviewed,
        kinds.NpsGiven,
        kinds.CsatGiven,
        kinds.ComplaintOpened,
    )
)
"""Kinds that are the customer's own doing (a refund or an updated order may be the shop's)."""


def _entry(event: Event, message: int, body: int) -> Entry:
    """What the log of messages keeps of an event."""
    at = event.time_ms
    if isinstance(event, kinds.ProductViewed):
        return Entry(at, message, body, Trace.VIEWED, product_code(event.product_id))
    if isinstance(event, kinds.CartAdded):
        return Entry(at, message, body, Trace.CART_ADDED, lines=kept_lines((event.line,)))
    if isinstance(event, kinds.CartRemoved):
        return Entry(at, message, body, Trace.CART_REMOVED, lines=kept_lines((event.line,)))
    if isinstance(event, kinds.CartViewed):
        return Entry(at, message, body, Trace.CART_SET, lines=kept_lines(event.lines))
    if isinstance(event, kinds.Purchase) and not isinstance(event, kinds.OrderUpdated):
        return Entry(at, message, body, Trace.BOUGHT, lines=kept_lines(event.lines))
    return Entry(at, message, body)


# -- codec

UPGRADES: dict[int, Callable[[list[Any]], list[Any]]] = {}
"""Version → step that turns a record of that version into one of the next, on the plain MessagePack array."""


class Head(msgspec.Struct, array_like=True, gc=False):
    """The first fields of an encoded record, for a look without decoding the rest."""

    version: int
    next_due_ms: int


_content = msgspec.msgpack.Encoder()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Customer)
_head = msgspec.msgpack.Decoder(Head)


def encode(customer: Customer) -> bytes:
    """The record as bytes, for the table and its changelog."""
    return _encoder.encode(customer)


def head(value: bytes) -> Head:
    """Version and next due instant of an encoded record."""
    try:
        return _head.decode(value)
    except msgspec.DecodeError as error:
        raise StateError(f"a stored customer record can't be read: {error}") from error


def decode(value: bytes) -> Customer:
    """The record in bytes, brought to the current version.

    Raises `NewerVersionError` for a record that a newer Winback wrote and `StateError` for damaged bytes.
    """
    try:
        version = _head.decode(value).version
        if version == VERSION:
            return _decoder.decode(value)
        if version > VERSION:
            raise NewerVersionError(f"a stored record has version {version}, this Winback knows up to {VERSION}")
        plain = msgspec.msgpack.decode(value)
        for step in range(version, VERSION):
            plain = UPGRADES[step](plain)
        return msgspec.convert(plain, Customer)
    except (msgspec.DecodeError, KeyError) as error:
        raise StateError(f"a stored customer record can't be read: {error}") from error
