"""From bytes to an event, or to the reason why not. Never raises for what a sender did.

Takes bare Segment JSON, CloudEvents 1.0 in structured mode (``specversion`` inside the JSON) and in binary mode (``ce_*``
headers); attributes of the CloudEvent fill what the Segment message leaves out (id → messageId, time → timestamp,
subject → userId).
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from stream.config import Settings
from stream.events import kinds
from stream.events.instants import day_of, parse_ms, to_ms, to_text
from stream.events.kinds import Event
from stream.events.money import MOST_MINOR, Rates
from stream.events.record import Record
from stream.events.rejected import Ignored, Reason, Rejected, Stage
from stream.events.segment import (
    LONGEST_ID,
    MESSAGES,
    ActivityProperties,
    Builder,
    Envelope,
    Refusal,
    Traits,
    build_identified,
    plain_name,
    shortened,
)

BACKFILL_HEADER = "winback-backfill"
"""Header of imported history."""
BACKFILL_END_HEADER = "winback-backfill-end"
"""Header of the record with which an import ends on a partition."""

FIRST_MS = 1
"""No event is earlier, whatever the setting says: state keeps instants since 1970, with 0 for never."""
LAST_MS = parse_ms("2200-01-01")
"""No event is later, also where no clock is known. Later: a replay would close the days up to there one by one, and dates
counted from it may pass the year 9999."""

Decoded = Event | Rejected | Ignored

_TYPES = frozenset(("track", "identify", "page", "screen", "group", "alias"))
_PATH = re.compile(r"^(.*) - at `\$([^`]*)`$", re.DOTALL)
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(NaN|Infinity|inf|nan)\b")

_envelope = msgspec.json.Decoder(Envelope)
_traits = msgspec.json.Decoder(Traits)
_Handler = tuple[msgspec.json.Decoder[Any], Builder, str]
_handlers: dict[str, _Handler] = {
    spelling: (msgspec.json.Decoder(row.properties), row.build, row.name)
    for row in MESSAGES
    for spelling in (row.name, plain_name(row.name))
}
_presence: _Handler = (
    msgspec.json.Decoder(ActivityProperties),
    lambda p, common, money, name: kinds.Activity(**common, name=name),
    "page",
)


_NULL = msgspec.Raw(b"null")
_EMPTY = msgspec.Raw(b"{}")


class _When(msgspec.Struct, rename={"sent_at": "sentAt", "received_at": "receivedAt", "original": "originalTimestamp"}):
    """Only the clock fields of a message."""

    timestamp: datetime | None = None
    sent_at: datetime | None = None
    received_at: datetime | None = None
    original: datetime | None = None
    specversion: str | None = None
    time: datetime | None = None
    data: msgspec.Raw = msgspec.Raw()


_when = msgspec.json.Decoder(_When)


class Decoder:
    """Decodes records under one shop's settings.

    ``latest_ms`` refuses events after an instant (replay's ``--until``); without it an event is refused when it is more
    than ``settings.future_tolerance_ms`` ahead of its own record's time-stamp, if that is known (not negative).
    """

    def __init__(self, settings: Settings, rates: Rates | None = None, latest_ms: int | None = None) -> None:
        self._rates = rates or Rates(settings.currency)
        self._earliest_ms = max(FIRST_MS, parse_ms(settings.earliest_event))
        self._tolerance_ms = settings.future_tolerance_ms
        self._max_bytes = settings.max_record_bytes
        self._latest_ms = LAST_MS if latest_ms is None else min(LAST_MS, latest_ms)
        self._follows_records = latest_ms is None

    def decode(self, record: Record) -> Decoded:
        """The event in a record, or why there is none."""
        value = record.value
        if not value:
            if any(name == BACKFILL_END_HEADER for name, _ in record.headers):
                return Ignored("backfill_end")
            return Rejected(Stage.DECODE, Reason.EMPTY, "the record has no value")
        if len(value) > self._max_bytes:
            return Rejected(Stage.DECODE, Reason.TOO_LARGE, f"{len(value)} bytes are more than {self._max_bytes}")
        if not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError as error:
                return Rejected(Stage.DECODE, Reason.NOT_UTF8, f"byte {error.start}: {error.reason}")
        prefix = "$"
        try:
            envelope = _envelope.decode(value)
            if envelope.specversion is not None:
                prefix = "$.data"
                envelope = _structured(envelope)
            if record.headers:
                _fill_from_headers(envelope, record)
            return self._event(envelope, record, prefix)
        except Refusal as refusal:
            return Rejected(Stage.SCHEMA, Reason(refusal.reason), refusal.detail, refusal.field)
        except msgspec.ValidationError as error:
            return _rejected(str(error), prefix)
        except (msgspec.DecodeError, RecursionError) as error:
            if _NOT_FINITE.search(value):
                return Rejected(Stage.SCHEMA, Reason.NON_FINITE_MONEY, f"NaN and Infinity are not JSON: {error}")
            return Rejected(Stage.DECODE, Reason.NOT_JSON, str(error))

    def _event(self, envelope: Envelope, record: Record, prefix: str) -> Decoded:
        kind = envelope.type
        if kind not in _TYPES:
            shown = f"type {shortened(kind)!r}" if kind else "no type"
            return Rejected(Stage.DECODE, Reason.NOT_SEGMENT, f"{shown}: not a Segment message", f"{prefix}.type")
        handler: _Handler | None = None
        if kind == "track":
            name = envelope.event
            if not name:
                return Rejected(Stage.SCHEMA, Reason.MISSING_FIELD, "a track message needs an event", f"{prefix}.event")
            handler = _handlers.get(name) or _handlers.get(plain_name(name))
            if handler is None:
                return Ignored("unknown_event", name[:64])
        elif kind in ("page", "screen"):
            handler = _presence
        elif kind == "group":
            return Ignored("unknown_event", kind)
        common = self._common(envelope, record, prefix)
        if isinstance(common, Rejected):
            return common
        if handler is None:
            if kind == "alias":
                return kinds.Aliased(**common, previous=envelope.previous_id or "")
            try:
                return build_identified(_traits.decode(_EMPTY if envelope.traits == _NULL else envelope.traits), common)
            except msgspec.ValidationError as error:
                return _rejected(str(error), f"{prefix}.traits")
        decoder, build, name = handler
        inside = f"{prefix}.properties"
        raw = envelope.properties
        try:
            properties = decoder.decode(_EMPTY if raw == _NULL else raw)
            if properties.channel:
                common["channel"] = properties.channel
            money = partial(self._money, day=day_of(common["time_ms"]))
            return build(properties, common, money, name)
        except msgspec.ValidationError as error:
            return _rejected(str(error), inside)
        except Refusal as refusal:
            return Rejected(Stage.SCHEMA, Reason(refusal.reason), refusal.detail, f"{inside}.{refusal.field}")

    def _common(self, envelope: Envelope, record: Record, prefix: str) -> dict[str, Any] | Rejected:
        """Fields that every event has: who, which message, when."""
        if envelope.user_id:
            customer = envelope.user_id
        elif envelope.anonymous_id:
            customer = f"anon:{envelope.anonymous_id}"
        else:
            return Rejected(
                Stage.SCHEMA, Reason.NO_CUSTOMER, "neither userId nor anonymousId is given", f"{prefix}.userId"
            )
        if customer.startswith("\0"):
            detail = "a customer's key must not start with a zero character: such keys are Winback's own"
            return Rejected(Stage.SCHEMA, Reason.VALUE_OUT_OF_RANGE, detail, f"{prefix}.userId")
        if not envelope.message_id:
            return Rejected(Stage.SCHEMA, Reason.NO_MESSAGE_ID, "messageId is missing", f"{prefix}.messageId")
        at = envelope.timestamp
        if at is None:
            return Rejected(Stage.SCHEMA, Reason.NO_TIME, "timestamp is missing", f"{prefix}.timestamp")
        for field, instant in (("timestamp", at), ("sentAt", envelope.sent_at), ("receivedAt", envelope.received_at)):
            if instant is not None and instant.tzinfo is None:
                detail = f"{instant.isoformat()} has no time zone; write it with Z or an offset such as +08:00"
                return Rejected(Stage.SCHEMA, Reason.NO_ZONE, detail, f"{prefix}.{field}")
        time_ms = corrected_ms(at, envelope.sent_at, envelope.received_at, envelope.original_timestamp)
        if time_ms < self._earliest_ms:
            detail = f"{to_text(time_ms)} is before {to_text(self._earliest_ms)}"
            return Rejected(Stage.SCHEMA, Reason.TIME_OUT_OF_RANGE, detail, f"{prefix}.timestamp")
        latest_ms = self._latest_ms
        if self._follows_records and record.timestamp_ms >= 0:
            latest_ms = min(latest_ms, record.timestamp_ms + self._tolerance_ms)
        if time_ms > latest_ms:
            detail = f"{to_text(time_ms)} is after {to_text(latest_ms)}"
            return Rejected(Stage.SCHEMA, Reason.TIME_OUT_OF_RANGE, detail, f"{prefix}.timestamp")
        backfill = bool(record.headers) and any(name == BACKFILL_HEADER for name, _ in record.headers)
        return {"message_id": envelope.message_id, "customer": customer, "time_ms": time_ms, "backfill": backfill}

    def _money(self, amount: float | None, currency: str | None, field: str, *, day: int) -> int | None:
        if amount is None:
            return None
        code = (currency or "").upper()
        if code and not (len(code) == 3 and code.isascii() and code.isalpha()):
            raise Refusal(Reason.UNKNOWN_CURRENCY, "currency", f"{currency!r} is not an ISO 4217 code such as EUR")
        minor = self._rates.to_minor(amount, code, day)
        if minor is None:
            detail = f"no rate from {code} to {self._rates.currency} for that day; add one to the rates file"
            raise Refusal(Reason.NO_RATE, "currency", detail)
        if minor > MOST_MINOR:
            raise Refusal(Reason.MONEY_OUT_OF_RANGE, field, f"{amount:g} is more than {MOST_MINOR} minor units")
        return minor


def corrected_ms(
    at: datetime, sent_at: datetime | None, received_at: datetime | None, original: datetime | None
) -> int:
    """Event time, corrected for the sender's clock: timestamp + (receivedAt − sentAt).

    Only the message's own fields count, so that live and replay agree. With ``originalTimestamp`` the collector has
    corrected ``timestamp`` already (Segment "Spec: Common Fields", timestamps).
    """
    time_ms = to_ms(at)
    if sent_at is not None and received_at is not None and original is None:
        time_ms += to_ms(received_at) - to_ms(sent_at)
    return time_ms


def event_time_ms(record: Record) -> int | None:
    """The event time in a record, for merging topics by time; ``None`` when it can't be read. Doesn't validate."""
    if not record.value:
        return None
    try:
        when = _when.decode(record.value)
        outer = None
        if when.specversion is not None:
            outer = when.time
            when = _when.decode(when.data)
        at = when.timestamp or outer
        if at is None:
            at = next((datetime.fromisoformat(_text(v)) for k, v in record.headers if k == "ce_time"), None)
        if at is None:
            return None
        return corrected_ms(at, when.sent_at, when.received_at, when.original)
    except (msgspec.DecodeError, RecursionError, TypeError, ValueError):
        return None


def _structured(outer: Envelope) -> Envelope:
    """The Segment message inside a structured CloudEvent, filled from the CloudEvent's own attributes."""
    if outer.specversion != "1.0":
        raise Refusal(Reason.NOT_SEGMENT, "$.specversion", f"CloudEvents {outer.specversion} is not 1.0")
    if not outer.data or outer.data == _NULL:
        raise Refusal(Reason.NOT_SEGMENT, "$.data", "the CloudEvent carries no JSON data")
    try:
        inner = _envelope.decode(outer.data)
    except msgspec.ValidationError as error:
        raise _as_refusal(str(error), "$.data") from error
    inner.message_id = inner.message_id or _id(outer.id or "", "$.id")
    inner.timestamp = inner.timestamp or outer.time
    if not inner.user_id and not inner.anonymous_id:
        inner.user_id = _id(outer.subject or "", "$.subject")
    return inner


def _fill_from_headers(envelope: Envelope, record: Record) -> None:
    """CloudEvents binary mode: ``ce_*`` headers fill what the message leaves out."""
    for name, raw in record.headers:
        if not name.startswith("ce_"):
            continue
        where = f"header {name}"
        try:
            text = _text(raw)
        except UnicodeDecodeError as error:
            raise Refusal(Reason.WRONG_TYPE, where, str(error)) from error
        if name == "ce_id":
            envelope.message_id = envelope.message_id or _id(text, where)
        elif name == "ce_subject" and not envelope.user_id and not envelope.anonymous_id:
            envelope.user_id = _id(text, where)
        elif name == "ce_time" and envelope.timestamp is None:
            try:
                envelope.timestamp = datetime.fromisoformat(text)
            except ValueError as error:
                raise Refusal(Reason.BAD_TIME, where, str(error)) from error


def _text(header: bytes | None) -> str:
    """A header's value; Kafka allows a header without one."""
    return header.decode() if header else ""


def _id(text: str, field: str) -> str:
    """An id from outside the Segment message, held to the same length."""
    if len(text) > LONGEST_ID:
        raise Refusal(Reason.VALUE_OUT_OF_RANGE, field, f"{len(text)} characters are more than {LONGEST_ID}")
    return text


def _as_refusal(text: str, prefix: str) -> Refusal:
    """A validation error of msgspec as reason, field path and detail."""
    match = _PATH.match(text)
    detail, path = (match.group(1), match.group(2)) if match else (text, "")
    field = f"{prefix}{path}"
    if detail.startswith("Expected `object`, got") and not path and prefix in ("$", "$.data"):
        reason = Reason.NOT_SEGMENT
    elif detail.startswith("Object missing required field"):
        reason = Reason.MISSING_FIELD
        field = f"{field}.{detail.split('`')[1]}"
    elif detail.startswith("Expected `float` >="):
        reason = Reason.NEGATIVE_MONEY
    elif detail.startswith("Expected `float` <"):
        reason = Reason.MONEY_OUT_OF_RANGE
    elif detail.startswith("Number out of range"):
        reason = Reason.NON_FINITE_MONEY
    elif detail.startswith("Invalid RFC3339"):
        reason = Reason.BAD_TIME
    elif "of length" in detail or "`int` >=" in detail or "`int` <=" in detail or "Integer value" in detail:
        reason = Reason.VALUE_OUT_OF_RANGE
    elif path in (".timestamp", ".time"):
        reason = Reason.BAD_TIME
    else:
        reason = Reason.WRONG_TYPE
    return Refusal(reason, field, detail)


def _rejected(text: str, prefix: str) -> Rejected:
    refusal = _as_refusal(text, prefix)
    stage = Stage.DECODE if refusal.reason == Reason.NOT_SEGMENT else Stage.SCHEMA
    return Rejected(stage, Reason(refusal.reason), refusal.detail, refusal.field)
