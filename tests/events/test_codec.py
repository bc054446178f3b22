"""The codec at its edges: raw bytes, clocks, CloudEvents, identities. It tells, and never raises."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.config import Settings, make_settings
from stream.events import kinds
from stream.events.codec import LAST_MS, Decoded, Decoder, event_time_ms
from stream.events.instants import parse_ms, to_text
from stream.events.record import Headers, Record
from stream.events.rejected import Ignored, Reason, Rejected, Stage
from stream.events.segment import MESSAGES, plain_name

MARCH = "2026-03-02T09:15:00Z"
MARCH_MS = parse_ms(MARCH)


def body(**fields: Any) -> dict[str, Any]:
    """A good order, with fields changed; ``...`` leaves one out."""
    whole = {
        "type": "track",
        "event": "Order Completed",
        "userId": "u1",
        "messageId": "m1",
        "timestamp": MARCH,
        "properties": {"order_id": "o1", "revenue": 10.5},
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def raw(**fields: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(body(**fields)).encode()


def decode(
    value: bytes | None, headers: Headers = (), *, at_ms: int = -1, settings: Settings | None = None, **options: Any
) -> Decoded:
    """One record decoded by a decoder of its own."""
    return Decoder(settings or Settings(), **options).decode(Record("t", 0, 0, at_ms, None, value, headers))


def refused(decoded: Decoded) -> tuple[str, str, str]:
    """(stage, reason, field) of a refusal."""
    assert isinstance(decoded, Rejected), decoded
    return decoded.stage.value, decoded.reason.value, decoded.field


def taken(decoded: Decoded) -> kinds.Event:
    """The event, if it is one."""
    assert isinstance(decoded, kinds.Event), decoded
    return decoded


DEEP = b'{"a":' * 50_000


@pytest.mark.parametrize(
    ("value", "stage", "reason"),
    [
        (None, Stage.DECODE, Reason.EMPTY),
        (b"", Stage.DECODE, Reason.EMPTY),
        (b" \n", Stage.DECODE, Reason.NOT_JSON),
        (b"not json", Stage.DECODE, Reason.NOT_JSON),
        (b"{", Stage.DECODE, Reason.NOT_JSON),
        (raw() + b"\x00", Stage.DECODE, Reason.NOT_JSON),
        (raw() + raw(), Stage.DECODE, Reason.NOT_JSON),
        (b"\xef\xbb\xbf" + raw(), Stage.DECODE, Reason.NOT_JSON),
        (raw(userId="u\x01").replace(rb"\u0001", b"\x01"), Stage.DECODE, Reason.NOT_JSON),
        (raw(userId="u\ud800"), Stage.DECODE, Reason.NOT_JSON),
        (raw(messageId="\udc00m"), Stage.DECODE, Reason.NOT_JSON),
        (raw(properties={"order_id": "\ud800"}), Stage.DECODE, Reason.NOT_JSON),
        (DEEP, Stage.DECODE, Reason.NOT_JSON),
        (raw()[:-1] + b',"properties":' + DEEP, Stage.DECODE, Reason.NOT_JSON),
        (b"\xff\xfe" + raw(), Stage.DECODE, Reason.NOT_UTF8),
        (raw().replace(b"u1", b"\xe9"), Stage.DECODE, Reason.NOT_UTF8),
        (raw().replace(b"u1", b"\xed\xa0\x80"), Stage.DECODE, Reason.NOT_UTF8),
        (raw(x="x" * 1_048_576), Stage.DECODE, Reason.TOO_LARGE),
        (b"[]", Stage.DECODE, Reason.NOT_SEGMENT),
        (b"[" * 50_000, Stage.DECODE, Reason.NOT_SEGMENT),
        (b"null", Stage.DECODE, Reason.NOT_SEGMENT),
        (b"5", Stage.DECODE, Reason.NOT_SEGMENT),
        (b'"track"', Stage.DECODE, Reason.NOT_SEGMENT),
        (b"{}", Stage.DECODE, Reason.NOT_SEGMENT),
        (raw(type="order"), Stage.DECODE, Reason.NOT_SEGMENT),
        (raw(type="t" * 100_000), Stage.DECODE, Reason.NOT_SEGMENT),
        (raw(type=7), Stage.SCHEMA, Reason.WRONG_TYPE),
        (raw(event=...), Stage.SCHEMA, Reason.MISSING_FIELD),
        (raw(event=""), Stage.SCHEMA, Reason.MISSING_FIELD),
        (raw(userId=42), Stage.SCHEMA, Reason.WRONG_TYPE),
        (raw(userId=""), Stage.SCHEMA, Reason.NO_CUSTOMER),
        (raw(userId=None, anonymousId=""), Stage.SCHEMA, Reason.NO_CUSTOMER),
        (raw(userId="\0partition"), Stage.SCHEMA, Reason.VALUE_OUT_OF_RANGE),
        (raw(userId="u" * 257), Stage.SCHEMA, Reason.VALUE_OUT_OF_RANGE),
        (raw(messageId=""), Stage.SCHEMA, Reason.NO_MESSAGE_ID),
        (raw(timestamp=None), Stage.SCHEMA, Reason.NO_TIME),
        (raw(timestamp=1772442900000), Stage.SCHEMA, Reason.BAD_TIME),
        (raw(timestamp="2026-03-02"), Stage.SCHEMA, Reason.BAD_TIME),
        (raw(timestamp="2026-02-30T00:00:00Z"), Stage.SCHEMA, Reason.BAD_TIME),
        (raw(timestamp="2026-03-02T09:15:00"), Stage.SCHEMA, Reason.NO_ZONE),
        (raw(sentAt="2026-03-02T09:15:00"), Stage.SCHEMA, Reason.NO_ZONE),
        (raw(properties=[]), Stage.SCHEMA, Reason.WRONG_TYPE),
        (raw(properties={"order_id": ""}), Stage.SCHEMA, Reason.VALUE_OUT_OF_RANGE),
        (raw(properties={"revenue": "10"}), Stage.SCHEMA, Reason.WRONG_TYPE),
        (raw(properties={"revenue": True}), Stage.SCHEMA, Reason.WRONG_TYPE),
        (raw(properties={"revenue": -0.01}), Stage.SCHEMA, Reason.NEGATIVE_MONEY),
        (raw(properties={"revenue": 1e10 + 0.01}), Stage.SCHEMA, Reason.MONEY_OUT_OF_RANGE),
        (raw(properties={"revenue": 10**400}), Stage.SCHEMA, Reason.NON_FINITE_MONEY),
        (raw(properties={"revenue": float("nan")}), Stage.SCHEMA, Reason.NON_FINITE_MONEY),
        (raw(properties={"revenue": float("-inf")}), Stage.SCHEMA, Reason.NON_FINITE_MONEY),
        (raw(properties={"revenue": 1, "currency": "ÄÖÜ"}), Stage.SCHEMA, Reason.UNKNOWN_CURRENCY),
        (raw(properties={"products": [{"quantity": 10**30}]}), Stage.SCHEMA, Reason.VALUE_OUT_OF_RANGE),
        (raw(properties={"products": {"a": 1}}), Stage.SCHEMA, Reason.WRONG_TYPE),
    ],
    ids=str,
)
def test_bad_bytes_are_told_apart(value: bytes | None, stage: Stage, reason: Reason) -> None:
    """Every way to get it wrong has its stage and reason, and a detail short enough for a header."""
    decoded = decode(value)

    assert (stage, reason) == refused(decoded)[:2]
    assert isinstance(decoded, Rejected)
    assert 0 < len(decoded.detail) < 600


def test_the_field_is_named() -> None:
    """A refusal names the path of the offending field, also inside a CloudEvent."""
    bad = body(properties={"products": [{"price": 1}, {"price": -1}]})

    assert "$.properties.products[1].price" == refused(decode(json.dumps(bad).encode()))[2]
    inside = {"specversion": "1.0", "id": "e", "data": bad}
    assert "$.data.properties.products[1].price" == refused(decode(json.dumps(inside).encode()))[2]


def test_good_oddities_are_taken() -> None:
    """What JSON and Segment allow is taken: repeated keys (the last counts), pairs of surrogates, unknown fields, nulls."""
    twice = raw().replace(b'"revenue": 10.5', b'"revenue": 10.5, "revenue": 20')
    assert 2000 == getattr(taken(decode(twice)), "amount_minor", None)
    assert "\U0001f375" == taken(decode(raw(userId="\U0001f375"))).customer
    assert "anon:a" == taken(decode(raw(userId=None, anonymousId="a"))).customer
    assert "u\0" == taken(decode(raw(userId="u\0"))).customer
    assert 0 == getattr(taken(decode(raw(properties=None))), "amount_minor", None)
    assert 0 == getattr(taken(decode(raw(properties={"revenue": -0.0}))), "amount_minor", None)


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row.name)
def test_spellings_of_other_senders(row: Any) -> None:
    """Case, dashes and underscores in an event's name don't matter, and no two names fall together."""
    plain = [plain_name(other.name) for other in MESSAGES]
    assert len(plain) == len(set(plain))

    for spelling in (row.name.upper(), row.name.replace(" ", "_").lower(), row.name.replace(" ", "-")):
        decoded = decode(raw(event=spelling, properties={}))
        assert not isinstance(decoded, Ignored), spelling


def test_unknown_names_are_counted_not_refused() -> None:
    """A Segment envelope with a name that we don't know is no dead letter."""
    assert Ignored("unknown_event", "Tea Spilled") == decode(raw(event="Tea Spilled"))
    assert Ignored("unknown_event", "group") == decode(raw(type="group", event=...))
    assert Ignored("unknown_event", "x" * 64) == decode(raw(event="x" * 100_000))


