"""The life of something that one worker at a time may do: claim it, serve it, hand it over, or start again.

Both kinds of runner (a partition, the epoch owner) go through the same steps: start the transactional producer, which
fences the former owner; read the state back from the log; seek; then step by step, each step one transaction. After any
failure the state in memory is worth nothing, since nobody can say whether the last transaction was committed: it is
claimed again from the start, unless another worker has it by then.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
from collections.abc import Callable

from aiokafka.errors import KafkaError

from stream.agents.connection import is_cancelled
from stream.agents.inbox import Arrival, Inbox
from stream.agents.source import NotAssigned, Source
from stream.agents.status import Doing, PartitionStatus
from stream.agents.transport import Chunk
from stream.errors import Fenced, TopicError, TransientError, WinbackError

_FIRST_BACKOFF_SECONDS, _LAST_BACKOFF_SECONDS = 0.1, 5.0
"""Between two attempts to claim: short enough that a blip costs little, long enough at last that a broker which comes
back isn't met by a crowd."""

_FENCED_BACKOFF_SECONDS = 3.0
"""After being fenced: as long as a heartbeat, so that a worker who was expelled from the group hears of it before it
would fence its successor in turn."""

_log = logging.getLogger(__name__)


class _Ended(Exception):
    """A claim is not wanted any more."""


