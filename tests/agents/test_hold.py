"""Records wait a moment for a slower topic, and once for what doesn't come."""

from __future__ import annotations

from stream.agents.hold import HOLD_SECONDS, Hold

SLOW, OTHER = frozenset({("slow", 7)}), frozenset({("other", 3)})


def test_what_is_missing_is_waited_for_once() -> None:
    """A topic whose leader is away holds the others up once; something else that is missing later is waited for anew."""
    alarms: list[float] = []
    hold = Hold(alarms.append)

    assert not hold.wants(frozenset(), 0.0)
    assert hold.wants(SLOW, 0.0)
    assert hold.wants(SLOW, HOLD_SECONDS / 2)
    assert [HOLD_SECONDS] == alarms
    assert not hold.wants(SLOW, HOLD_SECONDS)
    assert not hold.wants(SLOW, HOLD_SECONDS * 1.1)
    assert hold.wants(SLOW | OTHER, HOLD_SECONDS * 1.2)
    assert not hold.wants(frozenset(), HOLD_SECONDS * 1.3)
    assert hold.wants(SLOW, HOLD_SECONDS * 1.4)
