"""The worker that the suite crashes: the product's own, with a clock that can be set and places to die at.

Nothing of this is in the product. The wall clock is an argument of `run_worker`; for the rest, the Kafka client's calls are
wrapped in this process, so that it holds however the product's writer is made.

Run as ``python -m tests.bench._crash.worker FOLDER [early-commit]`` with the settings in the environment. In the folder:
``clock`` (milliseconds by which the clock is wrong, 8 bytes, mapped by both sides) and ``order`` (what to do at the next
commit, see `ORDERS`; it is removed when it is obeyed).
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream.environment import read_settings
from stream.worker import run_worker, set_up_logging

ORDERS = ("die-half-way", "die-before-commit", "fail-before-commit", "die-after-commit")
"""End as by a power cut when the first batch of a step is acknowledged; with everything of it written, before the commit;
refuse the commit; end right after it."""


class SetClock:
    """A wall clock that somebody else can set wrong while it runs."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._offset = mmap.mmap(file.fileno(), 8)

    def now_ms(self) -> int:
        """Unix milliseconds UTC, wrong by what the file says."""
        offset: int = struct.unpack_from("<q", self._offset)[0]
        return time.time_ns() // 1_000_000 + offset


class Saboteur:
    """Obeys the orders in a folder, and plants the bug."""

    def __init__(self, folder: Path, *, early_commit: bool) -> None:
        self._order = folder / "order"
        self._early_commit = early_commit
        self._early: dict[str, Any] = {}
        self._steps: set[int] = set()

    def install(self) -> None:
        """Wraps the client's calls with which a step's offsets are committed."""
        send_offsets, commit = AIOKafkaProducer.send_offsets_to_transaction, AIOKafkaProducer.commit_transaction
        send_batch, commit_plainly = AIOKafkaProducer.send_batch, AIOKafkaConsumer.commit

        async def sending_batch(producer: Any, batch: Any, topic: str, *, partition: int) -> Any:
            answer = await send_batch(producer, batch, topic, partition=partition)
            if self._order.exists() and self._order.read_text() == "die-half-way":
                await answer
                _die()
            return answer

        async def sending_offsets(producer: Any, offsets: Any, group: str) -> None:
            self._steps.add(id(producer))
            if self._early_commit and offsets:
                await self._commit_early(producer, offsets, group)
            await send_offsets(producer, offsets, group)

        async def committing(producer: Any) -> None:
            # Only a step's: the transaction has the offsets of events.
            is_step = id(producer) in self._steps
            self._steps.discard(id(producer))
            order = self._take_order() if is_step else ""
            if order == "die-before-commit":
                await producer.flush()
            self._obey(order)
            await commit(producer)
            if order == "die-after-commit":
                _die()

        async def committing_plainly(consumer: Any, offsets: Any = None) -> None:
            order = self._take_order()
            self._obey(order)
            await commit_plainly(consumer, offsets)
            if order == "die-after-commit":
                _die()

        AIOKafkaProducer.send_batch = sending_batch
        AIOKafkaProducer.send_offsets_to_transaction = sending_offsets
        AIOKafkaProducer.commit_transaction = committing
        AIOKafkaConsumer.commit = committing_plainly

    def _take_order(self) -> str:
        """The order for a commit. One for a batch stays: a commit may come between its being given and the next batch."""
        try:
            order = self._order.read_text()
            if order == "die-half-way":
                return ""
            self._order.unlink()
        except FileNotFoundError:
            return ""
        return order

    def _obey(self, order: str) -> None:
        if order == "die-before-commit":
            _die()
        if order == "fail-before-commit":
            raise KafkaError("the crash suite refuses this commit")

    async def _commit_early(self, producer: Any, offsets: Any, group: str) -> None:
        """The planted bug: offsets in a transaction of their own, committed while the step they belong to is not."""
        name = f"{producer._txn_manager.transactional_id}-early"
        early = self._early.get(name)
        if early is None:
            early = self._early[name] = AIOKafkaProducer(
                bootstrap_servers=os.environ["WINBACK_BROKER"].removeprefix("kafka://"), transactional_id=name
            )
            await early.start()
        await early.begin_transaction()
        await _send_offsets(early, offsets, group)
        await _commit(early)


_send_offsets = AIOKafkaProducer.send_offsets_to_transaction
_commit = AIOKafkaProducer.commit_transaction


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _end_with(parent: int) -> None:
    """Nobody is left to end this worker when the suite itself was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    _die()


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    folder = Path(sys.argv[1])
    Saboteur(folder, early_commit="early-commit" in sys.argv[2:]).install()
    set_up_logging("info")
    uvloop.run(run_worker(read_settings({}, os.environ), clock=SetClock(folder / "clock")))
