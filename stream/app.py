"""The composition root: the one place that picks the concrete parts of a worker.

Nothing runs at import. `stream.environment` makes the settings, `build_app` makes the Faust app; `stream.worker` runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.types import TP
from mode import Service, ServiceT
from prometheus_client import CollectorRegistry

from stream.adapters.clock import WallClock
from stream.adapters.metrics import Metrics, ModelQuality, Programme
from stream.agents import transport
from stream.agents.answers import ShellAnswers
from stream.agents.assignor import CopartitionedAssignor
from stream.agents.connection import CONSUMER_TIMEOUT_MS, MAX_MESSAGE_BYTES, client_options
from stream.agents.inbox import FULL_RECORDS
from stream.agents.ports import Clock, Core, Processor, Release
from stream.agents.shell import QUIESCE_SECONDS, Shell
from stream.agents.transport import BatchConsumer, Chunk, ChunkSchema
from stream.config import Settings
from stream.web.ports import Elsewhere, NotYet
from stream.web.server import WebServer

_log = logging.getLogger(__name__)


def build_core(settings: Settings) -> Core:
    """The processor and what belongs to it, with the rules that the settings name.

    Raises:
        RuleFileError: with every mistake in the rule files.
    """
    # The model library takes a second to import, which a worker with another core (a test's) need not wait for.
    from stream.events.codec import event_time_ms
    from stream.events.hashing import owner_partition
    from stream.governance.asked import Controls
    from stream.processor import EpochOwner, Partition
    from stream.rules import published
    from stream.rules.loader import load_rules
    from stream.rules.switches import told

    rules = load_rules(settings.rules_dir)
    known = {0: rules}

    def partition(number: int, partitions: int, store: Mapping[bytes, bytes]) -> Processor:
        return Partition(settings, rules, partition=number, partitions=partitions, store=store)

    def release(values: Mapping[bytes, bytes]) -> Release:
        found = published.decode(values)
        current, switched = found.current, found.switched
        number = 0 if current is None else current.number
        if number not in known:
            known.clear()
            known[0] = rules
            known[number] = published.rule_set(found, rules)
        live = known[number]
        controls = Controls(
            paused_by=switched.paused_by,
            stopped_rules=frozenset(switched.stopped_rules),
            dry_rules=frozenset(switched.dry_rules),
            test_customers=frozenset(switched.test_customers),
        )

        def take_over(processor: Processor) -> None:
            partition = cast(Partition, processor)
            if partition.rules is not live:
                partition.adopt_rules(live, by_event_time=settings.clock == "event")
            partition.control(controls)

        return Release(
            number=number,
            rules_version=live.version,
            at_ms=0 if current is None else current.at_ms,
            by="" if current is None else current.by,
            switch=switched.number,
            paused=published.paused(switched),
            switched=tuple(told(switched)),
            take_over=take_over,
        )

    return Core(
        partition=partition,
        release=release,
        owner=lambda partitions: EpochOwner(settings, partitions),
        event_time_ms=event_time_ms,
        partition_of=lambda customer_id, partitions: owner_partition(customer_id.encode(), partitions),
        epoch_figures=_epoch_figures,
        programme=lambda epoch: _programme(epoch, settings),
    )


def _programme(value: bytes, settings: Settings) -> Programme:
    from stream.experiments.published import effects, newest
    from stream.feedback.sentiment import Sentiment
    from stream.kpis.rates import kpis
    from stream.processor.epochs import decode_epoch
    from stream.products.associations import Associations

    epoch = decode_epoch(value)
    day, tallies = epoch.day - 1, epoch.tallies
    known, words = Associations(epoch.products), Sentiment(epoch.sentiment).quality
    learnt = {
        "winback_products": float(known.products),
        "winback_product_orders": known.orders,
        "winback_sentiment_labels": float(words.labels),
        "winback_sentiment_told_ratio": words.told,
        "winback_sentiment_right_ratio": words.told * words.accuracy,
    }
    return Programme(
        kpis(epoch.looks, day, settings),
        effects(tallies, newest(tallies), day, settings.currency) if tallies else [],
        learnt,
    )


def _epoch_figures(value: bytes) -> tuple[int, ModelQuality | None]:
    from stream.processor.epochs import decode_epoch

    epoch = decode_epoch(value)
    model = epoch.model
    if model is None:
        return epoch.day, None
    quality = model.quality
    return epoch.day, ModelQuality(
        day=epoch.day,
        labels=model.labels,
        drifts=model.drifts,
        shifts=model.shifts,
        abstained=bool(model.abstained),
        auc=quality.auc,
        brier=quality.brier,
        calibration_error=quality.calibration_error,
        lift_quality=quality.lift_quality,
        kind=model.kind,
        is_pinned=model.is_pinned,
        auc_of={s.name: s.auc for s in model.contenders if s.auc is not None},
        calibration_error_of={s.name: s.calibration_error for s in model.contenders if s.calibration_error is not None},
    )


class _Prepare(Service):
    """Broker and topics, before Faust's consumer starts."""

    logger = logging.getLogger("faust.winback")

    def __init__(self, shell: Shell, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shell = shell

    async def on_start(self) -> None:
        await self._shell.prepare()


class _Serve(Service):
    """The shell: started last and so stopped first, while the consumer is still a member of the group."""

    logger = logging.getLogger("faust.winback")

    def __init__(self, shell: Shell, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shell = shell

    async def on_start(self) -> None:
        self._shell.start()

    async def on_stop(self) -> None:
        await self._shell.stop()


class _Boot(BootStrategy):
    """Faust's order of services, with ours around: web first (it says what the start is waiting for), shell last."""

    # The transactional producers are ours, one per partition.
    enable_kafka_producer = False
    enable_web = False

    def server(self) -> Iterable[ServiceT]:
        app = cast("WinbackApp", self.app)
        before: list[ServiceT] = [app.http, _Prepare(app.shell, beacon=app.beacon)]
        after: list[ServiceT] = [_Serve(app.shell, beacon=app.beacon)]
        return chain(before, super().server(), after)


class WinbackApp(faust.App):
    """The Faust app of a worker. Made by `build_app`."""

    logger = logging.getLogger("faust.winback")

    BootStrategy = _Boot

    shell: Shell
    http: WebServer
    settings: Settings

    chunk_records = FULL_RECORDS

    def consumer_options(self) -> dict[str, Any]:
        """Arguments of the client that is the worker's member of the group."""
        settings = self.settings
        return client_options(settings) | {
            "group_id": settings.app_id,
            "partition_assignment_strategy": [CopartitionedAssignor()],
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "session_timeout_ms": settings.session_timeout_ms,
            # Three tries before the session ends.
            "heartbeat_interval_ms": max(100, settings.session_timeout_ms // 4),
            "rebalance_timeout_ms": int(QUIESCE_SECONDS * 2000),
            # While a state is restored nothing is polled. Whether the worker makes progress is for /health to say.
            "max_poll_interval_ms": 86_400_000,
            "fetch_max_wait_ms": transport.IDLE_WAIT_MS,
            "consumer_timeout_ms": CONSUMER_TIMEOUT_MS,
            "max_partition_fetch_bytes": max(settings.max_record_bytes, MAX_MESSAGE_BYTES // 2),
        }

    def _create_directories(self) -> None:
        """Faust's tables would need some."""


def build_app(
    settings: Settings,
    *,
    core: Core | None = None,
    clock: Clock | None = None,
    until_ms: int | None = None,
) -> WinbackApp:
    """A worker that is ready to be started.

    Args:
        core: what processes events; the product's own if not given (tests of the shell bring a small one).
        clock: the wall clock, likewise.
        until_ms: with the event clock, where time goes to after the inputs' end (Unix milliseconds UTC).
    """
    transport.register()
    app = WinbackApp(
        settings.app_id,
        broker=[f"{transport.SCHEME}://{address}" for address in settings.broker.removeprefix("kafka://").split(",")],
        autodiscover=False,
        broker_session_timeout=settings.session_timeout_ms / 1000,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.settings = settings
    app.shell = shell = Shell(
        settings,
        core if core is not None else build_core(settings),
        clock=clock if clock is not None else WallClock(),
        gauges=Metrics(CollectorRegistry()),
        consumer=lambda: cast(BatchConsumer, app.consumer),
        until_ms=until_ms,
    )
    app.http = WebServer(settings, ShellAnswers(shell, Elsewhere, NotYet), beacon=app.beacon)
    sources = app.topic(
        *settings.input_topics,
        settings.topic_repartition,
        settings.topic_contributions,
        acks=False,
        schema=ChunkSchema(),
    )

    @app.agent(sources, name="route")
    async def route(fetches: Any) -> None:
        """Brings each chunk to the runner of its partition."""
        chunks: list[Chunk]
        async for chunks in fetches:
            for chunk in chunks:
                # Faust takes an event whose agent raises for done: an agent must not.
                try:
                    shell.deliver(chunk)
                except Exception:
                    _log.exception("a chunk of %s could not be delivered; it is read again", chunk.topic)

    @app.on_partitions_revoked.connect(weak=False)
    async def revoked(app: Any, partitions: set[TP], **kwargs: Any) -> None:
        await shell.on_revoked(partitions)

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(app: Any, partitions: set[TP], **kwargs: Any) -> None:
        await shell.on_assigned(partitions)

    return app
