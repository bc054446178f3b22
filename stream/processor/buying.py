"""The short way of an ordinary purchase: a new order, later than all that is known of the customer.

It is most of what purchases are, and of all that may follow from one there is only this: the order enters the book, the cart
is empty, the population has a share that moved, and timers count from another instant. So the record is opened for that alone
and closed again. Whatever is out of the ordinary goes the long way (`Customer.apply` and `CustomerWork.happened`), which ends
in the same bytes and the same messages.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from stream.config import Settings
from stream.events.hashing import digest64, hash64
from stream.events.instants import DAY_MS
from stream.events.kinds import Purchase
from stream.outcome import Outcome
from stream.processor.customers import CustomerWork
from stream.rules.journey import mark
from stream.rules.occasions import decided_until_ms
from stream.rules.rule import RuleSet
from stream.rules.schedule import NEVER_MS
from stream.state.customer import WAYS, Customer, encode
from stream.state.layout import HEAD
from stream.state.messages import MessageLog, Trace
from stream.state.notes import channel_code, note_of
from stream.state.opened import decode as opened
from stream.state.opened import encode as closed
from stream.state.orders import Applied
from stream.state.part import DAMAGE
from stream.state.person import Person, later_activity, voice_in
from stream.state.purchases import Purchases

_BOUGHT = int(Trace.BOUGHT)
_CHANGED = Applied.CHANGED
_encode = msgspec.msgpack.Encoder().encode
_content, _seed = WAYS[Purchase].content, WAYS[Purchase].seed
_HEAD_AT = 4
_PREFIX = encode(Customer())[:_HEAD_AT]


class Buying:
    """The short way of purchases under one shop's settings and rules."""

    def __init__(self, rules: RuleSet, settings: Settings, work: CustomerWork) -> None:
        self._settings = settings
        self._work = work
        self._deadlines = work.deadlines
        self._timed_by = work.timed_by
        self._has_occasions = work.deadlines.schedule.occasions.any
        self._is_asked = Purchase.kind in rules.on_event
        self.is_open = work.is_told_by_event(Purchase.kind) and not work.deadlines.by_activity
        """Some rules have to be asked at each purchase: then there is no short way."""
        self._awaited = mark(Purchase.kind).encode() if Purchase.kind in rules.awaited else b""
        """How a record says that a journey waits for a purchase; empty: none ever does."""

    def extended(
        self, value: bytes, event: Purchase, topic: int, offset: int, now_ms: int, out: Outcome
    ) -> tuple[bytes, int] | None:
        """The record with a purchase in it and when something is due next; ``None`` when it has to go the long way."""
        if not value.startswith(_PREFIX) or event.backfill:
            return None  # of an older version
        _, timed_by, next_ms, rest_ms, created_ms, last_ms, last_day, active, floor_ms, floor_id, *stamps = (
            HEAD.unpack_from(value, _HEAD_AT)
        )
        time_ms = event.time_ms
        if timed_by != self._timed_by or 0 <= offset <= stamps[topic] or time_ms <= last_ms:
            return None  # mostly late ones: told before anything is opened
        if self._awaited and self._awaited in value:
            return None
        if self._is_asked and self._work.may_answer(event):
            return None
        try:
            record = opened(value)
        except DAMAGE:
            return None  # there it is told
        memory, book, settings = record.memory, record.orders, self._settings
        as_of_ms = max(now_ms, time_ms)
        day, own_day = as_of_ms // DAY_MS, time_ms // DAY_MS
        if not self._work.scorer.is_settled(day - own_day, memory.alert_armed):
            return None
        message = digest64(event.message_id)
        messages = MessageLog(record.ids, record.rows, record.carts, record.baskets, floor_ms, floor_id)
        if not messages.is_next(message, time_ms):
            return None
        applied = book.purchase(
            digest64(event.order_id),
            message,
            time_ms,
            event.amount_minor,
            settings.memory_days,
            settings.memory_orders,
            note_of(event),
        )
        if applied is not _CHANGED or book.figures.last_ms != time_ms:
            return None
        if event.lines and self._work.baskets.is_on and not memory.suspect:
            self._work.baskets.add(event, message, record.baskets)
        body = crc32(_encode(_content(event)), _seed) or 1
        messages.append(
            message,
            body,
            time_ms,
            _BOUGHT,
            0,
            event.lines,
            settings.memory_message_days,
            settings.memory_messages,
            channel_code(event.channel) if event.channel else 0,
        )
        customer_id = event.customer
        purchases = Purchases(book)
        customer_hash = hash64(customer_id)
        deadlines = self._deadlines
        due_ms = deadlines.on_orders_ms(purchases, memory, customer_hash, 0, memory.pending_ms or NEVER_MS)
        due_ms = deadlines.schedule.on_person.next_ms((created_ms, time_ms), purchases, memory, customer_hash, due_ms)
        voice = voice_in(record.voice)
        if self._has_occasions:
            person = Person(created_ms, time_ms, 0, 0, record.traits, record.consent)
            person.voice = voice
            decided_ms = decided_until_ms(rest_ms, next_ms, as_of_ms)
            due_ms = deadlines.occasions_ms(customer_id, customer_hash, person, purchases, memory, decided_ms, due_ms)
        if offset >= 0:
            stamps[topic] = offset
        if own_day != last_day or not active:
            active = later_activity(active, own_day - last_day)
        record.head = HEAD.pack(
            len(messages.ids) >> 3,
            timed_by,
            0 if due_ms == NEVER_MS else due_ms,
            due_ms,
            created_ms,
            time_ms,
            own_day,
            active,
            messages.floor_ms,
            messages.floor_id,
            *stamps,
        )
        record.ids, record.rows = messages.ids, messages.rows
        record.carts, record.baskets = messages.carts, messages.baskets
        census, before = self._work.census, memory.population
        last_nps = voice.nps[-1].value if voice is not None and voice.nps else -1
        standing = census.standing(purchases, day, before, customer_hash, last_nps, day - own_day)
        memory.population = census.count(customer_id, before, purchases, standing, as_of_ms, out, memory.suspect)
        return closed(record), 0 if due_ms == NEVER_MS else due_ms
