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
