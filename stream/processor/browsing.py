"""The short way of most events: what is done in the shop short of buying, and what is said to it that needs no answer, put
into the stored record as it is.

Such an event adds a row to the log of messages and moves no timer but that of the cart, so a few bytes of the record change and
nobody has to decode it: what takes time is to touch memory, and this touches one piece of it. Whatever is out of the ordinary
goes the long way (`Customer.apply` and `CustomerWork.happened`), which ends in the same bytes and the same messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from stream.config import Settings
from stream.decisions.engine import NO_RULE, Engine
from stream.events.hashing import digest64
from stream.events.instants import DAY_MS
from stream.events.kinds import ComplaintOpened, Event, Reviewed
from stream.processor.customers import timed_by
from stream.rules.journey import mark
from stream.rules.rule import RuleSet
from stream.rules.schedule import NEVER_MS, Schedule
from stream.state.customer import WAYS, Customer, Way, encode, voice
from stream.state.layout import HEAD
from stream.state.messages import (
    BEFORE_CARTS,
    CHANNEL,
    ROW,
    TIME,
    Trace,
    cart_group,
    carts_without,
    is_filled,
    product_code,
)
from stream.state.notes import channel_code
from stream.state.packed import ID
from stream.state.part import DAMAGE
from stream.state.person import ACTIVE_DAYS, ALL_DAYS

MOST_MESSAGES = 1_024
"""Messages of a customer up to which there is a short way. Fewer: shops that remember many have none; more: longer tables of
headers for hardly anybody."""

_VIEWED, _CART_ADDED, _CART_SET = int(Trace.VIEWED), int(Trace.CART_ADDED), int(Trace.CART_SET)
_encode = msgspec.msgpack.Encoder().encode
_word = Struct("<q").unpack_from
_pack_row = Struct("<qII").pack
_UINT64, _PAIR, _SHORT_TEXT, _SHORT_BIN = 0xCF, 0x92, 0xA0 >> 5, 0xC4
"""MessagePack's marks of a number, an array of two, a text of less than 32 bytes and bytes that are less than 256."""
_NO_CARTS = b"\xc4\x00"
_HEAD_AT = 4
_PREFIX = encode(Customer())[:_HEAD_AT]
"""What every record starts with: the length of the array, the version, the length of the head."""
_MESSAGES_AT = _HEAD_AT + HEAD.size


def _bin(size: int) -> bytes:
    """The header of so many bytes in MessagePack."""
    return b"\xc4" + size.to_bytes(1, "big") if size < 256 else b"\xc5" + size.to_bytes(2, "big")


_IDS = tuple(_bin(count * ID) for count in range(MOST_MESSAGES + 1))
_ROWS = tuple(_bin(count * ROW) for count in range(MOST_MESSAGES + 1))
"""Headers of the columns of so many messages."""


class Short(NamedTuple):
    """All that the short way has to know of a kind of event, found by one look."""

    way: Way
    least_views: int
    """Views of its product without which no rule on it holds; `NO_RULE`: there is none."""
    may_be_answered: bool
    """There are rules on it, and the event is all that they look at."""
    moves_due: bool
    awaited: bytes
    """How a record says that a journey waits for it; empty: none ever does."""


