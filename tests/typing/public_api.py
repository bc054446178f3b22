"""What the public functions promise to a type checker. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

from stream.actions.codec import dead_letter, decision_message
from stream.actions.decision import Decision
from stream.actions.message import Message, Stream
from stream.config import Settings, make_settings, problems
from stream.events.codec import Decoder, event_time_ms
from stream.events.kinds import Event
from stream.events.money import Rates
from stream.events.record import Record
from stream.events.rejected import Ignored, Reason, Rejected, Stage
from stream.outcome import Outcome
from stream.processor import EpochOwner, Partition
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet
from stream.segments.population import Histograms, Thresholds, thresholds
from stream.state.customer import Customer, decode, encode
from stream.state.lazy import lazy
from stream.state.messages import Seen
from stream.state.ordered import put
from stream.state.orders import Applied, Window
from stream.state.profile import Profile
from stream.testing import Shop, published


def _decoding(decoder: Decoder, record: Record) -> None:
    decoded = decoder.decode(record)
    assert_type(decoded, Event | Rejected | Ignored)
    if isinstance(decoded, Rejected):
        assert_type(decoded.stage, Stage)
        assert_type(decoded.reason, Reason)
        assert_type(dead_letter(record, decoded), Message)
    elif isinstance(decoded, Ignored):
        assert_type(decoded.why, str)
    else:
        assert_type(decoded, Event)
        assert_type(decoded.time_ms, int)
    assert_type(event_time_ms(record), int | None)
    assert_type(Rates("USD").to_minor(1.0, "EUR", 0), int | None)


def _state(event: Event, settings: Settings) -> None:
    customer = Customer()
    assert_type(customer.apply(event, settings), Applied | Seen)
    assert_type(encode(customer), bytes)
    assert_type(decode(b""), Customer)
    assert_type(customer.orders.windows(1), tuple[Window, Window, Window, Window])
    profile = Profile("c", customer, 1)
    assert_type(profile.last_purchase_ms, int | None)
    assert_type(profile.purchase_days, tuple[int, ...])
    assert_type(profile.recency_days, int)
    assert_type(profile.cart_open, bool)
    assert_type(Profile.recency_days, lazy[int])
    put({1: "a"}, 2, "b")
    put({"a": 1}, 2, 1)  # type: ignore[misc]


def _processing(partition: Partition, owner: EpochOwner, records: list[Record]) -> None:
    outcome = partition.apply(records, 1)
    assert_type(outcome, Outcome)
    assert_type(outcome.changed, dict[bytes, bytes | None])
    assert_type(outcome.messages[0].stream, Stream)
    assert_type(partition.tick(1), Outcome)
    assert_type(partition.next_due_ms(), int | None)
    assert_type(partition.customer("c", 1), dict[str, Any] | None)
    assert_type(partition.scores(1), Iterator[dict[str, Any]])
    assert_type(partition.source_offsets(), dict[str, int])
    assert_type(owner.apply(records), Outcome)
    assert_type(owner.safe_offset(), int | None)


def _rest(decision: Decision) -> None:
    assert_type(make_settings(partitions=4), Settings)
    assert_type(problems(Settings()), list[str])
    assert_type(load_rules(), RuleSet)
    assert_type(thresholds(1, Histograms()), Thresholds | None)
    assert_type(decision_message(decision), Message)
    shop = Shop()
    assert_type(shop.customer("c"), dict[str, Any])
    assert_type(published(shop.take()), list[dict[str, Any]])
    Settings("kafka://x:1")  # type: ignore[call-arg]
    Record("t", 0, 0, 0, "key", None)  # type: ignore[arg-type]
