"""A customer's record: facts, decisions and offset stamps, with its versioned codec and the way an event changes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from stream.state.layout import HEAD, TOPICS
from stream.state.memory import Memory, Population
from stream.state.messages import MessageLog, Seen, Trace, product_code
from stream.state.notes import channel_code, note_of
from stream.state.orders import Applied, OrderBook
from stream.state.packed import ID
from stream.state.part import DAMAGE, NOTHING, AtRest, empty, part, unreadable
from stream.state.person import Answer, Person, keep_answer

TRAITS = ("region", "language", "timezone", "birthday", "level", "membership_expires", "referred_by")
"""What is kept of what ``identify`` says, besides consent."""
VERSION = 4
"""Version of the record's layout. Raise it with any change of a stored Struct and add a step to `UPGRADES`."""


class Customer(msgspec.Struct, gc=False):
    """Everything kept of one customer; `stream.state.layout` has how it is stored."""

    version: int = VERSION
    next_due_ms: int = 0
    """When something about this customer is due next, 0 for never."""
    rest_due_ms: int = -1
    """When something is due that doesn't hang on the cart; −1: not known."""
    timed_by: int = 0
    """Which timers the two were found with (a hash of rules and settings): while they are the same, an event that moves none of
    them need not look at any. 0: they have to be found anew."""
    stamps: list[int] = msgspec.field(default_factory=lambda: [-1] * TOPICS)
    """Offset of the last record applied, by number of the input topic; −1: none was."""
    memory: Memory = msgspec.field(default_factory=Memory)
    messages: MessageLog = msgspec.field(default_factory=MessageLog)
    _orders: AtRest = empty(OrderBook)
    person: Person = msgspec.field(default_factory=Person)

    @part
    def orders(self) -> OrderBook:  # type: ignore[empty-body]
        """All that is remembered of the orders."""

    def apply(self, event: Event, settings: Settings) -> Applied | Seen:
        """Folds an event into the facts, once; says what became of it. Never looks at decisions or clocks."""
        content, seed, said, change, has_own_identity, by_customer, trace = WAYS[type(event)]
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
        if said is not None:
            said(self.person, event, message)
        elif change is not None:
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
            channel = channel_code(event.channel) if by_customer and event.channel else 0
            keep(message, body, time_ms, trace, product, lines, days, settings.memory_messages, channel)
        return applied


def checksum(event: Event) -> int:
    """CRC-32 of an event's kind and content, never 0 (`NOT_KNOWN`). Without its time, which a re-send may correct, and
    without its id and customer, which are the same wherever two checksums are compared."""
    content, seed, *_ = WAYS[type(event)]
    return crc32(_encode(content(event)), seed) or 1


def _purchase(c: Customer, e: kinds.Purchase, message: bytes, s: Settings) -> Applied:
    return c.orders.purchase(
        digest64(e.order_id), message, e.time_ms, e.amount_minor, s.memory_days, s.memory_orders, note_of(e)
    )


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


def _nps(person: Person, e: kinds.NpsGiven, message: bytes) -> None:
    keep_answer(person.speaks().nps, Answer(e.time_ms, message, float(e.score)))


def _csat(person: Person, e: kinds.CsatGiven, message: bytes) -> None:
    keep_answer(person.speaks().csat, Answer(e.time_ms, message, float(e.score)))


def _reviewed(person: Person, e: kinds.Reviewed, message: bytes) -> None:
    if e.rating:
        keep_answer(person.speaks().ratings, Answer(e.time_ms, message, e.rating))


def _complaint_opened(person: Person, e: kinds.ComplaintOpened, message: bytes) -> None:
    person.open_complaint(hash64(e.complaint_id), e.time_ms)


def _complaint_resolved(person: Person, e: kinds.ComplaintResolved, message: bytes) -> None:
    person.resolve_complaint(hash64(e.complaint_id), e.time_ms)


def _identified(c: Customer, e: kinds.Identified, message: bytes, s: Settings) -> Applied:
    for name in TRAITS:
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
    elif e.channel in _CHANNELS and e.status in _SIGNS:
        c.person.reached(
            e.channel, e.time_ms, bounced=e.status == "bounced", answered=e.status not in ("bounced", "delivered")
        )
    if e.status in _ANSWERS:
        c.person.engaged(e.time_ms)
    if e.status == "converted":
        order = digest64(e.order_id) if e.order_id else b""
        c.person.converted((e.time_ms, digest64(e.action_id), order, e.amount_minor))
    return _CHANGED


