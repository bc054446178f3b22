"""A customer's record: facts, decisions and offset stamps, with its versioned codec and the way an event changes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from stream.config import Settings
from stream.errors import NewerVersionError
from stream.events import kinds
from stream.events.hashing import digest64, hash64
from stream.events.instants import DAY_MS
from stream.events.kinds import Event, Line
from stream.state import upgrades
from stream.state.memory import Memory, Population
from stream.state.messages import MessageLog, Seen, Trace, product_code
from stream.state.orders import Applied, OrderBook
from stream.state.part import DAMAGE, AtRest, empty, part, unreadable
from stream.state.person import Answer, Person, keep_answer

VERSION = 3
"""Version of the record's layout. Raise it with any change of a stored Struct and add a step to `UPGRADES`."""


class Customer(msgspec.Struct, array_like=True, gc=False):
    """Everything kept of one customer. Encoded as a MessagePack array that starts as `Head` has it."""

    version: int = VERSION
    next_due_ms: int = 0
    """When something about this customer is due next, 0 for never."""
    stamps: dict[int, int] = {}
    """Input topic number → offset of the last record applied."""
    memory: Memory = msgspec.field(default_factory=Memory)
    messages: MessageLog = msgspec.field(default_factory=MessageLog)
    _orders: AtRest = empty(OrderBook)
    person: Person = msgspec.field(default_factory=Person)

    @part
    def orders(self) -> OrderBook:  # type: ignore[empty-body]
        """All that is remembered of the orders."""

    def apply(self, event: Event, settings: Settings) -> Applied | Seen:
        """Folds an event into the facts, once; says what became of it. Never looks at decisions or clocks."""
        content, seed, change, has_own_identity, by_customer, trace = _WAYS[type(event)]
        time_ms = event.time_ms
        message = digest64(event.message_id)
        body = crc32(_encode(content(event)), seed) or 1
        messages = self.messages
        days = settings.memory_message_days
        seen, keep = _NEW, messages.append
        if not messages.is_next(message, time_ms):
            seen, keep = messages.look_up(message, body, time_ms, days), messages.add
            if seen is not _NEW and (seen is not _BEYOND_LOG or not has_own_identity):
                return seen
        applied = _CHANGED
        if change is not None:
            applied = change(self, event, message, settings)
            if applied is _BEYOND_BOOK:
                return applied
        if by_customer:
            self.person.active(time_ms, time_ms // DAY_MS)
        else:
            self.person.seen(time_ms)
        if seen is _NEW:
            facts: Any = event
            product = 0
            lines: Sequence[Line] = ()
            if trace == _VIEWED:
                product = product_code(facts.product_id)
            elif trace:
                lines = facts.lines if trace >= _CART_SET else (facts.line,)
            keep(message, body, time_ms, trace, product, lines, days, settings.memory_messages)
        return applied


def checksum(event: Event) -> int:
    """CRC-32 of an event's kind and content, never 0 (`NOT_KNOWN`). Without its time, which a re-send may correct, and
    without its id and customer, which are the same wherever two checksums are compared."""
    content, seed, *_ = _WAYS[type(event)]
    return crc32(_encode(content(event)), seed) or 1


def _purchase(c: Customer, e: kinds.Purchase, message: bytes, s: Settings) -> Applied:
    return c.orders.purchase(digest64(e.order_id), message, e.time_ms, e.amount_minor, s.memory_days, s.memory_orders)


def _refund(c: Customer, e: kinds.Refund, message: bytes, s: Settings) -> Applied:
    return c.orders.refund(
        digest64(e.order_id),
        message,
        e.time_ms,
        e.amount_minor,
        memory_days=s.memory_days,
        memory_orders=s.memory_orders,
    )


def _cancel(c: Customer, e: kinds.Cancellation, message: bytes, s: Settings) -> Applied:
    return c.orders.cancel(digest64(e.order_id), e.time_ms, memory_days=s.memory_days, memory_orders=s.memory_orders)


def _nps(c: Customer, e: kinds.NpsGiven, message: bytes, s: Settings) -> Applied:
    keep_answer(c.person.speaks().nps, Answer(e.time_ms, message, float(e.score)))
    return _CHANGED


def _csat(c: Customer, e: kinds.CsatGiven, message: bytes, s: Settings) -> Applied:
    keep_answer(c.person.speaks().csat, Answer(e.time_ms, message, float(e.score)))
    return _CHANGED


def _reviewed(c: Customer, e: kinds.Reviewed, message: bytes, s: Settings) -> Applied:
    if e.rating:
        keep_answer(c.person.speaks().ratings, Answer(e.time_ms, message, e.rating))
    return _CHANGED


def _complaint_opened(c: Customer, e: kinds.ComplaintOpened, message: bytes, s: Settings) -> Applied:
    c.person.open_complaint(hash64(e.complaint_id), e.time_ms)
    return _CHANGED


def _complaint_resolved(c: Customer, e: kinds.ComplaintResolved, message: bytes, s: Settings) -> Applied:
    c.person.resolve_complaint(hash64(e.complaint_id), e.time_ms)
    return _CHANGED


def _identified(c: Customer, e: kinds.Identified, message: bytes, s: Settings) -> Applied:
    for name in ("region", "language", "timezone", "birthday", "level"):
        c.person.set_trait(name, e.time_ms, getattr(e, name))
    for channel, granted in e.consent:
        c.person.set_consent(channel, e.time_ms, granted)
    return _CHANGED


def _consent(c: Customer, e: kinds.ConsentChanged, message: bytes, s: Settings) -> Applied:
    c.person.set_consent(e.consent_channel, e.time_ms, e.granted)
    return _CHANGED


def _outcome(c: Customer, e: kinds.Outcome, message: bytes, s: Settings) -> Applied:
    if e.status == "unsubscribed":
        c.person.set_consent(e.channel or "*", e.time_ms, False)
    return _CHANGED


_CHANGES: dict[type[Event], Callable[[Customer, Any, bytes, Settings], Applied]] = {
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

_TRACES: dict[type[Event], Trace] = {
    kinds.ProductViewed: Trace.VIEWED,
    kinds.CartAdded: Trace.CART_ADDED,
    kinds.CartRemoved: Trace.CART_REMOVED,
    kinds.CartViewed: Trace.CART_SET,
    kinds.CheckoutStarted: Trace.CART_SET,
    kinds.Purchase: Trace.BOUGHT,
}
"""What the log of messages keeps of each kind besides the id; of the others nothing."""

_NOT_CONTENT = frozenset(("message_id", "customer", "time_ms", "backfill"))
"""Fields that two sends of one message may differ in, or can't."""


class _Way(NamedTuple):
    """All that `Customer.apply` has to know of a kind of event, found by one look."""

    content: Callable[[Event], object]
    """The fields that make up the content."""
    seed: int
    """Where the checksum starts: an NPS answer of 5 and a CSAT answer of 5 have the same fields."""
    change: Callable[[Customer, Any, bytes, Settings], Applied] | None
    has_own_identity: bool
    by_customer: bool
    trace: int


def _way(kind: type[Event]) -> _Way:
    return _Way(
        content=attrgetter(*(name for name in kind.__struct_fields__ if name not in _NOT_CONTENT)),
        seed=crc32(kind.kind.encode()),
        change=_CHANGES.get(kind),
        has_own_identity=issubclass(kind, _HAS_OWN_IDENTITY),
        by_customer=kind in _DONE_BY_CUSTOMER,
        trace=int(_TRACES.get(kind, Trace.NONE)),
    )


_NEW, _BEYOND_LOG = Seen.NEW, Seen.BEYOND_MEMORY
_CHANGED, _BEYOND_BOOK = Applied.CHANGED, Applied.BEYOND_MEMORY
_VIEWED, _CART_SET = int(Trace.VIEWED), int(Trace.CART_SET)
_encode = msgspec.msgpack.Encoder().encode
_WAYS = {kind: _way(kind) for kind in kinds.KINDS}


# -- codec

UPGRADES: dict[int, Callable[[list[Any]], list[Any]]] = {1: upgrades.pack_columns, 2: upgrades.count_orders}
"""Version → step that turns a record of that version into one of the next, on the plain MessagePack array."""


class _MemoryHead(msgspec.Struct, array_like=True, gc=False):
    population: Population | None


class Head(msgspec.Struct, array_like=True, gc=False):
    """The first fields of an encoded record: all that an index or a population is rebuilt from, without the rest."""

    version: int
    """As stored."""
    next_due_ms: int
    """When something about this customer is due next, 0 for never."""
    stamps: dict[int, int]
    """Input topic number → offset of the last record applied."""
    memory: _MemoryHead

    @property
    def population(self) -> Population | None:
        """What the customer contributes to the population's histograms."""
        return self.memory.population


class _Version(msgspec.Struct, array_like=True, gc=False):
    version: int


_decoder = msgspec.msgpack.Decoder(Customer)
_head = msgspec.msgpack.Decoder(Head)
_version = msgspec.msgpack.Decoder(_Version)
_CURRENT = _encode(Customer())[:2]
"""How every record of this version starts: the length of the array and the version."""
_SAME_HEAD = (_CURRENT, b"\x97\x02")
"""The same of all versions whose head is laid out as this one's: a start of a worker upgrades no record that it needn't."""


def encode(customer: Customer) -> bytes:
    """The record as bytes, for the table and its changelog."""
    return _encode(customer)


def head(value: bytes) -> Head:
    """The head of an encoded record of any version; raises as `decode` does."""
    try:
        return _head.decode(value if value[:2] in _SAME_HEAD else _upgraded(value))
    except DAMAGE as error:
        raise unreadable(error) from error


def decode(value: bytes) -> Customer:
    """The record in bytes, brought to the current version.

    Raises `NewerVersionError` for a record that a newer Winback wrote and `StateError` for damaged bytes.
    """
    try:
        return _decoder.decode(value if value[:2] == _CURRENT else _upgraded(value))
    except DAMAGE as error:
        raise unreadable(error) from error


def _upgraded(value: bytes) -> bytes:
    """A record of an older version in the current layout."""
    version = _version.decode(value).version
    if version > VERSION:
        raise NewerVersionError(f"a stored record has version {version}, this Winback knows up to {VERSION}")
    plain = msgspec.msgpack.decode(value)
    for step in range(version, VERSION):
        plain = UPGRADES[step](plain)
    return _encode(plain)
