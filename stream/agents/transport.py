"""A Faust transport that delivers each fetch as one message: a chunk with all its records for each topic-partition.

Faust spends some 75 µs of event loop per message before any work of ours, and several turns of the loop. One message per fetch
spreads that over thousands of records. Everything else is Faust's aiokafka transport: the consumer's own thread, group
membership, rebalancing, subscription, delivery to the agents' streams.

Two more things differ, and both are about not losing records:

* **Positions are ours.** Offsets are committed in the transaction of the batch (see `stream.agents.transactions`),
  never by Faust: its commit timer would overwrite newer transactional offsets with older ones. After a rebalance the
  partition's runner seeks, not Faust.
* **Every chunk says where it begins.** The receiver compares that with where the last one ended, so a chunk that got
  lost in a queue on the way (Faust drops what is in flight when partitions are revoked) is noticed and read again.

Holds for faust-streaming 0.15.3 and aiokafka 0.14.0; ``tests/agents/test_internals.py`` fails when the internals that
are used here change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol, cast

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.serializers.schemas import Schema
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaDriverConsumer
from faust.transport.drivers.aiokafka import Transport as AIOKafkaDriverTransport
from faust.types import TP, ConsumerMessage, EventT, Message

from stream.agents.fetched import fetched, holds_any, set_wait, stop_waiting
from stream.agents.late_commits import LateCommits
from stream.events.record import Record

SCHEME = "winback"
"""The broker URL of the Faust app is ``winback://host:port``; the settings keep the usual ``kafka://``."""

POLL_SECONDS = 1.0
"""Longest wait of one poll. Whatever could end it sooner does: records, an error of the group, a topic that is opened. So
this is only how often an idle worker looks whether all is well."""

IDLE_WAIT_MS, BUSY_WAIT_MS, PLENTY_WAIT_MS = 1_000, 10, 50
"""How long the broker waits with its answer while none of the topics has anything new. The client has one request at a time
for all topics of a broker, so one that waits for the idle ones holds up a busy one whose records had not been taken when
it was sent (measured with one partition far behind: 59,000 events/s instead of 137,000). So it waits long only if nothing has come lately
and nothing waits here. Idle longer: a start is delayed by so much; shorter: it costs a request more often. Busy longer: it
shows in the latency; shorter: more requests under load, at a third of a millisecond of work each. While a receiver is so full
that it takes no more, half of that (10,000 records, and what the client has ready) lasts longer than 50 ms."""

_IDLE_SECONDS = 0.02

_HEAL_SECONDS = 1.0
"""Between two attempts to join a group that reports errors: a missing permission is not granted any faster by asking."""

_log = logging.getLogger(__name__)


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """Consecutive committed records of one topic-partition, possibly none (a transaction's markers take offsets too)."""

    topic: str
    partition: int
    start: int
    """Position of the consumer before this chunk."""
    next: int
    """Position of the consumer after this chunk."""
    records: list[Record]
    """In the order of their offsets."""


class HasConsumerOptions(Protocol):
    """What the transport needs of the app."""

    def consumer_options(self) -> dict[str, Any]:
        """Arguments of the `AIOKafkaConsumer` that is the worker's group member."""

    chunk_records: int
    """Most records in one poll."""