_CHANNELS = frozenset(("email", "sms", "push", "app", "wechat", "call"))
"""Channels whose outcomes are kept: a sender could otherwise invent some without end."""
_SIGNS = frozenset(("delivered", "opened", "clicked", "converted", "bounced"))
_ANSWERS = frozenset(("opened", "clicked", "converted"))

Said = Callable[[Person, Any, bytes], None]
"""Takes an event with a message id into a person's feedback, and into nothing else."""
_SAID: dict[type[Event], Said] = {
    kinds.NpsGiven: _nps,
    kinds.CsatGiven: _csat,
    kinds.Reviewed: _reviewed,
    kinds.ComplaintOpened: _complaint_opened,
    kinds.ComplaintResolved: _complaint_resolved,
}
_CHANGES: dict[type[Event], Callable[[Customer, Any, bytes, Settings], Applied]] = {
    kinds.Purchase: _purchase,
    kinds.OrderUpdated: _purchase,
    kinds.Refund: _refund,
    kinds.Cancellation: _cancel,
    kinds.Identified: _identified,
    kinds.ConsentChanged: _consent,
    kinds.Outcome: _outcome,
}
"""What each kind of event changes besides the log of messages, for those that don't only say something (`_SAID`)."""

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


_LATER_CONTENT: dict[type[Event], tuple[str, ...]] = {
    kinds.Identified: ("membership_expires", "referred_by"),
    kinds.Outcome: ("order_id", "amount_minor"),
}
"""Fields that kinds have got since their first records: content only where something is said, so that a message that was
remembered before is known again."""


class Way(NamedTuple):
    """All that has to be known of a kind of event to fold it in, found by one look."""

    content: Callable[[Event], object]
    """The fields that make up the content."""
    seed: int
    """Where the checksum starts: an NPS answer of 5 and a CSAT answer of 5 have the same fields."""
    said: Said | None
    change: Callable[[Customer, Any, bytes, Settings], Applied] | None
    has_own_identity: bool
    by_customer: bool
    trace: int


def _content(kind: type[Event]) -> Callable[[Event], object]:
    later = _LATER_CONTENT.get(kind, ())
    ever = attrgetter(*(name for name in kind.__struct_fields__ if name not in _NOT_CONTENT and name not in later))
    if not later:
        return ever
    more = attrgetter(*later)

    def content(event: Event) -> object:
        said = more(event)
        return (*ever(event), *said) if any(said) else ever(event)

    return content


def _way(kind: type[Event]) -> Way:
    return Way(
        content=_content(kind),
        seed=crc32(kind.kind.encode()),
        said=_SAID.get(kind),
        change=_CHANGES.get(kind),
        has_own_identity=issubclass(kind, _HAS_OWN_IDENTITY),
        by_customer=kind in _DONE_BY_CUSTOMER,
        trace=int(_TRACES.get(kind, Trace.NONE)),
    )


_NEW, _BEYOND_LOG = Seen.NEW, Seen.BEYOND_MEMORY
_CHANGED, _BEYOND_BOOK = Applied.CHANGED, Applied.BEYOND_MEMORY
_VIEWED, _CART_SET = int(Trace.VIEWED), int(Trace.CART_SET)
_encode = msgspec.msgpack.Encoder().encode
WAYS: Mapping[type[Event], Way] = {kind: _way(kind) for kind in kinds.KINDS}


# -- codec

UPGRADES: dict[int, Callable[[list[Any]], list[Any]]] = {
    1: upgrades.pack_columns,
    2: upgrades.count_orders,
    3: upgrades.add_plans,
}
"""Version → step that turns a record of that version into one of the next, on the plain MessagePack array."""


class _Stored(msgspec.Struct, array_like=True, gc=False):
    """The record as it is stored."""

    version: int
    head: bytes
    ids: bytes
    rows: bytes
    carts: bytes
    baskets: bytes
    memory: Memory
    orders: AtRest
    traits: AtRest
    consent: AtRest
    voice: AtRest


class _MemoryHead(msgspec.Struct, array_like=True, gc=False):
    population: Population | None


class _StoredHead(msgspec.Struct, array_like=True, gc=False):
    """As `_Stored`, up to the population."""

    version: int
    head: bytes
    ids: AtRest
    rows: AtRest
    carts: AtRest
    baskets: AtRest
    memory: _MemoryHead


