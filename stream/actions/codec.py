"""Messages that leave, as JSON in CloudEvents 1.0 binary mode; dead letters as the original bytes with the reason beside.

Source: CloudEvents 1.0 Kafka protocol binding; KIP-1034 for the ``__streams.errors.*`` headers.
"""

from __future__ import annotations

import msgspec

from stream.actions.alert import Alert
from stream.actions.decision import Decision
from stream.actions.effects import Effects
from stream.actions.kpis import Kpis
from stream.actions.message import Message, Stream
from stream.actions.model_event import ModelEvent
from stream.actions.tier_change import TierChange
from stream.events.record import Headers, Record
from stream.events.rejected import Rejected

SOURCE = "/winback"
"""CloudEvents source of everything that leaves."""
ATTEMPT_HEADER = "winback-redrive-attempt"
"""How often a dead letter has been sent back already; set by ``winback redrive``."""

_SPECVERSION = ("ce_specversion", b"1.0")
_SOURCE = ("ce_source", SOURCE.encode())
_CONTENT_TYPE = ("content-type", b"application/json")
_PUBLISHED = Stream.ACTIONS, b"com.winback.action.v1"
_SUPPRESSED = Stream.SUPPRESSIONS, b"com.winback.suppression.v1"
"""Where a decision goes, and the CloudEvents type it has there."""
_encoder = msgspec.json.Encoder()
_TIERS = Stream.TIERS


def decision_message(decision: Decision) -> Message:
    """A decision for its topic: actions when published, suppressions otherwise."""
    stream, kind = _PUBLISHED if decision.verdict == "publish" else _SUPPRESSED
    extra: Headers = (("ce_expirytime", decision.expires_at.encode()),)
    if decision.cause.message_id:
        extra = (*extra, ("ce_causationid", decision.cause.message_id.encode()))
    key = decision.customer_id.encode()
    headers = _headers(decision.action_id, kind, decision.decided_at, key)
    return Message(stream, key, _encoder.encode(decision), headers + extra)


def alert_message(alert: Alert) -> Message:
    """An alert for its topic."""
    key = alert.customer_id.encode()
    kind = f"com.winback.alert.{alert.kind}.v1".encode()
    return Message(Stream.ALERTS, key, _encoder.encode(alert), _headers(alert.alert_id, kind, alert.decided_at, key))


def tier_message(change: TierChange) -> Message:
    """A change of tier for its topic."""
    key = change.customer_id.encode()
    headers = _headers(change.change_id, b"com.winback.tier.v1", change.changed_at, key)
    return Message(_TIERS, key, _encoder.encode(change), headers)


def kpis_message(found: Kpis) -> Message:
    """A day's figures for their topic, all of them in one partition."""
    key = b"kpis"
    headers = _headers(found.kpi_id, b"com.winback.kpis.v1", found.computed_at, key)
    return Message(Stream.KPIS, key, _encoder.encode(found), headers, partition=0)


def model_message(found: ModelEvent) -> Message:
    """What happened to the churn model for its topic, all of it in one partition."""
    key = b"churn"
    headers = _headers(found.event_id, f"com.winback.model.{found.kind}.v1".encode(), found.happened_at, key)
    return Message(Stream.MODELS, key, _encoder.encode(found), headers, partition=0)


def effects_message(found: Effects) -> Message:
    """An arm's outcomes for their topic, all of them in one partition."""
    key = found.rule_id.encode()
    headers = _headers(found.effects_id, b"com.winback.experiment.v1", found.computed_at, key)
    return Message(Stream.EXPERIMENTS, key, _encoder.encode(found), headers, partition=0)


def dead_letter(record: Record, rejected: Rejected) -> Message:
    """A record for its dead-letter topic: bytes, key and headers untouched, the reason in further headers."""
    attempt = next((raw for name, raw in reversed(record.headers) if name == ATTEMPT_HEADER), b"0") or b"0"
    where = (
        ("__streams.errors.exception", f"winback.{rejected.reason.value}".encode()),
        # A refusal is a value, not an exception: there is no stack. KIP-1034's readers expect the header.
        ("__streams.errors.stacktrace", b""),
        ("__streams.errors.message", rejected.detail.encode("utf-8", "replace")),
        ("__streams.errors.topic", record.topic.encode()),
        ("__streams.errors.partition", str(record.partition).encode()),
        ("__streams.errors.offset", str(record.offset).encode()),
        ("dlq-stage", rejected.stage.value.encode()),
        ("dlq-reason", rejected.reason.value.encode()),
        ("dlq-field", rejected.field.encode("utf-8", "replace")),
        ("dlq-attempt", attempt),
    )
    return Message(Stream.DEAD_LETTERS, record.key, record.value, record.headers + where, source_topic=record.topic)


def when_who_which(message: Message) -> tuple[str, str, str]:
    """Time, customer and id of a message of ours, read off its headers.

    >>> headers = _headers("t-1", b"com.winback.tier.v1", "2026-01-31T00:00:00Z", b"ana")
    >>> when_who_which(Message(Stream.TIERS, b"ana", b"{}", headers))
    ('2026-01-31T00:00:00Z', 'ana', 't-1')
    """
    _, (_, message_id), _, _, (_, time), (_, customer_id), *_ = message.headers
    return time.decode(), customer_id.decode(), message_id.decode()


def _headers(message_id: str, kind: bytes, time: str, customer: bytes) -> Headers:
    return (
        _SPECVERSION,
        ("ce_id", message_id.encode()),
        _SOURCE,
        ("ce_type", kind),
        ("ce_time", time.encode()),
        ("ce_subject", customer),
        _CONTENT_TYPE,
    )