class Browsing:
    """The short way under one shop's settings and rules."""

    def __init__(self, rules: RuleSet, settings: Settings) -> None:
        self._oldest_ms = settings.memory_message_days * DAY_MS
        self._most = settings.memory_messages
        self._timed_by = timed_by(rules, settings)
        self._hears = settings.sentiment_texts_per_day > 0
        self._schedule = Schedule(rules, settings)
        self._engine = Engine(rules, settings)
        self.ways: Mapping[type[Event], Short] = self._ways(self._engine)
        """The kinds that may go the short way."""

    def _ways(self, engine: Engine) -> dict[type[Event], Short]:
        if "last_activity" in self._schedule.on_person.any:
            return {}  # then everything moves timers
        complaints = self._schedule.occasions.by_complaints
        found = {
            kind: Short(
                way,
                engine.least_views(kind.kind),
                engine.looks_at_events(kind.kind),
                way.trace >= _CART_ADDED,
                mark(kind.kind).encode() if kind.kind in engine.rules.awaited else b"",
            )
            for kind, way in WAYS.items()
            if way.change is None and way.by_customer and not (complaints and kind is ComplaintOpened)
        }
        return {
            kind: short
            for kind, short in found.items()
            if short.least_views == NO_RULE
            or short.may_be_answered
            or (short.least_views and short.way.trace == _VIEWED)
        }

    def extended(self, value: bytes, event: Any, short: Short, topic: int, offset: int) -> tuple[bytes, int] | None:
        """The record with an event in it and when something is due next; ``None`` when it has to go the long way."""
        if not value.startswith(_PREFIX) or event.backfill:
            return None  # of an older version
        (
            count,
            timed_by,
            due_ms,
            rest_ms,
            created_ms,
            last_ms,
            last_day,
            active,
            floor_ms,
            floor_id,
            *stamps,
        ) = HEAD.unpack_from(value, _HEAD_AT)
        if timed_by != self._timed_by or not 0 < count < MOST_MESSAGES or 0 <= offset <= stamps[topic]:
            return None
        ids_at = _MESSAGES_AT + (2 if count < 32 else 3)
        ids_end = ids_at + count * ID
        rows_at = ids_end + (2 if count < 16 else 3)
        rows_end = rows_at + count * ROW
        time_ms: int = event.time_ms
        if (
            not value.startswith(_IDS[count], _MESSAGES_AT)
            or not value.startswith(_ROWS[count], ids_end)
            or time_ms <= last_ms
            or time_ms <= _word(value, rows_end - ROW)[0] >> TIME
        ):
            return None
        message = digest64(event.message_id)
        if value.find(message, ids_at, ids_end) >= 0:
            return None
        (content, seed, said, _, _, _, trace), least_views, may_be_answered, moves_due, awaited = short
        if said is not None and self._hears and type(event) is Reviewed and event.text:
            return None  # words are listened to
        if awaited and awaited in value:
            return None
        if may_be_answered and self._engine.may_answer(event, None):
            return None
        product = 0
        if trace == _VIEWED:
            product = product_code(event.product_id)
            if least_views > 0 and value[rows_at + ROW - 4 : rows_end : ROW].count(product & 0xFF) + 1 >= least_views:
                return None
        gone = b""
        oldest = (time_ms - self._oldest_ms) << TIME
        if count >= self._most or _word(value, rows_at)[0] < oldest:
            start = rows_at
            while start < rows_end and (_word(value, start)[0] < oldest or rows_end - start >= self._most * ROW):
                start += ROW
            left = (start - rows_at) // ROW
            if not value.startswith(_NO_CARTS, rows_end) and rest_ms < 0:
                return None  # an older Winback wrote it, and the long way finds out what waits besides the cart
            if value[rows_at:start:ROW].strip(BEFORE_CARTS):
                gone = value[ids_at : ids_at + left * ID]
            count -= left
            rows_at = start
            ids_at += left * ID
            floor_ms = _word(value, start - ROW)[0] >> TIME
            floor_id = value[ids_at - ID : ids_at]
        columns, rest_at = b"", rows_end
        if gone or moves_due:
            carts_at, carts_end = _column(value, rows_end)
            baskets_at, rest_at = _column(value, carts_end)
            carts, baskets = value[carts_at:carts_end], value[baskets_at:rest_at]
            if gone:
                kept = carts_without(carts, gone)
                if not moves_due and kept != carts:
                    return None  # the cart's timer may go with what leaves
                carts = kept
            if moves_due:
                lines = event.lines if trace == _CART_SET else (event.line,)
                carts = (b"" if trace == _CART_SET else carts) + cart_group(message, trace, lines)
                cart_ms = self._cart_due_ms(value, event) if is_filled(carts) else NEVER_MS
                if rest_ms < 0 or cart_ms < 0:
                    return None
                due_ms = min(rest_ms, cart_ms)
                if due_ms == NEVER_MS:
                    due_ms = 0
            columns = _bin(len(carts)) + carts + _bin(len(baskets)) + baskets
        voice_at, told = len(value), b""
        if said is not None:
            try:
                voice_at, told = voice(value, said, event, message)
            except DAMAGE:
                return None  # there it is told
        channel = channel_code(event.channel) if event.channel else 0
        body = crc32(_encode(content(event)), seed) or 1
        if offset >= 0:
            stamps[topic] = offset
        day = time_ms // DAY_MS
        if day != last_day or not active:
            active = (active << day - last_day | 1) & ALL_DAYS if day - last_day < ACTIVE_DAYS else 1
        count += 1
        return b"".join(
            (
                _PREFIX,
                HEAD.pack(
                    count,
                    timed_by,
                    due_ms,
                    rest_ms,
                    created_ms,
                    time_ms,
                    day,
                    active,
                    floor_ms,
                    floor_id,
                    *stamps,
                ),
                _IDS[count],
                value[ids_at:ids_end],
                message,
                _ROWS[count],
                value[rows_at:rows_end],
                _pack_row(time_ms << TIME | channel << CHANNEL | trace, body, product),
                columns,
                value[rest_at:voice_at],
                told,
            )
        ), due_ms

    def _cart_due_ms(self, value: bytes, event: Event) -> int:
        """When the first timer is due of a cart that has just changed; −1 when it may have been decided before."""
        earliest_ms = NEVER_MS
        for rule_id, due_ms in self._schedule.on_cart.dues(event.time_ms, event.customer):
            if _is_decided(value, rule_id, due_ms):
                return -1
            earliest_ms = min(earliest_ms, due_ms)
        return earliest_ms


def _is_decided(value: bytes, rule_id: bytes, due_ms: int) -> bool:
    """Whether a timer may have been decided of a customer at an instant or later: what `Memory.fired` has of it, read off the
    encoded record. Of the other place where a rule's id may be, `Memory.decided_ms`, nothing follows."""
    at = value.find(rule_id)
    while at >= 0:
        at += len(rule_id)
        if value[at] != _UINT64:
            end = at + 2 + (value[at + 1] & 0x1F)
            if value[at] != _PAIR or value[at + 1] >> 5 != _SHORT_TEXT or value[end] != _UINT64:
                return True  # nothing that we would write
            if int.from_bytes(value[end + 1 : end + 9], "big") >= due_ms:
                return True
        at = value.find(rule_id, at)
    return False


def _column(value: bytes, at: int) -> tuple[int, int]:
    """Where the bytes of a column start and end, by its header."""
    start = at + (2 if value[at] == _SHORT_BIN else 3)
    return start, start + int.from_bytes(value[at + 1 : start], "big")
