"""One partition computes at a time, after what is on its way has gone on."""

from __future__ import annotations

import asyncio

from stream.agents.turns import TURNS, Computing


def test_what_is_on_its_way_goes_on_before_each_computation() -> None:
    """A chain of as many turns as a request takes gets through between two partitions that are both ready to compute."""
    seen: list[str] = []
    computing = Computing()

    async def compute(name: str) -> None:
        async with computing.turn():
            seen.append(name)

    async def request(first: asyncio.Event) -> None:
        await first.wait()
        for _ in range(TURNS - 2):
            await asyncio.sleep(0)
        seen.append("request")

    async def run() -> None:
        answer = asyncio.Event()
        asking = asyncio.create_task(request(answer))
        await compute("one")
        answer.set()
        await asyncio.gather(asking, compute("two"))

    asyncio.run(run())

    assert ["one", "request", "two"] == seen


def test_a_failure_gives_the_turn_back() -> None:
    """Or no partition would ever compute again."""

    async def run() -> bool:
        computing = Computing()
        try:
            async with computing.turn():
                raise RuntimeError
        except RuntimeError:
            async with computing.turn():
                return True

    assert asyncio.run(run())
