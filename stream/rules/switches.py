"""What people switch while workers run, one record after the other: pauses, dry runs, test customers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stream.rules.published import Switched, paused


def switched(before: Switched, did: str, *, by: str, note: str, rule_id: str, at_ms: int) -> Switched:
    """The switches after a ``pause`` or ``resume`` of a rule, or of everything without one."""
    stopped = dict(before.stopped_rules)
    paused_by = before.paused_by
    if rule_id and did == "pause":
        stopped[rule_id] = by
    elif rule_id:
        stopped.pop(rule_id, None)
    else:
        paused_by = by if did == "pause" else ""
    after = msgspec.structs.replace(before, paused_by=paused_by, stopped_rules=stopped)
    return _signed(after, f"{did} {rule_id}".rstrip(), by, note, at_ms)


def dry(before: Switched, rule_id: str, *, off: bool, by: str, note: str, at_ms: int) -> Switched:
    """The switches after the dry run of a rule has begun, or ended.

    >>> dry(Switched(number=1, did="", by="", at_ms=0), "welcome", off=False, by="ann", note="", at_ms=5).dry_rules
    ('welcome',)
    """
    rules = set(before.dry_rules) - {rule_id} if off else {*before.dry_rules, rule_id}
    after = msgspec.structs.replace(before, dry_rules=tuple(sorted(rules)))
    return _signed(after, f"{'end of dry run' if off else 'dry run'} {rule_id}", by, note, at_ms)


def rehearsed(before: Switched, customers: Iterable[str], *, remove: bool, by: str, note: str, at_ms: int) -> Switched:
    """The switches after customers have become test customers, or are ones no more."""
    named = set(customers)
    known = set(before.test_customers) - named if remove else {*before.test_customers, *named}
    after = msgspec.structs.replace(before, test_customers=tuple(sorted(known)))
    did = f"{'no test customers' if remove else 'test customers'} {', '.join(sorted(named))}"
    return _signed(after, did, by, note, at_ms)


def told(now: Switched) -> list[str]:
    """What is switched, for a person, one line each.

    >>> told(Switched(number=1, did="", by="", at_ms=0, dry_rules=("welcome",)))
    ['nothing is paused', 'dry run, switched: welcome']
    """
    lines = [paused(now) or "nothing is paused"]
    if now.dry_rules:
        lines.append(f"dry run, switched: {', '.join(now.dry_rules)}")
    if now.test_customers:
        lines.append(f"test customers, switched: {', '.join(now.test_customers)}")
    return lines


def _signed(after: Switched, did: str, by: str, note: str, at_ms: int) -> Switched:
    return msgspec.structs.replace(after, number=after.number + 1, did=did, by=by, note=note, at_ms=at_ms)