class Runner(abc.ABC):
    """One thing that this worker owns for now."""

    def __init__(
        self, name: str, partition: int, source: Source, inbox: Inbox, on_fatal: Callable[[BaseException], None]
    ) -> None:
        self.name = name
        self.partition = partition
        self.status = PartitionStatus()
        self.inbox = inbox
        self._source = source
        self._on_fatal = on_fatal
        self._claimed = False
        self._paused = False
        self._ending = asyncio.Event()
        self._must_seek = True
        self._rested = False
        """There was nothing to do before the step that runs."""
        self._sought: set[str] = set()
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def serving(self) -> bool:
        """Whether the state is there and records are taken."""
        return self._claimed and not self._must_seek and not self._paused

    # -- what the shell calls

    def start(self) -> None:
        """Begins to claim and serve."""
        self._quiet.set()
        self._task = asyncio.create_task(self._run(), name=self.name)

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def deliver(self, chunk: Chunk) -> None:
        """Takes records from the stream. Never waits and never fails: what doesn't fit is read again."""
        if not self._claimed or self._must_seek:
            return
        arrival = self.inbox.put(chunk)
        if arrival is Arrival.TAKEN:
            self._sought.discard(chunk.topic)
            self._source.shut(self.partition, self.inbox.newly_full())
            self.wake()
        elif arrival is Arrival.GAP and chunk.topic not in self._sought:
            self.read_again(chunk.topic)
        elif arrival is Arrival.BACKWARDS:
            self._on_fatal(
                TopicError(
                    f"{chunk.topic}[{chunk.partition}] went from offset {chunk.start} back to {chunk.next}: it was "
                    "deleted and made again under a running worker"
                )
            )

    def read_again(self, topic: str) -> None:
        """A chunk got lost between the consumer and here."""
        _log.info("%s: reading %s again from %d", self.name, topic, self.inbox.expected[topic])
        self._sought.add(topic)
        self._must_seek = True
        self.wake()

    async def pause(self, seconds: float) -> bool:
        """Finishes the step that runs and begins no other. ``False`` if it doesn't end in time: it is given up."""
        self._paused = True
        self.wake()
        try:
            await asyncio.wait_for(self._quiet.wait(), seconds)
        except TimeoutError:
            _log.warning("%s: a step did not end within %.0f s before a rebalance; giving it up", self.name, seconds)
            await self._cancel()
            await self._drop("a step did not end before a rebalance")
            return False
        self.status.stage = Doing.PAUSED if self._claimed else self.status.stage
        return True

    def resume(self) -> None:
        """The rebalance is over and this is still ours. If another worker had it meanwhile, the fence will tell."""
        self._paused = False
        self._ending = asyncio.Event()
        self._must_seek = True
        if self._claimed:
            # What was fetched and not applied is fetched again: the consumer's positions are new.
            self.inbox.start_at(self.inbox.positions)
            self.status.move(Doing.RUNNING)
        if self._task is None or self._task.done():
            self.start()
        self.wake()

    async def stop(self, seconds: float) -> None:
        """Finishes the step that runs, then lets go. A claim ends at its next checkpoint.

        Nothing is cancelled if it can be helped: a client that is cancelled while it connects leaves the connection open.
        """
        self._ending.set()
        self.wake()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
            await self._cancel()
        await self._close()
        self._claimed = False

    def checkpoint(self) -> None:
        """Ends a claim that nobody wants any more."""
        if self._ending.is_set():
            raise _Ended

    # -- what the kinds of runner do

    @abc.abstractmethod
    async def _claim(self) -> None:
        """Fences, restores, and sets the inbox's positions."""

    @abc.abstractmethod
    async def _step(self) -> bool:
        """Does one thing; ``False`` if there was nothing to do."""

    @abc.abstractmethod
    async def _close(self) -> None:
        """Ends in good order."""

    @abc.abstractmethod
    async def _discard(self) -> None:
        """Throws away state that can't be trusted."""

    # -- the loop

    async def _run(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._ending.is_set():
            try:
                if not self._claimed:
                    await self._while_paused()
                    self.checkpoint()
                    await self._claim()
                    self.checkpoint()
                    self._claimed = self._must_seek = True
                    self.status.trouble = ""
                    self.status.move(Doing.RUNNING)
                backoff = _FIRST_BACKOFF_SECONDS
                await self._serve()
            except _Ended:
                return
            except Fenced as error:
                _log.warning("%s: another worker has it; claiming it again only if it stays assigned here", self.name)
                await self._drop(str(error).splitlines()[0])
                await self._nap(_FENCED_BACKOFF_SECONDS)
            except (TransientError, KafkaError, OSError, TimeoutError) as error:
                _log.warning("%s: %s; trying again in %.1f s", self.name, _first_line(error), backoff)
                await self._drop(_first_line(error))
                await self._nap(backoff)
                backoff = min(backoff * 2, _LAST_BACKOFF_SECONDS)
            except WinbackError as error:
                self._on_fatal(error)
                return
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and is_cancelled():
                    raise
                # A cancellation that nobody asked for is the client's own (see `stop_reader`).
                _log.exception("%s: unexpected failure; claiming it again in %.1f s", self.name, backoff)
                await self._drop(_first_line(error))
                await self._nap(backoff)
                backoff = min(backoff * 2, _LAST_BACKOFF_SECONDS)

    async def _nap(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    async def _serve(self) -> None:
        while not self._ending.is_set():
            # From here to the next wait nothing can pause it but a transaction's own awaits.
            self._wake.clear()
            if self._paused:
                await self._rest()
                continue
            self._quiet.clear()
            if self._must_seek:
                await self._seek()
                continue
            if not await self._step():
                await self._rest()

    async def _rest(self) -> None:
        self._rested = True
        self._quiet.set()
        await self._wake.wait()

    async def _while_paused(self) -> None:
        # Claiming fences: not while it is open whether this worker keeps it.
        while self._paused and not self._ending.is_set():
            self._wake.clear()
            await self._rest()

    async def _seek(self) -> None:
        try:
            await self._source.seek(self.partition, self.inbox.expected)
        except NotAssigned:
            # A rebalance began before the consumer could be told; it ends with `resume` or `stop`.
            self._paused = True
        else:
            self._must_seek = False

    async def _drop(self, why: str) -> None:
        self._source.shut(self.partition, list(self.inbox.expected))
        self._claimed = False
        self._quiet.set()
        self.status.stage, self.status.trouble = Doing.RETRYING, why
        await self._discard()

    async def _cancel(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _first_line(error: BaseException) -> str:
    return (str(error) or repr(error)).splitlines()[0]
