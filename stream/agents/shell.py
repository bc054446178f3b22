"""The shell of a worker: gives each partition that the group assigns to a runner, and looks after all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.types import TP

from stream.agents.connection import client_options
from stream.agents.epochs import EpochFollower, OwnerRunner
from stream.agents.partition_runner import PartitionRunner
from stream.agents.ports import Clock, Core, Gauges, Release
from stream.agents.releases import Releases
from stream.agents.runner import Runner
from stream.agents.source import ConsumerSource
from stream.agents.status import WorkerStatus
from stream.agents.step_size import Haste
from stream.agents.timers import Alarm
from stream.agents.topic_ids import TopicFacts, topic_facts
from stream.agents.topics import Layout, ensure_topics
from stream.agents.transport import BatchConsumer, Chunk
from stream.agents.turns import Computing
from stream.config import DAY_MS, Settings

QUIESCE_SECONDS = 30.0
"""How long a rebalance waits for the running transactions: most take milliseconds. It must stay below the group's
rebalance time-out (60 s), or the whole group would expel this worker for the sake of one slow step."""

_WATCH_SECONDS = 1.0
_END_SECONDS = 5.0
"""Longest wait for what only saves work: a last commit of offsets, the ends of background tasks."""

_BROKER_SECONDS = 3.0
"""Between two questions to the broker, and the longest wait for an answer."""

_log = logging.getLogger(__name__)


class Shell:
    """All runners of one worker."""

    def __init__(
        self,
        settings: Settings,
        core: Core,
        *,
        clock: Clock,
        gauges: Gauges,
        consumer: Callable[[], BatchConsumer],
        until_ms: int | None = None,
    ) -> None:
        self.settings = settings
        self.status = WorkerStatus()
        self.gauges = gauges
        self.core = core
        self.caught_up = asyncio.Event()
        """Event clock: every partition of this worker has applied its inputs and time is at ``--until``."""
        self.failed = asyncio.Event()
        """`failure` is set: the worker is to be stopped."""
        self.failure: BaseException | None = None
        """An error that only a person can mend."""
        self._clock = clock
        self._consumer = consumer
        self._until_ms = until_ms
        self._haste = Haste()
        self._computing = Computing()
        self._layout: Layout | None = None
        self._runners: dict[int, PartitionRunner] = {}
        self._owner: OwnerRunner | None = None
        self._epochs = EpochFollower(settings, self._on_epoch)
        self._releases = Releases(settings, core, self._on_release)
        self._epoch_day: int | None = None
        self._ending = asyncio.Event()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(clock, self._due_ms, self._wake_due)
        self._tasks: list[asyncio.Task[None]] = []
        self._admin: AIOKafkaAdminClient | None = None
        self._lost: dict[TP, int] = {}

    # -- lifecycle

    async def prepare(self) -> None:
        """Waits for a broker, then for the topics to be as they should.

        Raises:
            TopicError: they can't be made so.
        """
        _log.info("connecting to %s", self.settings.broker)
        said = False
        while True:
            admin = AIOKafkaAdminClient(**client_options(self.settings))
            try:
                await admin.start()
                self._layout = await ensure_topics(admin, self.settings)
            except (KafkaError, OSError, TimeoutError) as error:
                await _quietly(admin.close())
                if not said:
                    _log.warning("no Kafka broker answers at %s (%r); waiting for it", self.settings.broker, error)
                    said = True
                await asyncio.sleep(_WATCH_SECONDS)
            except BaseException:
                await _quietly(admin.close())
                raise
            else:
                break
        self._admin = admin
        self._broker_answers(True)
        self.status.topics_ready = True
        _log.info("topics are ready, %d partitions each", self._layout.partitions)

    @property
    def layout(self) -> Layout:
        """The topics; known once `prepare` is done."""
        assert self._layout is not None, "prepare comes first"
        return self._layout

    def start(self) -> None:
        """Begins to follow epochs and to watch."""
        for work in (
            self._epochs.run(),
            self._releases.follower.run(),
            self._alarm.run(),
            self._watch(),
            self._watch_broker(),
        ):
            task = asyncio.create_task(work)
            self._tasks.append(task)
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Finishes what runs, lets all partitions go, disconnects."""
        await self._stop_runners(self._all())
        await asyncio.gather(*self._letting_go, return_exceptions=True)
        if self._runners:
            await self._consumer().late_commits.flush(_END_SECONDS)
        self._runners.clear()
        self._owner = None
        self._ending.set()
        self._epochs.stop()
        self._releases.follower.stop()
        self._alarm.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._admin is not None:
            await _quietly(self._admin.close())
        if self.status.assigned:
            _log.info("stopped: all partitions are let go")

    # -- the group

    async def on_revoked(self, revoked: Iterable[TP]) -> None:
        """A rebalance begins: nothing runs when this returns. The partitions are kept until it is known who gets them."""
        self._consumer().shut_all()
        runners = self._all()
        if runners:
            _log.info("rebalance: pausing %s", ", ".join(runner.name for runner in runners))
            await asyncio.gather(*(runner.pause(QUIESCE_SECONDS) for runner in runners))
            await self._consumer().late_commits.flush(_END_SECONDS)

    async def on_assigned(self, assigned: Iterable[TP]) -> None:
        """A rebalance ends: goes on with what was kept, begins what is new, lets go of the rest."""
        tps = set(assigned)
        self._consumer().know(self.layout.mark)
        wanted = {tp.partition for tp in tps if tp.topic in self.settings.input_topics}
        gone = [self._runners.pop(number) for number in list(self._runners) if number not in wanted]
        owns = any(tp.topic == self.settings.topic_contributions for tp in tps)
        stopping: list[Runner] = list(gone)
        if self._owner is not None and not owns:
            stopping.append(self._owner)
            self._owner = None
        _log.info("assigned partitions %s%s", sorted(wanted) or "none", ", making epochs" if owns else "")
        # In the background: no heartbeat is sent while this callback runs.
        task = asyncio.create_task(self._stop_runners(stopping))
        self._letting_go.add(task)
        task.add_done_callback(self._let_go)
        for lost in gone:
            self._forget(lost.partition)
        for runner in self._all():
            await runner.pause(QUIESCE_SECONDS)
            runner.resume()
        for number in sorted(wanted - self._runners.keys()):
            self._begin(number)
        if owns and self._owner is None:
            self._begin_owner()
        self.status.assigned = True
        self._alarm.changed()

    def deliver(self, chunk: Chunk) -> None:
        """Records from the stream, to whom they belong. What belongs to nobody here is somebody else's by now."""
        to_owner = chunk.topic == self.settings.topic_contributions
        runner = self._owner if to_owner else self._runners.get(chunk.partition)
        if runner is not None:
            runner.deliver(chunk)

    def _begin(self, number: int) -> None:
        runner = PartitionRunner(
            self.settings,
            self.core,
            self.layout,
            number,
            ConsumerSource(self._consumer()),
            clock=self._clock,
            gauges=self.gauges,
            epochs=self._epochs,
            releases=self._releases,
            haste=self._haste,
            computing=self._computing,
            until_ms=self._until_ms,
            on_fatal=self._fail,
            on_due=self._on_change,
        )
        self._runners[number] = runner
        self.status.partitions[number] = runner.status
        runner.start()

    def _begin_owner(self) -> None:
        self._owner = OwnerRunner(
            self.settings,
            self.core,
            self.layout,
            ConsumerSource(self._consumer()),
            gauges=self.gauges,
            on_fatal=self._fail,
        )
        self._owner.start()

    def _forget(self, number: int) -> None:
        self.status.partitions.pop(number, None)
        self.gauges.release(number)

    async def _stop_runners(self, runners: Iterable[Runner]) -> None:
        await asyncio.gather(*(runner.stop(QUIESCE_SECONDS) for runner in runners))

    def _all(self) -> list[Runner]:
        owner: list[Runner] = [] if self._owner is None else [self._owner]
        return [*self._runners.values(), *owner]

    # -- time and epochs

    def _on_epoch(self, epoch: bytes) -> None:
        self._epoch_day, quality = self.core.epoch_figures(epoch)
        if quality is not None:
            self.gauges.set_model(quality)
        if self.core.programme is not None:
            self.gauges.set_programme(self.core.programme(epoch))
        for runner in self._runners.values():
            runner.follow(epoch)

    def _on_release(self, release: Release) -> None:
        self.gauges.set_rules(release)
        for runner in self._runners.values():
            runner.adopt(release)

    @property
    def release(self) -> Release | None:
        """The rules and switches in use."""
        return self._releases.current

    def _due_ms(self) -> int | None:
        return min((due for runner in self._runners.values() if (due := runner.due_ms) is not None), default=None)

    def _wake_due(self, now_ms: int) -> None:
        for runner in self._runners.values():
            if runner.due_ms is not None and runner.due_ms <= now_ms:
                runner.wake()

    def _on_change(self) -> None:
        self._alarm.changed()
        done = self.status.assigned and all(runner.caught_up for runner in self._runners.values())
        if done and self.settings.clock == "event" and not self.caught_up.is_set():
            self.status.caught_up = True
            self.caught_up.set()
            _log.info("caught up: all inputs are applied and time is at the given end")

    # -- watching

    async def _watch(self) -> None:
        while not await self._ends_within(_WATCH_SECONDS):
            for runner in self._all():
                self._look_at(runner)
            if not self.status.assigned:
                # Faust doesn't fetch before the first assignment, and who doesn't fetch is told of no error.
                await self._consumer().check_group()
            self.status.group_trouble = self._consumer().trouble
            if self._epoch_day is not None:
                self.gauges.set_epoch(self._epoch_day, self._now_ms() // DAY_MS)
            self.status.timers_fail = "; ".join(r.timers_fail for r in self._runners.values() if r.timers_fail)
            self.status.rules_trouble = self._releases.trouble
            self.gauges.set_ready(self.status.word())
            self._on_change()

    def _now_ms(self) -> int:
        """The clock that drives timers."""
        if self.settings.clock == "wall":
            return self._clock.now_ms()
        return max((runner.pace.now_ms() for runner in self._runners.values()), default=0)

    def _look_at(self, runner: Runner) -> None:
        consumer = self._consumer()
        behind = 0
        positions, expected = runner.inbox.positions, runner.inbox.expected
        for topic, position in positions.items():
            tp = TP(topic, runner.partition)
            end, delivered = consumer.end(tp), consumer.delivered(tp)
            if end is not None:
                behind += (lag := max(0, end - position))
                if runner is not self._owner:
                    self.gauges.set_lag(topic, runner.partition, lag)
            # What the consumer handed out and has not come in within two looks got lost on the way, and no later chunk
            # may come to show it.
            lost = runner.serving and delivered is not None and delivered > expected[topic]
            if lost and self._lost.get(tp) == delivered:
                runner.read_again(topic)
            self._lost[tp] = delivered if lost and delivered is not None else -1
        runner.status.set_busy(behind > 0 or len(runner.inbox) > 0)

    async def _watch_broker(self) -> None:
        while not await self._ends_within(_BROKER_SECONDS):
            try:
                now = await asyncio.wait_for(self._layout_now(), _BROKER_SECONDS)
            except (KafkaError, OSError, TimeoutError):
                self._broker_answers(False)
            except Exception:
                _log.debug("asking the broker", exc_info=True)
                self._broker_answers(False)
            else:
                self._broker_answers(True)
                self.layout.check(now)

    async def _layout_now(self) -> dict[str, TopicFacts]:
        assert self._admin is not None, "prepare comes first"
        return await topic_facts(self._admin._client, self.layout.keyed)  # noqa: SLF001

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)
        return self._ending.is_set()

    def _broker_answers(self, answers: bool) -> None:
        status = self.status
        if answers and status.broker_away_since is not None:
            if status.topics_ready:
                _log.info("the broker answers again after %.0f s", time.monotonic() - status.broker_away_since)
                for partition in status.partitions.values():
                    partition.move()
            status.broker_away_since = None
        elif not answers and status.broker_away_since is None:
            status.broker_away_since = time.monotonic()
            _log.warning("no Kafka broker answers; waiting for it")
        self.gauges.set_broker_up(answers)

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.failed.set()

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._letting_go.discard(task)
        self._ended(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            if not self._ending.is_set():
                self._fail(RuntimeError(f"{task.get_coro()} was cancelled, and nobody here did it"))
        elif (error := task.exception()) is not None:
            self._fail(error)

    # -- questions

    def runner_of(self, customer_id: str) -> tuple[int, PartitionRunner | None]:
        """The partition that owns a customer, and its runner if it is here and serves."""
        if self._layout is None:
            return -1, None
        number = self.core.partition_of(customer_id, self._layout.partitions)
        return number, self.serving(number)

    def serving(self, number: int) -> PartitionRunner | None:
        """The runner of a partition, if it is here and serves."""
        runner = self._runners.get(number)
        return runner if runner is not None and runner.serving else None

    def any_runner(self) -> PartitionRunner | None:
        """A runner that serves: what all partitions share can be asked of any."""
        return next((runner for _, runner in sorted(self._runners.items()) if runner.serving), None)

    @property
    def held(self) -> list[int]:
        """The partitions of this worker."""
        return sorted(self._runners)


async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
    with contextlib.suppress(Exception):
        await work