def test_pages_screens_and_aliases() -> None:
    """Presence and identity messages are events too."""
    assert isinstance(decode(raw(type="page", event=...)), kinds.Activity)
    assert isinstance(decode(raw(type="screen", event=...)), kinds.Activity)
    assert kinds.Aliased(message_id="m1", customer="u1", time_ms=MARCH_MS, previous="old") == decode(
        raw(type="alias", event=..., previousId="old")
    )


# -- clocks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T17:15:00+08:00", MARCH),
        ("2026-03-02T15:00:00+05:45", MARCH),
        ("2026-03-01T19:15:00-14:00", MARCH),
        ("2026-03-02t09:15:00z", MARCH),
        ("2026-03-02 09:15:00Z", MARCH),
        ("2026-03-02T09:15:00.123456789Z", "2026-03-02T09:15:00.123Z"),
        ("1990-01-01T00:00:00Z", "1990-01-01T00:00:00Z"),
        ("1989-12-31T23:59:59.999-00:01", "1990-01-01T00:00:59.999Z"),
    ],
)
def test_zones_and_fractions(text: str, expected: str) -> None:
    """Every RFC 3339 spelling of an instant is that instant, cut to milliseconds."""
    assert expected == to_text(taken(decode(raw(timestamp=text))).time_ms)


