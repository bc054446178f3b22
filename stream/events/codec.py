"""From bytes to an event, or to the reason why not. Never raises for what a sender did.

Takes bare Segment JSON, CloudEvents 1.0 in structured mode (``specversion`` inside the JSON) and in binary mode (``ce_*``
headers); attributes of the CloudEvent fill what the Segment message leaves out (id → messageId, time → timestamp,
subject → userId).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Union

import msgspec

from stream.config import Settings
from stream.events import kinds
from stream.events.cloudevents import NULL, envelopes, header_text, read_headers, unwrapped
from stream.events.instants import DAY_MS, EPOCH, day_of, parse_ms, to_ms, to_text
from stream.events.kinds import Event
from stream.events.money import MOST_MINOR, Rates
from stream.events.record import BACKFILL_END_HEADER, Record
from stream.events.rejected import Ignored, Reason, Refusal, Rejected, Stage, shortened
from stream.events.segment import MESSAGES, Builder, Money, activity, build_identified, plain_name
from stream.events.validation import rejected
from stream.events.wire import ActivityProperties, Common, Envelope, Track, Traits

FIRST_MS = 1
"""No event is earlier, whatever the setting says: state keeps instants since 1970, with 0 for never."""
LAST_MS = parse_ms("2200-01-01")
"""No event is later, also where no clock is known. Later: a replay would close the days up to there one by one, and dates
counted from it may pass the year 9999."""

Decoded = Event | Rejected | Ignored

_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(NaN|Infinity|inf|nan)\b")
_EMPTY = msgspec.Raw(b"{}")

_traits = msgspec.json.Decoder(Traits)
_Handler = tuple[msgspec.json.Decoder[Any], Builder]
_handlers: dict[str, _Handler] = {
    spelling: (msgspec.json.Decoder(row.properties), row.build)
    for row in MESSAGES
    for spelling in (row.name, plain_name(row.name))
}
_presence: _Handler = (msgspec.json.Decoder(ActivityProperties), activity("page"))

_builders: dict[type[msgspec.Struct], Builder] = {
    msgspec.defstruct(
        row.name.replace(" ", ""),
        [("properties", row.properties)],
        bases=(Track,),
        tag_field="event",
        tag=row.name,
        kw_only=True,
        gc=False,
    ): row.build
    for row in MESSAGES
}
"""The builder of each message of the contract, by a type of the whole message with its properties in it."""
_tracked: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[tuple(_builders)])  # noqa: UP007


class _When(
    msgspec.Struct, gc=False, rename={"sent_at": "sentAt", "received_at": "receivedAt", "original": "originalTimestamp"}
):
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
        self._money = _taker(rates or Rates(settings.currency))
        self._earliest_ms = max(FIRST_MS, parse_ms(settings.earliest_event))
        self._tolerance_ms = settings.future_tolerance_ms
        self._max_bytes = settings.max_record_bytes
        self._latest_ms = LAST_MS if latest_ms is None else min(LAST_MS, latest_ms)
        self._follows_records = latest_ms is None

    def decode(self, record: Record) -> Decoded:
        """The event in a record, or why there is none."""
        value = record.value
        # What is just as the contract has it takes one pass over the bytes. Anything else, good or bad, is taken step by step.
        if value and not record.headers and len(value) <= self._max_bytes and b'"track"' in value and value.isascii():
            try:
                message = _tracked.decode(value)
                customer = message.user_id or f"anon:{message.anonymous_id or ''}"
                if message.sent_at is None and message.received_at is None:
                    since = message.timestamp - EPOCH
                    time_ms = since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000  # `to_ms`
                    latest_ms = record.timestamp_ms + self._tolerance_ms
                    if record.timestamp_ms < 0 or latest_ms > self._latest_ms or not self._follows_records:
                        latest_ms = self._latest_ms
                    is_in_time = self._earliest_ms <= time_ms <= latest_ms
                else:
                    time_ms = self._time_ms(message, record, "$")
                    is_in_time = True
                if is_in_time and customer[0] != "\0" and customer != "anon:":
                    build = _builders[type(message)]
                    return build(message.properties, message.message_id, customer, time_ms, False, self._money)
            except (msgspec.DecodeError, RecursionError, Refusal):
                pass
        return self._step_by_step(record)

    def _step_by_step(self, record: Record) -> Decoded:
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
        prefix, backfill = "$", False
        try:
            envelope = envelopes.decode(value)
            if envelope.specversion is not None:
                prefix = "$.data"
                envelope = unwrapped(envelope)
            if record.headers:
                backfill = read_headers(envelope, record.headers)
            return self._event(envelope, record, prefix, backfill)
        except Refusal as refusal:
            return Rejected(Stage.SCHEMA, refusal.reason, refusal.detail, refusal.field)
        except msgspec.ValidationError as error:
            return rejected(str(error), prefix)
        except (msgspec.DecodeError, RecursionError) as error:
            if _NOT_FINITE.search(value):
                return Rejected(Stage.SCHEMA, Reason.NON_FINITE_MONEY, f"NaN and Infinity are not JSON: {error}")
            return Rejected(Stage.DECODE, Reason.NOT_JSON, str(error))

    def _event(self, envelope: Envelope, record: Record, prefix: str, backfill: bool) -> Decoded:
        kind = envelope.type
        handler: _Handler | None = None
        if kind == "track":
            name = envelope.event
            if not name:
                raise Refusal(Reason.MISSING_FIELD, f"{prefix}.event", "a track message needs an event")
            handler = _handlers.get(name) or _handlers.get(plain_name(name))
            if handler is None:
                return Ignored("unknown_event", name[:64])
        elif kind in ("page", "screen"):
            handler = _presence
        elif kind == "group":
            return Ignored("unknown_event", kind)
        elif kind not in ("identify", "alias"):
            shown = f"type {shortened(kind)!r}" if kind else "no type"
            return Rejected(Stage.DECODE, Reason.NOT_SEGMENT, f"{shown}: not a Segment message", f"{prefix}.type")

        customer = envelope.user_id or (f"anon:{envelope.anonymous_id}" if envelope.anonymous_id else "")
        if not customer:
            raise Refusal(Reason.NO_CUSTOMER, f"{prefix}.userId", "neither userId nor anonymousId is given")
        if customer[0] == "\0":
            detail = "a customer's key must not start with a zero character: such keys are Winback's own"
            raise Refusal(Reason.VALUE_OUT_OF_RANGE, f"{prefix}.userId", detail)
        if not envelope.message_id:
            raise Refusal(Reason.NO_MESSAGE_ID, f"{prefix}.messageId", "messageId is missing")
        time_ms = self._time_ms(envelope, record, prefix)

        if handler is None:
            if kind == "alias":
                previous = envelope.previous_id or ""
                return kinds.Aliased(envelope.message_id, customer, time_ms, backfill, previous=previous)
            traits = _EMPTY if envelope.traits == NULL else envelope.traits
            try:
                return build_identified(_traits.decode(traits), envelope.message_id, customer, time_ms, backfill)
            except msgspec.ValidationError as error:
                return rejected(str(error), f"{prefix}.traits")
        decoder, build = handler
        raw = envelope.properties
        try:
            properties = decoder.decode(_EMPTY if raw == NULL else raw)
            return build(properties, envelope.message_id, customer, time_ms, backfill, self._money)
        except msgspec.ValidationError as error:
            return rejected(str(error), f"{prefix}.properties")
        except Refusal as refusal:
            refusal.field = f"{prefix}.properties.{refusal.field}"
            raise

    def _time_ms(self, envelope: Common, record: Record, prefix: str) -> int:
        """Event time of a message, within what the shop's settings and the record's own time-stamp allow."""
        at, sent_at, received_at = envelope.timestamp, envelope.sent_at, envelope.received_at
        if at is None:
            raise Refusal(Reason.NO_TIME, f"{prefix}.timestamp", "timestamp is missing")
        if at.tzinfo is None:
            raise _no_zone(at, f"{prefix}.timestamp")
        time_ms = to_ms(at)
        if sent_at is not None or received_at is not None:
            if sent_at is not None and sent_at.tzinfo is None:
                raise _no_zone(sent_at, f"{prefix}.sentAt")
            if received_at is not None and received_at.tzinfo is None:
                raise _no_zone(received_at, f"{prefix}.receivedAt")
            time_ms += skew_ms(sent_at, received_at, envelope.original_timestamp)
        latest_ms = self._latest_ms
        if self._follows_records and 0 <= record.timestamp_ms < latest_ms - self._tolerance_ms:
            latest_ms = record.timestamp_ms + self._tolerance_ms
        if self._earliest_ms <= time_ms <= latest_ms:
            return time_ms
        if time_ms < self._earliest_ms:
            detail = f"{to_text(time_ms)} is before {to_text(self._earliest_ms)}"
        else:
            detail = f"{to_text(time_ms)} is after {to_text(latest_ms)}"
        raise Refusal(Reason.TIME_OUT_OF_RANGE, f"{prefix}.timestamp", detail)


def _taker(rates: Rates) -> Money:
    """How amounts are taken under a shop's rates; a function of its own, as it is called several times for an order."""
    own, scale = rates.currency, rates.scale

    def money(amount: float | None, currency: str | None, field: str, time_ms: int) -> int | None:
        if amount is None:
            return None
        if currency is None or currency == own:
            minor = round(amount * scale)
        else:
            minor = _converted(rates, amount, currency, time_ms)
        if minor > MOST_MINOR:
            raise Refusal(Reason.MONEY_OUT_OF_RANGE, field, f"{amount:g} is more than {MOST_MINOR} minor units")
        return minor

    return money