class BatchConsumerThread(AIOKafkaConsumerThread):
    """The thread in which the Kafka client lives, so that heartbeats go on while a batch is processed."""

    logger = logging.getLogger("faust.winback")

    _starts: dict[TopicPartition, int]

    trouble = ""
    """What the consumer group reported last, until it works again."""

    mark = ""
    """Metadata of the offsets that are committed here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # uvloop as in the worker's own thread: the client makes hundreds of small requests a second.
        super().__init__(*args, thread_loop=uvloop.new_event_loop(), **kwargs)
        self._close_thread_loop_on_stop = True

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        self._starts = {}
        return AIOKafkaConsumer(**cast(HasConsumerOptions, self.app).consumer_options())

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Positions are void from here on: the next assignment begins somewhere else until it is sought."""
        self._starts.clear()
        await super().on_partitions_revoked(revoked)

    async def fetch(self, wanted: Iterable[TP], *, plenty: bool = False) -> list[Chunk]:
        """What has arrived for these partitions, waiting for the first of it at most `POLL_SECONDS`.

        ``plenty``: a receiver of others has more than it takes.
        """
        return cast(list[Chunk], await self.call_thread(self._fetch, list(wanted), plenty))

    async def _fetch(self, wanted: list[TP], plenty: bool) -> list[Chunk]:
        consumer = self._ensure_consumer()
        starts = self._starts
        assigned = consumer.assignment()
        known = [tp for tp in (TopicPartition(*tp) for tp in wanted) if tp in starts and tp in assigned]
        if not known:
            # Opened, but the group is rebalancing.
            await asyncio.sleep(_IDLE_SECONDS)
            return []
        most = cast(HasConsumerOptions, self.app).chunk_records
        try:
            found = await fetched(consumer, known, POLL_SECONDS, most)
        except ConsumerStoppedError:
            raise
        except KafkaError as error:
            await self._heal(consumer, error)
            return []
        self.trouble = ""
        # No await from here on: the positions belong to exactly these records, and the next request is yet to be made.
        busy_ms = PLENTY_WAIT_MS if plenty else BUSY_WAIT_MS
        set_wait(consumer, busy_ms if found or holds_any(consumer) else IDLE_WAIT_MS)
        chunks = []
        for tp in known:
            start, following = starts.get(tp), _position(consumer, tp)
            if start is not None and following is not None and following != start:
                chunks.append(Chunk(tp.topic, tp.partition, start, following, found.get(tp, [])))
                starts[tp] = following
        return chunks

    def look_again(self) -> None:
        """Ends a running `fetch`: there is more to ask for."""
        self.thread_loop.call_soon_threadsafe(self._look_again)

    def _look_again(self) -> None:
        if self._consumer is not None:
            stop_waiting(self._consumer)

    async def check_group(self) -> None:
        """Looks after the consumer group while nothing is fetched."""
        await self.call_thread(self._check_group)

    async def _check_group(self) -> None:
        consumer = self._ensure_consumer()
        try:
            consumer._coordinator.check_errors()  # noqa: SLF001
        except KafkaError as error:
            await self._heal(consumer, error)

    async def _heal(self, consumer: AIOKafkaConsumer, error: KafkaError) -> None:
        """The group's coordination stops at an error until somebody takes notice, and its heartbeat has ended by then.

        Without joining again this worker would silently drop out of the group.
        """
        if self.trouble != repr(error):
            _log.warning("the consumer group reports %r; joining it again", error)
        self.trouble = repr(error)
        consumer._coordinator.request_rejoin()  # noqa: SLF001
        await asyncio.sleep(_HEAL_SECONDS)

    async def seek_to(self, positions: Mapping[TP, int]) -> None:
        """Reads on from these offsets."""
        await self.call_thread(self._seek_to, dict(positions))

    async def _seek_to(self, positions: dict[TP, int]) -> None:
        consumer = self._ensure_consumer()
        for tp, offset in positions.items():
            consumer.seek(TopicPartition(*tp), offset)
            self._starts[TopicPartition(*tp)] = offset

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> None:
        """Commits as a member of the group (at-least-once delivery only)."""
        await self.call_thread(self._commit_offsets, dict(offsets))

    async def _commit_offsets(self, offsets: dict[TP, int]) -> None:
        await self._ensure_consumer().commit(
            {TopicPartition(*tp): OffsetAndMetadata(offset, self.mark) for tp, offset in offsets.items()}
        )

    def delivered(self, tp: TP) -> int | None:
        """Position up to which chunks were handed out."""
        return self._starts.get(TopicPartition(*tp))

    def end(self, tp: TP) -> int | None:
        """End of what may be read of the partition as the last fetch saw it, ``None`` if there was none yet.

        What a transaction has begun and not ended is not to be had yet, so nobody waits for it and it is no lag.
        """
        consumer, partition = self._ensure_consumer(), TopicPartition(*tp)
        if partition not in consumer.assignment():
            return None
        stable = consumer.last_stable_offset(partition)
        return cast("int | None", consumer.highwater(partition) if stable is None or stable < 0 else stable)