def test_the_senders_clock_is_corrected_by_the_message_alone() -> None:
    """timestamp + (receivedAt − sentAt); not with originalTimestamp, which says that the collector has done it."""
    skewed = {
        "timestamp": "2026-03-02T10:15:00Z",
        "sentAt": "2026-03-02T10:15:05Z",
        "receivedAt": "2026-03-02T09:15:05Z",
    }
    done = {**skewed, "originalTimestamp": "2026-03-02T10:15:00Z"}

    for fields, expected in ((skewed, MARCH_MS), (done, MARCH_MS + 3_600_000)):
        value = raw(**fields)
        assert expected == taken(decode(value)).time_ms
        assert expected == event_time_ms(Record("t", 0, 0, -1, None, value))


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": "0001-01-01T00:00:00Z"},
        {"timestamp": "0001-01-01T00:00:00+14:00"},
        {"timestamp": "9999-12-31T23:59:59Z"},
        {"timestamp": "9999-12-31T23:59:59-14:00"},
        {"sentAt": "0001-01-01T00:00:00Z", "receivedAt": "9999-12-31T00:00:00Z"},
        {"sentAt": "9999-12-31T00:00:00Z", "receivedAt": "0001-01-01T00:00:00Z"},
        {"timestamp": "1989-12-31T23:59:59.999Z"},
        {"timestamp": "2200-01-01T00:00:00.001Z"},
    ],
    ids=str,
)
def test_times_that_no_calendar_reaches(fields: dict[str, str]) -> None:
    """Absurd clocks are refused with a reason, wherever the record comes from; they never raise."""
    assert ("schema", "time_out_of_range", "$.timestamp") == refused(decode(raw(**fields)))


