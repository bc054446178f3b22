"""The wall clock's alarm: one task for the whole worker, however many customers have something due."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from stream.agents.ports import Clock

_LONGEST_SLEEP_SECONDS = 0.5
"""The wall clock may be set forward, or the machine may have been asleep: a timer that is due by the new time fires within
this. Two wake-ups a second cost nothing that can be measured; longer would break "within a second"."""

_BETWEEN_ALARMS_SECONDS = 0.8
"""After an alarm, what falls due meanwhile is gathered for the next: a transaction costs 3 ms of work for one timer as for a
hundred, and somebody of a million waiting customers is always due. A timer that comes alone is on time. Longer would break "within
a second"; shorter: an idle worker is less idle, and a partition that is busy is told more often. (It looks at its timers after every
step by itself.)"""


class Alarm:
    """Calls ``fire`` when the earliest due time is reached."""

    def __init__(self, clock: Clock, due_ms: Callable[[], int | None], fire: Callable[[int], None]) -> None:
        self._clock = clock
        self._due_ms = due_ms
        self._fire = fire
        self._changed = asyncio.Event()
        self._ended = False

    def changed(self) -> None:
        """A due time may be earlier now."""
        self._changed.set()

    def stop(self) -> None:
        """Ends `run`."""
        self._ended = True
        self._changed.set()

    async def run(self) -> None:
        """Runs until it is stopped."""
        while not self._ended:
            self._changed.clear()
            due, now = self._due_ms(), self._clock.now_ms()
            if due is not None and due <= now:
                self._fire(now)
                await asyncio.sleep(_BETWEEN_ALARMS_SECONDS)
                continue
            seconds = _LONGEST_SLEEP_SECONDS if due is None else min((due - now) / 1000, _LONGEST_SLEEP_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