def _converted(rates: Rates, amount: float, currency: str, time_ms: int) -> int:
    """An amount whose currency is written down, which may be the shop's in small letters."""
    code = currency.upper()
    if code and not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise Refusal(Reason.UNKNOWN_CURRENCY, "currency", f"{currency!r} is not an ISO 4217 code such as EUR")
    minor = rates.to_minor(amount, code, day_of(time_ms))
    if minor is None:
        detail = f"no rate from {code} to {rates.currency} for that day; add one to the rates file"
        raise Refusal(Reason.NO_RATE, "currency", detail)
    return minor


def _no_zone(instant: datetime, field: str) -> Refusal:
    detail = f"{instant.isoformat()} has no time zone; write it with Z or an offset such as +08:00"
    return Refusal(Reason.NO_ZONE, field, detail)


def skew_ms(sent_at: datetime | None, received_at: datetime | None, original: datetime | None) -> int:
    """What the sender's clock is behind, to be added to ``timestamp``: receivedAt − sentAt.

    Only the message's own fields count, so that live and replay agree. With ``originalTimestamp`` the collector has
    corrected ``timestamp`` already (Segment "Spec: Common Fields", timestamps).
    """
    if sent_at is None or received_at is None or original is not None:
        return 0
    return to_ms(received_at) - to_ms(sent_at)


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
            at = next((datetime.fromisoformat(header_text(v)) for k, v in record.headers if k == "ce_time"), None)
        if at is None:
            return None
        return to_ms(at) + skew_ms(when.sent_at, when.received_at, when.original)
    except (msgspec.DecodeError, RecursionError, TypeError, ValueError):
        return None
