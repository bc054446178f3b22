"""CloudEvents 1.0 around a Segment message: structured mode (all in the JSON) and binary mode (``ce_*`` headers).

Attributes of the CloudEvent fill what the message leaves out: id → messageId, time → timestamp, subject → userId.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from stream.events.record import BACKFILL_HEADER, Headers
from stream.events.rejected import Reason, Refusal
from stream.events.validation import as_refusal
from stream.events.wire import LONGEST_ID, Envelope

NULL = msgspec.Raw(b"null")

envelopes = msgspec.json.Decoder(Envelope)


def unwrapped(outer: Envelope) -> Envelope:
    """The Segment message inside a structured CloudEvent, filled from the CloudEvent's own attributes."""
    if outer.specversion != "1.0":
        raise Refusal(Reason.NOT_SEGMENT, "$.specversion", f"CloudEvents {outer.specversion} is not 1.0")
    if not outer.data or outer.data == NULL:
        raise Refusal(Reason.NOT_SEGMENT, "$.data", "the CloudEvent carries no JSON data")
    try:
        inner = envelopes.decode(outer.data)
    except msgspec.ValidationError as error:
        raise as_refusal(str(error), "$.data") from error
    inner.message_id = inner.message_id or _id(outer.id or "", "$.id")
    inner.timestamp = inner.timestamp or outer.time
    if not inner.user_id and not inner.anonymous_id:
        inner.user_id = _id(outer.subject or "", "$.subject")
    return inner


def read_headers(envelope: Envelope, headers: Headers) -> bool:
    """CloudEvents binary mode: ``ce_*`` headers fill what the message leaves out. Says whether this is imported history."""
    backfill = False
    for name, raw in headers:
        if name[:3] != "ce_":
            backfill = backfill or name == BACKFILL_HEADER
            continue
        try:
            text = raw.decode() if raw else ""
        except UnicodeDecodeError as error:
            raise Refusal(Reason.WRONG_TYPE, f"header {name}", str(error)) from error
        if name == "ce_id":
            envelope.message_id = envelope.message_id or _id(text, "header ce_id")
        elif name == "ce_subject" and not envelope.user_id and not envelope.anonymous_id:
            envelope.user_id = _id(text, "header ce_subject")
        elif name == "ce_time" and envelope.timestamp is None:
            try:
                envelope.timestamp = datetime.fromisoformat(text)
            except ValueError as error:
                raise Refusal(Reason.BAD_TIME, "header ce_time", str(error)) from error
    return backfill


def header_text(header: bytes | None) -> str:
    """A header's value; Kafka allows a header without one."""
    return header.decode() if header else ""


def _id(text: str, field: str) -> str:
    """An id from outside the Segment message, held to the same length."""
    if len(text) > LONGEST_ID:
        raise Refusal(Reason.VALUE_OUT_OF_RANGE, field, f"{len(text)} characters are more than {LONGEST_ID}")
    return text
