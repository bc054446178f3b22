"""The alarm: on time, early when told, and asleep otherwise."""

from __future__ import annotations

import asyncio
import time

from stream.adapters.clock import WallClock
from stream.agents.timers import Alarm


def test_it_fires_when_due_and_when_a_due_time_comes_forward() -> None:
    """An earlier due time that appears while it sleeps is kept."""

    async def scenario() -> list[int]:
        clock, rang = WallClock(), asyncio.Event()
        dues: list[int] = [clock.now_ms() + 60_000]
        fired: list[int] = []

        def fire(now_ms: int) -> None:
            fired.append(now_ms)
            dues.remove(min(dues))
            rang.set()

        alarm = Alarm(clock, lambda: min(dues), fire)
        task = asyncio.create_task(alarm.run())
        await asyncio.sleep(0.05)
        dues.append(soon := clock.now_ms() + 100)
        alarm.changed()
        await asyncio.wait_for(rang.wait(), 1)
        task.cancel()
        return [ms - soon for ms in fired]

    (delay,) = asyncio.run(scenario())
    assert 0 <= delay < 200


def test_what_falls_due_soon_after_an_alarm_is_gathered_for_the_next() -> None:
    """A transaction costs as much for one timer as for many."""

    async def scenario() -> int:
        clock, done = WallClock(), asyncio.Event()
        first = clock.now_ms() + 50
        dues = [first + 60 * number for number in range(5)]
        alarms = 0

        def fire(now_ms: int) -> None:
            nonlocal alarms
            alarms += 1
            dues[:] = [due for due in dues if due > now_ms]
            if not dues:
                done.set()

        task = asyncio.create_task(Alarm(clock, lambda: min(dues, default=None), fire).run())
        await asyncio.wait_for(done.wait(), 10)
        task.cancel()
        return alarms

    assert asyncio.run(scenario()) <= 2


def test_with_nothing_due_it_sleeps() -> None:
    """Asking costs next to nothing."""

    async def scenario() -> int:
        asked = 0

        def due() -> None:
            nonlocal asked
            asked += 1

        alarm = Alarm(WallClock(), due, lambda now: None)
        task = asyncio.create_task(alarm.run())
        began = time.monotonic()
        await asyncio.sleep(1.1)
        task.cancel()
        assert time.monotonic() - began < 2
        return asked

    assert asyncio.run(scenario()) <= 4
