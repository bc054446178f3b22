"""What leaves, as other programs read it: CloudEvents headers, deterministic ids, dead letters that lose nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.actions.alert import alert_id
from stream.actions.codec import ATTEMPT_HEADER, dead_letter
from stream.actions.decision import Decision, action_id
from stream.actions.message import Message, Stream
from stream.actions.tier_change import change_id
from stream.config import Settings
from stream.events.codec import Decoder
from stream.events.record import Record
from stream.events.rejected import Reason, Rejected, Stage
from tests.conftest import tell_story

KIP_1034 = {
    f"__streams.errors.{name}" for name in ("exception", "stacktrace", "message", "topic", "partition", "offset")
}
PUBLISHED = (Stream.ACTIONS, Stream.SUPPRESSIONS, Stream.ALERTS, Stream.TIERS, Stream.KPIS)
keys = st.none() | st.binary(max_size=20)
headers = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=4).map(tuple)


@given(keys, keys, headers, st.integers(0, 63), st.integers(0, 2**62))
def test_a_dead_letter_loses_nothing(key: Any, value: Any, found: Any, partition: int, offset: int) -> None:
    """Bytes, key and headers are as they came, in their order; what is added comes after, with all of KIP-1034."""
    record = Record("crm.browses.v1", partition, offset, 5, key, value, found)
    letter = dead_letter(record, Rejected(Stage.SCHEMA, Reason.NO_ZONE, "2026 has no zone – ", "$.timestamp"))
    added = dict(letter.headers[len(found) :])

    assert (Stream.DEAD_LETTERS, key, value, "crm.browses.v1") == (
        letter.stream,
        letter.key,
        letter.value,
        letter.source_topic,
    )
    assert found == letter.headers[: len(found)]
    assert added.keys() >= KIP_1034
    assert (str(partition).encode(), str(offset).encode()) == (
        added["__streams.errors.partition"],
        added["__streams.errors.offset"],
    )
    assert (b"schema", b"no_zone", b"$.timestamp", b"0") == tuple(
        added[name] for name in ("dlq-stage", "dlq-reason", "dlq-field", "dlq-attempt")
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((), b"0"),
        (((ATTEMPT_HEADER, b"1"),), b"1"),
        (((ATTEMPT_HEADER, b"1"), ("x", b""), (ATTEMPT_HEADER, b"2")), b"2"),
        (((ATTEMPT_HEADER, None),), b"0"),
    ],
)
def test_a_dead_letter_says_how_often_it_was_sent_back(found: Any, expected: bytes) -> None:
    """The newest attempt counts; never having been sent back is 0."""
    letter = dead_letter(Record("t", 0, 0, 0, None, b"", found), Rejected(Stage.DECODE, Reason.EMPTY, "empty"))

    assert expected == dict(letter.headers)["dlq-attempt"]


@pytest.mark.parametrize("field", ["type", "properties", "event"])
def test_a_dead_letter_of_a_whole_megabyte_stays_below_four(field: str) -> None:
    """What a sender wrote is not told again at length: the letter fits its topic."""
    long = "\U0001f375" * 240_000
    body: dict[str, Any] = {"type": "track", "event": "Product Reviewed", "userId": "u", "messageId": "m"}
    body |= {"timestamp": "2026-03-02T09:15:00Z", "properties": {"rating": "1"}}
    body[field] = {"rating": long} if field == "properties" else long
    record = Record("t", 0, 0, -1, b"u", msgspec.json.encode(body))
    rejected = Decoder(Settings()).decode(record)
    if not isinstance(rejected, Rejected):
        assert "event" == field
        return
    letter = dead_letter(record, rejected)

    assert sum(len(raw) for _, raw in letter.headers) < 10_000


def test_ids_are_deterministic_and_apart() -> None:
    """An id is made of rule, customer and occurrence: no two parts can run together, and another day gives the same."""
    ids = {
        action_id("a", "b", "c"),
        action_id("ab", "", "c"),
        action_id("a", "bc", ""),
        alert_id("a", "b", "c"),
        change_id("a", "b", "c", ""),
    }

    assert 5 == len(ids)
    assert all(len(name) == 32 and name.isascii() for name in ids)
    # A changed id would send everything again that was ever sent.
    assert "dc778e33af8905b9870e9c18da42e3b5" == action_id("lapsed-60", "c1", "o1")


def test_what_leaves_is_a_cloudevent(story: dict[Stream, list[Message]]) -> None:
    """Every published message has the CloudEvents attributes, keyed by whom it is about, and the id that its body has."""
    for stream in (*PUBLISHED, Stream.EXPERIMENTS, Stream.MODELS):
        assert story[stream]
        for message in story[stream]:
            found = dict(message.headers)
            body = msgspec.json.decode(message.value or b"")
            own = next(
                body[name]
                for name in ("action_id", "alert_id", "change_id", "kpi_id", "effects_id", "event_id")
                if name in body
            )
            assert (b"1.0", b"/winback", b"application/json") == (
                found["ce_specversion"],
                found["ce_source"],
                found["content-type"],
            )
            assert own.encode() == found["ce_id"]
            assert (
                body.get("customer_id", body.get("rule_id", "churn" if "champion" in body else "kpis")).encode()
                == found["ce_subject"]
                == message.key
            )
            assert found["ce_type"].startswith(b"com.winback.")
            assert found["ce_time"].decode() == next(
                body[at] for at in ("decided_at", "changed_at", "computed_at", "happened_at") if at in body
            )


def test_decisions_say_when_they_are_worth_nothing(story: dict[Stream, list[Message]]) -> None:
    """Published or held back: one shape, an expiry after the decision, and the reason exactly when held back."""
    for stream in (Stream.ACTIONS, Stream.SUPPRESSIONS):
        for message in story[stream]:
            decision = msgspec.json.decode(message.value or b"", type=Decision)
            assert (stream is Stream.SUPPRESSIONS) == (decision.reason is not None)
            assert decision.decided_at <= decision.not_before < decision.expires_at
            assert dict(message.headers)["ce_expirytime"] == decision.expires_at.encode()
            assert decision.governance
            assert decision.explanation.text
            assert decision.action_id == action_id(decision.rule.id, decision.customer_id, decision.occurrence)


def test_telling_the_story_again_tells_the_same(story: dict[Stream, list[Message]]) -> None:
    """The same events give the same bytes and headers in the same order."""
    again = [message for out in tell_story().outcomes for message in out.messages]

    assert again
    for stream in PUBLISHED:
        assert story[stream] == [message for message in again if message.stream is stream]
