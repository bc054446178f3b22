"""What a step of the processor returns to the shell: state to write, messages to publish, figures to report."""

from __future__ import annotations

from collections import Counter

import msgspec

from stream.actions.message import Message


class Telemetry(msgspec.Struct):
    """Figures of one step, for metrics and the live view. The core counts; it never talks to a metrics library.

    Counter keys are label tuples in the order that the field's comment names.
    """

    events: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (topic, kind)
    rejected: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)  # (topic, stage, reason)
    ignored: Counter[tuple[str, str]] = msgspec.field(
        default_factory=Counter
    )  # (topic, why): duplicate, unknown_event…
    actions: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (rule, action kind)
    suppressed: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (rule, reason)
    deferred: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (rule, reason)
    journeys: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (rule, how it ended)
    alerts: Counter[tuple[str]] = msgspec.field(default_factory=Counter)  # (alert kind,)
    tier_changes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (from, to)
    labels: Counter[tuple[str]] = msgspec.field(default_factory=Counter)  # (outcome,): bought, churned
    suspects: Counter[tuple[str]] = msgspec.field(default_factory=Counter)  # (reason,), or cleared
    customers_by_tier: Counter[str] = msgspec.field(default_factory=Counter)  # change: +1 entered, −1 left
    class_changes: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)  # (scheme, from, to)
    customers_by_class: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)  # (scheme, class): change
    customers_by_segment: Counter[str] = msgspec.field(default_factory=Counter)  # change: +1 entered, −1 left
    lateness_ms: list[int] = msgspec.field(default_factory=list)  # now − event time, one per applied event
    event_to_decision_ms: list[int] = msgspec.field(default_factory=list)  # now − record time-stamp, per event's action
    timer_delay_ms: list[int] = msgspec.field(default_factory=list)  # now − due, one per fired timer


class Outcome(msgspec.Struct):
    """The result of one step over one partition.

    ``changed`` maps a customer key to the new encoded record (``None``: tombstone). It is to be written to the
    changelog in the same transaction as ``messages`` and the source offsets; after the commit the shell calls
    ``Partition.commit()``, after an abort ``Partition.rollback()``.
    """

    changed: dict[bytes, bytes | None] = msgspec.field(default_factory=dict)
    messages: list[Message] = msgspec.field(default_factory=list)
    telemetry: Telemetry = msgspec.field(default_factory=Telemetry)