def _position(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
    """`AIOKafkaConsumer.position` without its wait: ``None`` while there is no valid position."""
    try:
        state = consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001
    except (AttributeError, KeyError):
        return None
    return state.position if state is not None and state.has_valid_position else None


class BatchConsumer(AIOKafkaDriverConsumer):
    """Faust's consumer, delivering chunks of those topic-partitions that their receivers have opened."""

    logger = logging.getLogger("faust.winback")

    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: set[TP] = set()
        self._full: set[TP] = set()
        self._opened = asyncio.Event()
        self._messages = 0
        self.late_commits = LateCommits(self._thread.commit_offsets)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- what Faust's fetcher calls

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """One message with the chunks of all topic-partitions that have records, in the name of the first of them.

        Faust drops it if that one has been revoked meanwhile. Then all have been: rebalances are eager.
        """
        if not self._open:
            self._opened.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._opened.wait(), timeout)
        chunks = await self._thread.fetch(self._open, plenty=bool(self._full))
        if chunks:
            tp = TP(chunks[0].topic, chunks[0].partition)
            yield tp, self._to_message(tp, chunks)

    def _to_message(self, tp: TP, chunks: list[Chunk]) -> ConsumerMessage:
        self._messages += 1
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            # Not a Kafka offset but a number that only grows: Faust drops messages that seem to go backwards, as a
            # partition does after a seek.
            self._messages,
            0.0,
            0,
            [],
            None,
            cast(Any, chunks),
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Positions are the runners' business: this would seek to offsets read before a predecessor was fenced."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Offsets are committed with the batch that moved them."""
        return False

    async def verify_all_partitions_active(self) -> None:
        """Faust's watchdog reads the commits it doesn't make here; see `stream.agents.status` for ours."""

    # -- what the runners call

    def open(self, tps: Iterable[TP]) -> None:
        """Deliver these from now on."""
        before, tps = len(self._open), list(tps)
        self._open.update(tps)
        self._full.difference_update(tps)
        if len(self._open) > before:
            self._opened.set()
            self._thread.look_again()

    def shut(self, tps: Iterable[TP]) -> None:
        """Deliver these no more for now; what is on its way still comes."""
        full = self._open.intersection(tps)
        self._open -= full
        self._full |= full

    def shut_all(self) -> None:
        """Deliver nothing."""
        self._open.clear()
        self._full.clear()

    async def seek_to(self, positions: Mapping[TP, int]) -> None:
        """Deliver from these offsets on. `IllegalStateError` if one isn't assigned to this worker (any more)."""
        await self._thread.seek_to(positions)

    async def check_group(self) -> None:
        """Looks after the consumer group while nothing is fetched."""
        await self._thread.check_group()

    @property
    def trouble(self) -> str:
        """What the consumer group reported last, until it works again."""
        return self._thread.trouble

    def know(self, mark: str) -> None:
        """Commit this as metadata with every offset."""
        self._thread.mark = mark

    def delivered(self, tp: TP) -> int | None:
        """Position up to which chunks were handed out."""
        return self._thread.delivered(tp)

    def end(self, tp: TP) -> int | None:
        """End of the partition as the last fetch saw it, ``None`` if there was none yet."""
        return self._thread.end(tp)


class BatchTransport(AIOKafkaDriverTransport):
    """The transport of ``winback://``."""

    Consumer = BatchConsumer


class ChunkSchema(Schema[Any, Any]):
    """Hands chunks through as they are: the core decodes, so that a bad record is a value and not an exception."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        """The function that Faust calls for each message."""

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return cast(EventT[Any], app.create_event(None, message.value, message.headers, message))

        return decode


def register() -> None:
    """Makes the ``winback://`` scheme known to Faust in this process. Calling it again does no harm.

    The package also declares the entry point ``faust.transports``, for apps that Faust's own command starts.
    """
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:{BatchTransport.__name__}"
