"""Who of a worker's partitions computes, and what goes on before: all of them share one event loop.

A step's computation holds the loop for some milliseconds. A transaction is a handful of questions and answers, one after the
other, each of which takes several turns of the loop until its request has left or its answer has arrived where it is waited
for. If computations came between these turns as it happens, a transaction would take as long as the computations of all
other partitions, several times over. So only one partition computes at a time, and before it does, whatever is on its way
goes on as far as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

TURNS = 8
"""Turns of the event loop from an answer in the socket to the next request in it, at most. Fewer: answers wait for the next
computation; more: some 10 µs each before every step, if there is nothing to do in them."""


async def turns() -> None:
    """Lets everything else go on as far as it can without waiting for anybody outside."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Computing:
    """The right to compute, of one partition of a worker at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for it, and for what is on its way."""
        async with self._lock:
            await turns()
            yield
