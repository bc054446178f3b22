"""Waiting a moment for a topic that is slower than the others, so that a backlog is worked off in the order of its writing."""

from __future__ import annotations

from collections.abc import Callable

HOLD_SECONDS = 5.0
"""Longest wait for a topic that is known to have more. Longer: one whose leader is away delays the others noticeably;
shorter: a busy broker's next answer comes too late, a backlog is applied out of order, and a customer's oldest events may
turn out to be older than what is remembered of them (seen with 0.5 s on a machine with too much to do)."""


class Hold:
    """Wall clock: records wait a moment for a topic that is known to have more, so that no topic runs weeks ahead of another
    (as Kafka Streams does, KIP-695).

    What doesn't come is waited for once.
    """

    def __init__(self, wake_after: Callable[[float], object]) -> None:
        self._wake_after = wake_after
        self._held_for: frozenset[tuple[str, int]] = frozenset()
        self._held_since = 0.0
        self._given_up: frozenset[tuple[str, int]] = frozenset()

    def wants(self, missing: frozenset[tuple[str, int]], now: float) -> bool:
        """Whether to wait for what is missing (see `Inbox.missing`) at ``now``, in seconds of a clock that only grows."""
        self._given_up &= missing
        missing -= self._given_up
        if not missing:
            return False
        if missing != self._held_for:
            self._held_for, self._held_since = missing, now
            self._wake_after(HOLD_SECONDS)
        if now - self._held_since < HOLD_SECONDS * 0.99:
            return True
        self._given_up |= missing
        return False
