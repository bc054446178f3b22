"""What goes wrong. Each fault strikes once, at work, and returns when nothing is left broken on purpose."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from stream.adapters.broker import EmbeddedBroker
from tests.agents.harness import until
from tests.bench._crash.workers import HAS_DISK, Worker

HOUR_MS = 3_600_000
TAKE_OVER_SECONDS = 240.0
"""How long anything that is waited for may take: a start, a session's end, a rebalance, a restore. Tens of times more than it
takes, for machines that do ten other things; what doesn't happen at all is a failure."""

_ASSIGNED = "assigned partitions "
"""What a worker logs when it is a member of the group again."""


class Stage(Protocol):
    """What a fault may touch."""

    chance: random.Random
    cluster: EmbeddedBroker
    nodes: int
    partitions: int
    workers: list[Worker]
    """Those that run when no fault is at work."""

    def new_worker(self) -> Worker:
        """One more, not started."""

    def strike(self) -> None:
        """Now it happens: the time to recovery counts from here."""

    async def recovered(self) -> None:
        """Returns when every partition has committed something that was written after the strike."""

    async def in_sync(self) -> None:
        """Returns when every replica has everything."""

    def say(self, text: str) -> None:
        """For the log of the suite."""


Fault = Callable[[Stage], Awaitable[None]]


async def kill(stage: Stage) -> None:
    """``kill -9`` of a worker in mid-stream; it starts again at once, or when the others have taken over."""
    victim = stage.chance.choice(stage.workers)
    stage.strike()
    victim.kill()
    if stage.chance.random() < 0.5:
        await stage.recovered()
    victim.start()


async def lose_disk(stage: Stage) -> None:
    """``kill -9`` of a worker, and its disk is empty when it comes back."""
    victim = stage.chance.choice(stage.workers)
    stage.strike()
    victim.kill()
    victim.wipe()
    victim.start()


async def freeze(stage: Stage) -> None:
    """A worker stands still until another serves its partitions, and wakes up with transactions in hand."""
    zombie = stage.chance.choice(stage.workers)
    others = [worker for worker in stage.workers if worker is not zombie]
    joined = zombie.log.count(_ASSIGNED)
    stage.strike()
    zombie.send(signal.SIGSTOP)
    try:
        await until(lambda: _serve_all(stage, others), TAKE_OVER_SECONDS)
        await stage.recovered()
    finally:
        zombie.send(signal.SIGCONT)
    await until(lambda: zombie.log.count(_ASSIGNED) > joined, TAKE_OVER_SECONDS)


async def come_and_go(stage: Stage) -> None:
    """A worker joins, and when it has work, one of all of them leaves in good order."""
    newcomer = stage.new_worker()
    newcomer.start()
    await until(lambda: _serves_any(newcomer), TAKE_OVER_SECONDS)
    stage.workers.append(newcomer)
    leaver = stage.chance.choice(stage.workers)
    stage.workers.remove(leaver)
    stage.strike()
    await leaver.leave()
    if leaver.exit_code:
        raise AssertionError(f"{leaver.name} left with exit code {leaver.exit_code}")


async def restart_brokers(stage: Stage) -> None:
    """All brokers are killed and started again."""
    stage.strike()
    nodes = range(1, stage.nodes + 1)
    for node in nodes:
        stage.cluster.kill(node)
    await asyncio.sleep(stage.chance.uniform(0, 2))
    await asyncio.gather(*(asyncio.to_thread(stage.cluster.restart, node) for node in nodes))
    await stage.in_sync()


async def lose_broker(stage: Stage) -> None:
    """One of the brokers is killed, work goes on without it, and it comes back."""
    node = stage.chance.randint(1, stage.nodes)
    stage.strike()
    stage.cluster.kill(node)
    await stage.recovered()
    await asyncio.to_thread(stage.cluster.restart, node)
    await stage.in_sync()


async def die_half_way(stage: Stage) -> None:
    """A worker dies with one batch of a step acknowledged and the others on their way, or not even that."""
    victim = stage.chance.choice(stage.workers)
    victim.order("die-half-way")
    await victim.ended()
    stage.strike()
    victim.start()


async def die_before_commit(stage: Stage) -> None:
    """A worker dies with a transaction open and everything of it written."""
    victim = stage.chance.choice(stage.workers)
    victim.order("die-before-commit")
    await victim.ended()
    stage.strike()
    victim.start()


async def die_after_commit(stage: Stage) -> None:
    """A worker dies when its transaction is committed and before it knows."""
    victim = stage.chance.choice(stage.workers)
    victim.order("die-after-commit")
    await victim.ended()
    stage.strike()
    victim.start()


async def abort(stage: Stage) -> None:
    """A worker's transaction fails half way, and the worker lives."""
    victim = stage.chance.choice(stage.workers)
    victim.order("fail-before-commit")
    await victim.obeyed()
    stage.strike()


async def jump_clock(stage: Stage) -> None:
    """The wall clocks jump by hours and days, forward and back, all of them or one; the last jump is left to be checked."""
    stage.strike()
    for _ in range(stage.chance.randint(1, 3)):
        wrong_by_ms = stage.chance.choice((-30, -5, -1, 1, 13, 26)) * HOUR_MS
        for worker in stage.workers if stage.chance.random() < 0.5 else [stage.chance.choice(stage.workers)]:
            worker.set_clock(wrong_by_ms)
        await asyncio.sleep(stage.chance.uniform(0.2, 1.5))
    everybody_ms = stage.chance.choice((-20, 14, 40)) * HOUR_MS
    stage.say(f"all clocks wrong by {everybody_ms // HOUR_MS} h")
    for worker in stage.workers:
        worker.set_clock(everybody_ms)


FAULTS: dict[str, Fault] = {
    "kill": kill,
    "freeze": freeze,
    "come-and-go": come_and_go,
    "restart-brokers": restart_brokers,
    "lose-broker": lose_broker,
    "die-half-way": die_half_way,
    "die-before-commit": die_before_commit,
    "die-after-commit": die_after_commit,
    "abort": abort,
    "jump-clock": jump_clock,
}
"""By the name that ``--faults`` takes."""
if HAS_DISK:
    FAULTS["lose-disk"] = lose_disk


def possible(nodes: int) -> list[str]:
    """The faults that a cluster of so many brokers can take."""
    return [name for name in FAULTS if nodes >= 3 or name != "lose-broker"]


async def _serve_all(stage: Stage, workers: list[Worker]) -> bool:
    served = [await worker.partitions() for worker in workers]
    return set().union(*served) == set(range(stage.partitions))


async def _serves_any(worker: Worker) -> bool:
    worker.check()
    return bool(await worker.partitions())


def now_ms() -> int:
    """Unix milliseconds UTC, by the clock that is right."""
    return time.time_ns() // 1_000_000