class _StoredVoice(msgspec.Struct, array_like=True, gc=False):
    """As `_Stored`, with nothing opened: to find the feedback, which is the last."""

    version: int
    head: AtRest
    ids: AtRest
    rows: AtRest
    carts: AtRest
    baskets: AtRest
    memory: AtRest
    orders: AtRest
    traits: AtRest
    consent: AtRest
    voice: AtRest


class Head(NamedTuple):
    """All of a record that an index or a population is rebuilt from, without the rest."""

    next_due_ms: int
    """When something about this customer is due next, 0 for never."""
    stamps: Sequence[int]
    """Offset of the last record applied, by number of the input topic."""
    population: Population | None
    """What the customer contributes to the population's histograms."""


class _Version(msgspec.Struct, array_like=True, gc=False):
    version: int


_orders, _parts = attrgetter("_orders"), attrgetter("_traits", "_consent", "_voice")
"""At rest or open, as they are."""
_decoder = msgspec.msgpack.Decoder(_Stored)
_head = msgspec.msgpack.Decoder(_StoredHead)
_voice = msgspec.msgpack.Decoder(_StoredVoice)
_version = msgspec.msgpack.Decoder(_Version)


def encode(customer: Customer) -> bytes:
    """The record as bytes, for the table and its changelog."""
    messages, person = customer.messages, customer.person
    head = HEAD.pack(
        len(messages.ids) // ID,
        customer.timed_by,
        customer.next_due_ms,
        customer.rest_due_ms,
        person.created_ms,
        person.last_activity_ms,
        person.active_day,
        person.active_bits,
        messages.floor_ms,
        messages.floor_id,
        *customer.stamps,
    )
    return _encode(
        (
            customer.version,
            head,
            messages.ids,
            messages.rows,
            messages.carts,
            messages.baskets,
            customer.memory,
            _orders(customer),
            *_parts(person),
        )
    )


def voice(value: bytes, said: Said, event: Event, message: bytes) -> tuple[int, bytes]:
    """Where the feedback starts in an encoded record of this version, which ends with it, and the feedback with one event more."""
    at_rest = _voice.decode(value).voice
    person = Person(0, 0, 0, 0, NOTHING, NOTHING, at_rest)
    said(person, event, message)
    return len(value) - len(at_rest), _encode(_parts(person)[-1])


def head(value: bytes) -> Head:
    """The head of an encoded record of any version; raises as `decode` does."""
    try:
        stored = _head.decode(value if value[:2] == _CURRENT else _upgraded(value))
        _, _, next_due_ms, _, _, _, _, _, _, _, *stamps = HEAD.unpack(stored.head)
        return Head(next_due_ms, stamps, stored.memory.population)
    except DAMAGE as error:
        raise unreadable(error) from error


def decode(value: bytes) -> Customer:
    """The record in bytes, brought to the current version.

    Raises `NewerVersionError` for a record that a newer Winback wrote and `StateError` for damaged bytes.
    """
    try:
        stored = _decoder.decode(value if value[:2] == _CURRENT else _upgraded(value))
        (
            _,
            timed_by,
            next_due_ms,
            rest_due_ms,
            created_ms,
            last_activity_ms,
            active_day,
            active_bits,
            floor_ms,
            floor_id,
            *stamps,
        ) = HEAD.unpack(stored.head)
    except DAMAGE as error:
        raise unreadable(error) from error
    return Customer(
        stored.version,
        next_due_ms,
        rest_due_ms,
        timed_by,
        stamps,
        stored.memory,
        MessageLog(stored.ids, stored.rows, stored.carts, stored.baskets, floor_ms, floor_id),
        stored.orders,
        Person(
            created_ms,
            last_activity_ms,
            active_day,
            active_bits,
            stored.traits,
            stored.consent,
            stored.voice,
        ),
    )


_CURRENT = encode(Customer())[:2]
"""How every record of this version starts: the length of the array and the version."""


def _upgraded(value: bytes) -> bytes:
    """A record of an older version in the current layout."""
    version = _version.decode(value).version
    if version > VERSION:
        raise NewerVersionError(f"a stored record has version {version}, this Winback knows up to {VERSION}")
    plain = msgspec.msgpack.decode(value)
    for step in range(version, VERSION):
        plain = UPGRADES[step](plain)
    return _encode(plain)
