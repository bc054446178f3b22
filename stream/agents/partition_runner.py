"""One partition of the worker: its records through its processor, each step in one transaction."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP

from stream.agents.epochs import Epochs
from stream.agents.hold import Hold
from stream.agents.inbox import Inbox
from stream.agents.pace import Apply, EventPace, Pace, Tick, Wait, WallPace
from stream.agents.plain_writer import PlainWriter
from stream.agents.ports import Clock, Core, Gauges, Processor, Release
from stream.agents.positions import TopicEnds, start_positions
from stream.agents.releases import Releases
from stream.agents.restore import Progress, restore_store
from stream.agents.runner import Runner
from stream.agents.source import Source
from stream.agents.status import Doing
from stream.agents.step_size import Haste, StepSize
from stream.agents.steps import fire, is_empty, join, refusal
from stream.agents.store import MemoryStore, Store
from stream.agents.topics import Layout
from stream.agents.transactions import TransactionalWriter
from stream.agents.turns import Computing
from stream.agents.writing import Unwritable, Writer, Written
from stream.config import Settings
from stream.errors import ConfigurationError, StateError, TransientError, WinbackError
from stream.events.record import Record
from stream.outcome import Outcome

_TIMER_BACKOFF_SECONDS = 10.0
"""After the processor failed at a timer, for which no record can be blamed: the records go on, the timers are tried again
at this pace, and the worker says so in its log, on ``/ready`` and in a metric."""

_FEW = 500
"""A batch of fewer records waits for more, as long as `batch_linger_ms` says. Larger: latency for nothing, because a transaction
of 500 is already cheap; smaller: more transactions when it is quiet."""

_MOST_CHANGED = 10_000
"""Event clock: customers in one transaction with what time does to them. A quiet week fits in; a month of a large shop
doesn't, because the changelog's part of the transaction would take seconds."""

_log = logging.getLogger(__name__)


class PartitionRunner(Runner):
    """Claims, restores and serves one partition.

    The loop: collect a batch; let the processor apply it; write changelog, messages and offsets in one transaction;
    tell the processor. A batch on which the processor raises is halved until a single record is left, which becomes
    a dead letter; after each success the limit doubles again. So one bad record in two thousand costs about twenty
    transactions, and no record is lost.
    """

    def __init__(
        self,
        settings: Settings,
        core: Core,
        layout: Layout,
        partition: int,
        source: Source,
        *,
        clock: Clock,
        gauges: Gauges,
        epochs: Epochs,
        releases: Releases,
        haste: Haste,
        computing: Computing,
        until_ms: int | None,
        on_fatal: Callable[[BaseException], None],
        on_due: Callable[[], None],
    ) -> None:
        self._event_clock = settings.clock == "event"
        time_ms = core.event_time_ms if self._event_clock else None
        super().__init__(f"partition {partition}", partition, source, Inbox(layout.keyed, time_ms), on_fatal)
        self._settings = settings
        self._core = core
        self._layout = layout
        self._clock = clock
        self._gauges = gauges
        self._epochs = epochs
        self._releases = releases
        self._release: Release | None = None
        self._until_ms = until_ms
        self._on_due = on_due
        self._limit = settings.batch_records
        self._computing = computing
        self._step_size = StepSize(haste)
        self._pending: list[bytes] = []
        self._look_for_strays = False
        self._refused: tuple[str, int, Unwritable] | None = None
        self._began = 0.0
        self._ends = TopicEnds(settings)
        self._writer: Writer | None = None
        self._unmarked = True
        self._timers_from = 0.0
        self._store: Store = MemoryStore()
        self.processor: Processor | None = None
        self.pace: Pace = WallPace(clock)
        self._hold = Hold(lambda seconds: asyncio.get_running_loop().call_later(seconds, self.wake))
        self.due_ms: int | None = None
        self.caught_up = False
        self.timers_fail = ""

    # -- claiming

    async def _claim(self) -> None:
        settings, partition = self._settings, self.partition
        self.status.move(Doing.CLAIMING)
        self._writer = self._new_writer()
        await self._writer.start()
        self.status.move(Doing.RESTORING)
        self.status.progress = progress = Progress()
        store = self._store = await restore_store(
            settings, settings.topic_changelog, partition, self._layout.partitions, progress, self._report_progress
        )
        self.status.disk = store.trouble
        began = time.monotonic()
        processor = self._core.partition(partition, self._layout.partitions, store)
        release = await self._releases.fresh()
        if release is not None:
            release.take_over(processor)
        # In a thread, so that other partitions go on meanwhile: nobody else has this processor yet.
        await asyncio.to_thread(processor.recover, 0 if self._event_clock else self._clock.now_ms())
        progress.seconds += time.monotonic() - began
        positions = await start_positions(
            settings, self._layout.keyed, partition, processor.source_offsets(), self._ends, self._layout.ids
        )
        self._unmarked = True
        self.inbox.start_at(positions)
        self.pace = EventPace(self._until_ms) if self._event_clock else WallPace(self._clock)
        if isinstance(self.pace, EventPace):
            self.pace.ends = await self._look_up_ends()
        else:
            await self._ends.close()
        await self._epochs.ready.wait()
        self.caught_up = False
        # No await from here: what is published from now on comes by `follow`.
        self.processor, self._pending = processor, self._epochs.latest()
        self._release = self._releases.current
        self._report_progress()
        self._gauges.set_population(partition, *processor.population())
        _log.info(
            "partition %d: restored %d customers from disk and %d changelog records in %.1f s; goes on at %s",
            partition, progress.loaded, progress.records, progress.seconds, _shown(positions),
        )  # fmt: skip

    def _new_writer(self) -> Writer:
        if self._settings.delivery == "exactly_once":
            return TransactionalWriter(self._settings, f"{self._settings.app_id}-{self.partition}", self._layout.mark)
        return PlainWriter(self._settings, self._source.note)

    def _report_progress(self) -> None:
        self.checkpoint()
        self.status.move()
        # 1 says that restoring is over: only when the processor is there.
        ratio = 1.0 if self.processor is not None else min(self.status.progress.ratio, 0.99)
        self._gauges.set_recovery(self.partition, self.status.progress.seconds, ratio)

    async def _look_up_ends(self) -> dict[str, int]:
        tps = [TopicPartition(topic, self.partition) for topic in self._layout.keyed]
        return {tp.topic: end for tp, end in (await self._ends.ends(tps)).items()}

    async def _close(self) -> None:
        writer, self._writer, self.processor = self._writer, None, None
        if writer is not None:
            await writer.close()
        await self._store.close()
        await self._ends.close()

    async def _discard(self) -> None:
        writer, self._writer, self.processor = self._writer, None, None
        self.due_ms = None
        if writer is not None:
            await writer.give_up()
        await self._store.close()
        await self._ends.close()

    # -- serving

    def follow(self, epoch: bytes) -> None:
        """A new version of what all partitions share: taken over between two steps."""
        if self.processor is not None:
            self._pending.append(epoch)
            self.wake()

    def adopt(self, release: Release) -> None:
        """Other rules or switches: taken over between two steps, the last one of several."""
        if self.processor is not None:
            self._release = release
            self.wake()

    async def _step(self) -> bool:
        processor, self._began = self._claimed_processor(), time.monotonic()
        if self._release is not None:
            self._release.take_over(processor)
            self._release = None
        await self._take_over_epochs(processor)
        self.status.set_busy(len(self.inbox) > 0)
        if isinstance(self.pace, WallPace):
            self.pace.timers_off = self._began < self._timers_from
            self.pace.apart = self._limit < self._settings.batch_records
            if self._waits_for_slower_topics():
                return False
        move = self.pace.next(processor, self.inbox, self._most())
        if isinstance(move, Apply):
            return await self._apply(processor, move)
        if isinstance(move, Tick):
            return await self._tick(processor, move)
        return await self._wait(move)

    def _most(self) -> int:
        """Records in the next batch at most."""
        if self._event_clock:
            return self._limit
        return min(self._limit, self._step_size.most(self._waiting()))

    def _waiting(self) -> int:
        """Records between the last applied ones and the ends of their topics, as far as they are known."""
        positions, end_of = self.inbox.positions, self._source.end
        return sum(max(0, (end_of(topic, self.partition) or 0) - at) for topic, at in positions.items())

    def _waits_for_slower_topics(self) -> bool:
        """See `Hold`."""
        if not len(self.inbox):
            return False
        missing = self.inbox.missing(lambda topic: self._source.end(topic, self.partition))
        return self._hold.wants(missing, self._began)

    def _claimed_processor(self) -> Processor:
        assert self.processor is not None, "a runner serves only what it has claimed"
        return self.processor

    def _claimed_writer(self) -> Writer:
        assert self._writer is not None, "a runner serves only what it has claimed"
        return self._writer

    async def _take_over_epochs(self, processor: Processor) -> None:
        pending, self._pending = self._pending, []
        for value in pending:
            try:
                processor.follow(value)
            except WinbackError:
                raise
            except Exception:
                _log.exception("%s: an epoch can't be followed; the last one stays in use", self.name)
        if pending and self._look_for_strays and isinstance(self.pace, EventPace):
            # What other partitions forwarded here before they closed their day is in by the time its epoch comes.
            self._look_for_strays = False
            self.pace.ends = await self._look_up_ends()

    async def _wait(self, why: Wait) -> bool:
        pace = self.pace
        if isinstance(pace, EventPace):
            if why is Wait.EPOCH:
                self.status.stage, self._look_for_strays = Doing.WAITING, True
            elif why is Wait.RECORDS and len(self.inbox) == 0 and not self.inbox.behind(pace.ends):
                ends = await self._look_up_ends()
                pace.at_ends, pace.ends = ends == pace.ends, ends
                return pace.at_ends
            elif why is Wait.CAUGHT_UP and not self.caught_up:
                self.caught_up = True
                _log.info("%s: caught up with its inputs", self.name)
                self._on_due()
        self._look_ahead()
        return False

    async def _apply(self, processor: Processor, move: Apply) -> bool:
        self._claimed_writer().prepare()
        if self._rested and len(move.batch.records) < _FEW and not self._event_clock:
            # A fuller transaction costs the same as this one. While one runs, the next fills up by itself.
            await asyncio.sleep(self._settings.batch_linger_ms / 1000)
        self._rested = False
        async with self._computing.turn():
            if not self._event_clock and len(move.batch.records) < self._most():
                # More has come meanwhile.
                again = self.pace.next(processor, self.inbox, self._most())
                move = again if isinstance(again, Apply) else move
            outcome = self._computed(processor, move)
        if outcome is None:
            return True
        batch, records = move.batch, move.batch.records
        # From here on a failure means claiming again, which finds the records where the last commit left them.
        self.inbox.done(batch)
        self._source.open(self.partition, self.inbox.newly_free())
        self.pace.moved(move)
        if self._event_clock:
            self._let_time_pass(processor, outcome)
        offsets = {TP(topic, self.partition): at for topic, at in batch.offsets.items()}
        try:
            await self._commit(processor, outcome, offsets)
        except Unwritable as error:
            # Whoever tries can't write it: the record is found by halving, as when the processor raises.
            self._limit = max(1, len(records) // 2)
            self._refused = (*_first(records), error) if len(records) == 1 else None
            raise TransientError(str(error)) from error
        self._limit = min(self._limit * 2, self._settings.batch_records)
        for topic, at in batch.offsets.items():
            self._gauges.set_offset(topic, self.partition, at - 1)
        return True

    def _computed(self, processor: Processor, move: Apply) -> Outcome | None:
        """What becomes of a batch, and of the timers that are due with it; ``None`` if another one is to be tried."""
        records = move.batch.records
        try:
            if self._refused is not None and len(records) == 1 and _first(records) == self._refused[:2]:
                raise self._refused[2]
            began = time.monotonic()
            outcome = processor.apply(records, move.now_ms)
            spent = time.monotonic() - began
        except (StateError, ConfigurationError):
            raise
        except Exception as error:
            processor.rollback()
            if len(records) > 1:
                _log.warning("%s: %r on a batch of %d records; looking for the one", self.name, error, len(records))
                self._limit = len(records) // 2
                return None
            self._check_innocent(processor, move.now_ms)
            return refusal(records[0], error)
        self._gauges.observe_batch(len(records), spent)
        self._step_size.took(len(records), spent)
        if isinstance(self.pace, WallPace) and self.pace.joins_tick(processor, move.now_ms):
            try:
                join(outcome, fire(processor, move.now_ms))
            except WinbackError:
                raise
            except Exception as error:
                processor.rollback()
                self._timers_failed(error)
                return None
        return outcome

    def _check_innocent(self, processor: Processor, now_ms: int) -> None:
        """Raises if the processor fails without any record too: then nobody's event is to blame, and none is refused."""
        try:
            processor.apply([], now_ms)
        except Exception as error:
            self._timers_failed(error)
            raise TransientError(f"the processor fails without a record: {error!r}") from error
        finally:
            processor.rollback()

    def _let_time_pass(self, processor: Processor, outcome: Outcome) -> None:
        """Event clock: what time does before the next record or epoch goes into the same transaction."""
        while len(outcome.changed) < _MOST_CHANGED:
            move = self.pace.next(processor, self.inbox, 1)
            if not isinstance(move, Tick):
                return
            try:
                join(outcome, fire(processor, move.now_ms))
            except WinbackError:
                raise
            except Exception as error:
                self._timers_failed(error)
                raise TransientError(f"timers fail: {error!r}") from error
            self.pace.moved(move)

    async def _tick(self, processor: Processor, move: Tick) -> bool:
        try:
            outcome = fire(processor, move.now_ms)
            self.pace.moved(move)
            if self._event_clock:
                self._let_time_pass(processor, outcome)
        except WinbackError:
            raise
        except Exception as error:
            processor.rollback()
            self._timers_failed(error)
            return len(self.inbox) > 0
        try:
            await self._commit(processor, outcome, {})
        except Unwritable as error:
            self._timers_failed(error)
            raise TransientError(str(error)) from error
        if self.timers_fail:
            self.timers_fail = ""
            self._look_ahead()
        return True

    def _timers_failed(self, error: Exception) -> None:
        _log.error("%s: timers fail", self.name, exc_info=error)
        self._gauges.count_transaction_failure("timers")
        self.timers_fail = f"{type(error).__name__}: {error}"
        if self._event_clock:
            # Time can't pass, so nothing can: better to stop than to wait for ever.
            self._on_fatal(error)
        self._timers_from = time.monotonic() + _TIMER_BACKOFF_SECONDS
        self._look_ahead()
        asyncio.get_running_loop().call_later(_TIMER_BACKOFF_SECONDS, self.wake)

    async def _commit(self, processor: Processor, outcome: Outcome, offsets: Mapping[TP, int]) -> None:
        if offsets or not is_empty(outcome):
            if self._unmarked:
                # The broker forgets a deleted topic's offsets. This topic is our own, so what its offset says stays.
                own = self._settings.topic_repartition
                offsets = {TP(own, self.partition): self.inbox.positions[own]} | dict(offsets)
            began = time.monotonic()
            rows = self._layout.rows(self.partition, outcome.changed, outcome.messages)
            try:
                written = await self._claimed_writer().write(rows, offsets)
            except Exception as error:
                self._gauges.count_transaction_failure(type(error).__name__)
                raise
            self._unmarked = False
            self._gauges.observe_transaction(time.monotonic() - began)
            if outcome.changed:
                self._store.put(outcome.changed, self._complete_to(written))
                await self._store.room()
        processor.commit()
        self.status.move(Doing.RUNNING)
        self.status.disk = self._store.trouble
        self._gauges.observe(outcome, partition=self.partition, commit_ms=int((time.monotonic() - self._began) * 1000))
        self._gauges.set_clock(self.partition, self.pace.now_ms())
        self._look_ahead()

    def _complete_to(self, written: Written) -> int:
        """Offset of the changelog up to which the store has everything, now that a step is in."""
        known, span = self._store.position, written.get((self._settings.topic_changelog, self.partition))
        if span is None:
            return known
        # Without a fence what lies between may be another worker's.
        fenced = self._settings.delivery == "exactly_once"
        return span.next if fenced or span.first == known else known

    def _look_ahead(self) -> None:
        unable = self.processor is None or self._event_clock or self.timers_fail
        due = None if unable or self.processor is None else self.processor.next_due_ms()
        if due != self.due_ms:
            self.due_ms = due
            self._on_due()

    # -- questions

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """One customer as of now."""
        return self._claimed_processor().customer(customer_id, self.pace.now_ms())

    def find(self, asked: Mapping[str, str], after: str) -> Iterator[dict[str, Any] | None]:
        """The customers of a class as of now, those after one; ``None`` in between. Ends early when the partition is let go."""
        processor = self._claimed_processor()
        for found in processor.find(asked, after, self.pace.now_ms()):
            yield found
            if self.processor is not processor:
                return

    def product(self, product_id: str) -> dict[str, Any]:
        """What is known of a product."""
        return self._claimed_processor().product(product_id)

    def drivers(self) -> dict[str, Any]:
        """What goes along with loyalty and money three months later."""
        return self._claimed_processor().drivers()


def _first(records: Sequence[Record]) -> tuple[str, int]:
    return records[0].topic, records[0].offset


def _shown(positions: Mapping[str, int]) -> str:
    return ", ".join(f"{topic}@{offset}" for topic, offset in positions.items() if offset) or "the beginning"