def test_the_future_is_measured_by_the_records_own_clock() -> None:
    """Up to a day ahead of the record is taken, a millisecond more is refused; replay measures by ``--until`` instead."""
    day = 86_400_000
    assert isinstance(decode(raw(), at_ms=MARCH_MS - day), kinds.Event)
    assert "time_out_of_range" == refused(decode(raw(), at_ms=MARCH_MS - day - 1))[1]
    assert isinstance(decode(raw(), at_ms=0, latest_ms=MARCH_MS), kinds.Event)
    assert "time_out_of_range" == refused(decode(raw(), at_ms=-1, latest_ms=MARCH_MS - 1))[1]
    assert "time_out_of_range" == refused(decode(raw(timestamp="2200-01-02T00:00:00Z"), at_ms=2**62))[1]
    assert LAST_MS == parse_ms("2200-01-01T00:00:00Z")


def test_the_earliest_event_is_a_setting() -> None:
    """A shop with older history says so; before 1970 there is no instant that state could keep."""
    early = make_settings(earliest_event="1900-01-01T00:00:00Z")

    assert isinstance(decode(raw(timestamp="1971-01-01T00:00:00Z"), settings=early), kinds.Event)
    assert "time_out_of_range" == refused(decode(raw(timestamp="1969-12-31T23:59:59Z"), settings=early))[1]


# -- CloudEvents and headers


def structured(data: Any, **fields: Any) -> bytes:
    """A structured CloudEvent."""
    return json.dumps({"specversion": "1.0", "id": "e1", "source": "/s", "type": "t", **fields, "data": data}).encode()


def test_cloudevents_fill_what_the_message_leaves_out() -> None:
    """id, time and subject stand in for messageId, timestamp and userId in both modes; the message's own fields win."""
    bare = body(messageId=..., timestamp=..., userId=...)
    headers: Headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e1"),
        ("ce_time", MARCH.encode()),
        ("ce_subject", b"u9"),
    )

    for decoded in (
        decode(structured(bare, time=MARCH, subject="u9")),
        decode(json.dumps(bare).encode(), headers),
    ):
        event = taken(decoded)
        assert ("e1", "u9", MARCH_MS) == (event.message_id, event.customer, event.time_ms)
    for decoded in (decode(structured(body(), time="2020-01-01T00:00:00Z", subject="u9")), decode(raw(), headers)):
        event = taken(decoded)
        assert ("m1", "u1", MARCH_MS) == (event.message_id, event.customer, event.time_ms)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((("ce_time", b"soon"),), Reason.BAD_TIME),
        ((("ce_time", b"2026-03-02T09:15:00"), ("ce_id", b"e"), ("ce_subject", b"u")), Reason.NO_ZONE),
        ((("ce_time", b"2026-W10-1"), ("ce_id", b"e"), ("ce_subject", b"u")), Reason.NO_ZONE),
        ((("ce_time", b"\xff"),), Reason.WRONG_TYPE),
        ((("ce_time", b""),), Reason.BAD_TIME),
        ((("ce_time", MARCH.encode()), ("ce_id", b""), ("ce_subject", b"u")), Reason.NO_MESSAGE_ID),
        ((("ce_time", MARCH.encode()), ("ce_id", b"i" * 257)), Reason.VALUE_OUT_OF_RANGE),
        ((("ce_time", MARCH.encode()), ("ce_id", b"e"), ("ce_subject", b"s" * 257)), Reason.VALUE_OUT_OF_RANGE),
        ((("ce_time", MARCH.encode()), ("ce_id", b"e"), ("ce_subject", b"\0partition")), Reason.VALUE_OUT_OF_RANGE),
        ((("ce_time", MARCH.encode()), ("ce_id", b"e")), Reason.NO_CUSTOMER),
        ((), Reason.NO_CUSTOMER),
    ],
    ids=str,
)
def test_binary_cloudevents_are_held_to_the_same_rules(headers: Headers, reason: Reason) -> None:
    """What comes in headers is checked like what comes in the message."""
    value = json.dumps(body(messageId=..., timestamp=..., userId=...)).encode()

    assert reason == refused(decode(value, headers))[1]


