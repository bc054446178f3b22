"""Small things that the shell does with a processor and its outcomes."""

from __future__ import annotations

import logging
from collections import Counter

from stream.actions.codec import dead_letter
from stream.agents.ports import Processor
from stream.events.record import Record
from stream.events.rejected import Reason, Rejected, Stage
from stream.outcome import Outcome, Telemetry

_LONGEST_DETAIL = 1_000
"""Characters of an exception that a dead letter keeps: it may quote the record, which is in the letter anyway."""

_log = logging.getLogger(__name__)


def is_empty(outcome: Outcome) -> bool:
    """Whether there is nothing to write."""
    return not outcome.changed and not outcome.messages


def join(first: Outcome, second: Outcome) -> None:
    """Adds a later outcome to an earlier one of the same processor: later states win, messages keep their order.

    >>> one = Outcome(changed={b"a": b"1", b"b": b"1"})
    >>> one.telemetry.timer_delay_ms.append(5)
    >>> two = Outcome(changed={b"a": b"2"})
    >>> two.telemetry.events["topic", "purchase"] += 1
    >>> join(one, two)
    >>> one.changed, one.telemetry.timer_delay_ms, one.telemetry.events
    ({b'a': b'2', b'b': b'1'}, [5], Counter({('topic', 'purchase'): 1}))
    """
    first.changed |= second.changed
    first.messages += second.messages
    for name in Telemetry.__struct_fields__:
        mine, theirs = getattr(first.telemetry, name), getattr(second.telemetry, name)
        if isinstance(mine, Counter):
            mine.update(theirs)
        else:
            mine += theirs


def fire(processor: Processor, now_ms: int) -> Outcome:
    """One tick; an exception if it does nothing although a timer is due, which would be asked for again for ever."""
    before = processor.next_due_ms()
    outcome = processor.tick(now_ms)
    if is_empty(outcome) and before is not None and before == processor.next_due_ms() and before <= now_ms:
        raise RuntimeError(f"the timer that was due at {before} neither fires nor moves")
    return outcome


def refusal(record: Record, error: Exception) -> Outcome:
    """The outcome of a record on which our own code fails: a dead letter. (What the core refuses, it refuses itself.)"""
    where = f"{record.topic}[{record.partition}]@{record.offset}"
    _log.error("%s becomes a dead letter: the processor fails on it", where, exc_info=error)
    detail = f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL]
    rejected = Rejected(Stage.PROCESS, Reason.PROCESSING_FAILED, detail)
    outcome = Outcome(messages=[dead_letter(record, rejected)])
    outcome.telemetry.rejected[record.topic, rejected.stage.value, rejected.reason.value] += 1
    return outcome