def test_a_header_without_a_value_is_none() -> None:
    """Kafka lets a header have no value; that is as if it were not there."""
    nothing: Any = (("ce_id", None), ("ce_time", None), ("trace", None))

    assert isinstance(decode(raw(), nothing), kinds.Event)
    assert "no_message_id" == refused(decode(raw(messageId=...), nothing))[1]
    assert event_time_ms(Record("t", 0, 0, -1, None, raw(timestamp=...), nothing)) is None


def test_imports_are_known_by_their_headers() -> None:
    """The backfill header marks history, whatever its value; an import ends with an empty record of its own."""
    event = taken(decode(raw(), (("winback-backfill", b""),)))

    assert event.backfill
    assert Ignored("backfill_end") == decode(None, (("winback-backfill-end", b"1"),))
    assert "empty" == refused(decode(None, (("winback-backfill", b"1"),)))[1]


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (raw(), ()),
        (raw(data={"timestamp": "2001-01-01T00:00:00Z"}), ()),
        (raw(data="gift", time="2001-01-01T00:00:00Z"), ()),
        (structured(body(), time="2001-01-01T00:00:00Z"), ()),
        (structured(body(timestamp=...), time=MARCH), ()),
        (raw(timestamp=...), (("ce_time", MARCH.encode()),)),
    ],
    ids=str,
)
def test_merging_reads_the_same_time_as_decoding(value: bytes, headers: Headers) -> None:
    """The time that topics are merged by is the event's, also beside fields that only look like a CloudEvent's."""
    assert MARCH_MS == taken(decode(value, headers)).time_ms
    assert MARCH_MS == event_time_ms(Record("t", 0, 0, -1, None, value, headers))


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"{}", b'{"timestamp":"x"}', b'{"specversion":"1.0"}', DEEP])
def test_merging_never_raises(value: bytes | None) -> None:
    """A record without a readable time is merged as having none."""
    assert event_time_ms(Record("t", 0, 0, -1, None, value)) is None


# -- identities


def test_an_order_without_an_id_is_its_message() -> None:
    """``order_id`` names an order, else ``messageId`` does."""
    assert "o1" == getattr(taken(decode(raw())), "order_id", "")
    assert "m1" == getattr(taken(decode(raw(properties={"revenue": 1}))), "order_id", "")


def test_an_amount_is_revenue_else_total() -> None:
    """``revenue`` counts, also when it is zero; only without it does ``total``."""
    amounts = [
        getattr(taken(decode(raw(properties=properties))), "amount_minor", None)
        for properties in ({"revenue": 1, "total": 2}, {"revenue": 0, "total": 2}, {"total": 2}, {})
    ]

    assert [100, 0, 200, 0] == amounts


def test_a_refund_without_an_amount_is_of_everything() -> None:
    """``None`` is the whole order, zero is nothing."""
    amounts = [
        getattr(taken(decode(raw(event="Order Refunded", properties={"order_id": "o1", **more}))), "amount_minor", "")
        for more in ({}, {"total": 0}, {"revenue": 3, "total": 4})
    ]

    assert [None, 0, 300] == amounts


def test_products_are_known_by_id_else_sku_else_name() -> None:
    """Lines of a cart that carry no id are told apart by what they have."""
    lines = [{"product_id": "p", "sku": "s"}, {"sku": "s", "name": "n"}, {"name": "n"}, {}]
    event = taken(decode(raw(event="Cart Viewed", properties={"products": lines})))

    assert ["p", "s", "n", ""] == [line.product_id for line in getattr(event, "lines", ())]


@pytest.mark.parametrize(
    ("rating", "expected"),
    [("4.5", 4.5), (4, 4.0), ("", 0.0), (None, 0.0), ("5", 5.0)],
)
def test_ratings_are_text_or_numbers(rating: Any, expected: float) -> None:
    """The specification has text, many send numbers."""
    event = taken(decode(raw(event="Product Reviewed", properties={"rating": rating})))

    assert expected == getattr(event, "rating", None)


@pytest.mark.parametrize("rating", ["nan", "inf", "-1", 5.01, "5.01", 1e300])
def test_ratings_outside_the_scale_are_refused(rating: Any) -> None:
    """Not-a-number and infinity are no ratings."""
    decoded = decode(raw(event="Product Reviewed", properties={"rating": rating}))

    assert ("schema", "value_out_of_range", "$.properties.rating") == refused(decoded)
