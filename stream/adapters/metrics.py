"""Prometheus metrics of a worker: the collector that fills the table of `stream.adapters.metric_table` (MISSION G4).

The client library takes about 1 µs to observe one value, and a worker observes several per event. So this is a
collector of its own: values stay plain numbers, a batch is sorted once and its buckets counted by bisection (about
0.06 µs a value), and the library's metric families are made when Prometheus asks for them.
"""

from __future__ import annotations

import platform
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from stream.actions.effects import Effects
from stream.actions.kpis import Kpis, Rate
from stream.actions.message import Stream
from stream.adapters.metric_table import METRICS, Labels, Metric
from stream.events.instants import parse_ms
from stream.outcome import Outcome


class Release(Protocol):
    """What the metrics say of published rules; see `stream.agents.ports.Release`."""

    @property
    def number(self) -> int:
        """Version, 0 for a worker's own."""

    @property
    def rules_version(self) -> str:
        """Hash."""

    @property
    def at_ms(self) -> int:
        """When it was published."""

    @property
    def paused(self) -> str:
        """What is paused; empty: nothing."""


_DAY_SECONDS = 86_400


class ModelQuality(msgspec.Struct, frozen=True):
    """How good the churn model in use is, from the epoch. A figure that isn't known yet is ``None``: not exported."""

    day: int
    """Day number of the model (UTC days since 1970)."""
    labels: int
    abstained: bool
    auc: float | None = None
    brier: float | None = None
    calibration_error: float | None = None
    lift_quality: float | None = None
    drifts: int = 0
    """How often the shop has changed under the model."""
    kind: str = "logistic"
    """Which of the contenders it is."""
    is_pinned: bool = False
    auc_of: Mapping[str, float] = {}
    """Contender → AUC at the last look, all over the same labels."""
    calibration_error_of: Mapping[str, float] = {}
    shifts: Mapping[str, float] = {}
    """How far customers of now are from those learnt from, by feature, in standard deviations."""


class Programme(msgspec.Struct, frozen=True):
    """How the programme does, from the epoch."""

    kpis: Kpis | None
    effects: Sequence[Effects]
    """Of the newest version of each measured rule."""
    learnt: Mapping[str, float] = {}
    """What else has been learnt: metric → value."""


class Histogram:
    """Bucket counts of a metric. Values come in whole batches, in ``1/scale`` of the metric's unit.

    >>> delay = Histogram((0.1, 1.0), scale=1000)
    >>> delay.add([50, 100, 101, 4000])
    >>> delay.cumulative(), delay.total
    ([('0.1', 2), ('1.0', 3), ('+Inf', 4)], 4.251)
    """

    __slots__ = ("_bounds", "_counts", "_names", "_number", "_scale", "_sum")

    def __init__(self, buckets: tuple[float, ...], *, scale: int = 1) -> None:
        self._names = [str(bound) for bound in buckets]
        self._bounds = [bound * scale for bound in buckets]
        self._counts = [0] * len(buckets)
        self._number = 0
        self._scale = scale
        self._sum: float = 0

    def add(self, values: list[int] | list[float]) -> None:
        """Counts the values; a negative one (a sender's clock is ahead) counts as zero, for a sum must never fall."""
        if not values:
            return
        ordered = sorted(values)
        counts = self._counts
        for index, bound in enumerate(self._bounds):
            counts[index] += bisect_right(ordered, bound)
        self._number += len(ordered)
        self._sum += sum(ordered[bisect_left(ordered, 0) :] if ordered[0] < 0 else ordered)

    def cumulative(self) -> list[tuple[str, int]]:
        """Pairs of upper bound and how many values were at most that."""
        return [*zip(self._names, self._counts, strict=True), ("+Inf", self._number)]

    @property
    def total(self) -> float:
        """Sum of all values in the metric's unit."""
        return self._sum / self._scale


class Metrics(Collector):
    """The metrics of one worker; registers itself, and the process's memory and CPU figures, with ``registry``.

    Everything is called from the event loop's thread. A figure counts only what was committed: call `observe` after the
    transaction of the outcome, and not at all if it was rolled back.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._values: dict[str, dict[Labels, float]] = {m.name: {} for m in METRICS if m.kind != "histogram"}
        self._histograms = {
            m.name: Histogram(m.buckets, scale=1000 if m.name in _IN_MILLISECONDS else 1)
            for m in METRICS
            if m.kind == "histogram"
        }
        self._tiers: dict[int, Counter[Labels]] = {}
        self._segments: dict[int, Counter[Labels]] = {}
        self._classes: dict[int, Counter[Labels]] = {}
        # A counter that first appears at 1 has no increase for Prometheus: what can be known starts at 0.
        self._values["winback_states_written_total"][()] = 0
        self._values["winback_messages_published_total"] = {(stream.value,): 0 for stream in Stream}
        build = (version("winback"), platform.python_version(), version("river"), version("aiokafka"))
        self._values["winback_build_info"][build] = 1
        self.set_ready("starting")
        self.set_broker_up(False)
        registry.register(self)
        ProcessCollector(registry=registry)

    # -- after a commit

    def observe(self, outcome: Outcome, *, partition: int, commit_ms: int = 0) -> None:
        """Counts one committed outcome of a partition.

        ``commit_ms`` is the time from the ``now_ms`` that the step was given until its transaction was committed: only
        then can a read-committed consumer see the action, so it is part of event-to-action.
        """
        figures = outcome.telemetry
        for name, field in _COUNTERS:
            counted: Counter[Labels] = getattr(figures, field)
            if counted:
                self._add(name, counted)
        if figures.customers_by_tier:
            self._tiers.setdefault(partition, Counter()).update(_labelled(figures.customers_by_tier))
        if figures.customers_by_segment:
            self._segments.setdefault(partition, Counter()).update(_labelled(figures.customers_by_segment))
        if figures.customers_by_class:
            self._classes.setdefault(partition, Counter()).update(figures.customers_by_class)
        histograms = self._histograms
        histograms["winback_event_lateness_seconds"].add(figures.lateness_ms)
        histograms["winback_timer_delay_seconds"].add(figures.timer_delay_ms)
        if figures.event_to_decision_ms:
            published_ms = [decided + commit_ms for decided in figures.event_to_decision_ms]
            histograms["winback_event_to_action_seconds"].add(published_ms)
        if outcome.messages:
            streams: Counter[Labels] = Counter([(message.stream.value,) for message in outcome.messages])
            self._add("winback_messages_published_total", streams)
        if outcome.changed:
            self._values["winback_states_written_total"][()] += len(outcome.changed)

    def observe_batch(self, records: int, seconds: float) -> None:
        """One batch of ``records`` input records was processed in ``seconds``, not counting its transaction."""
        self._histograms["winback_batch_records"].add([records])
        self._histograms["winback_batch_seconds"].add([seconds])

    def observe_transaction(self, seconds: float) -> None:
        """One transaction was written and committed in ``seconds``."""
        self._histograms["winback_transaction_seconds"].add([seconds])

    def count_transaction_failure(self, reason: str) -> None:
        """One batch was rolled back. ``reason`` is an exception's class name or such: one of a few, never a message."""
        self._add("winback_transaction_failures_total", {(reason,): 1})

    # -- the partitions

    def set_population(
        self,
        partition: int,
        tiers: Mapping[str, int],
        segments: Mapping[str, int],
        classes: Mapping[tuple[str, str], int],
    ) -> None:
        """The customers of a partition as restored; `observe` goes on from there with what changes."""
        self._tiers[partition] = _labelled(tiers)
        self._segments[partition] = _labelled(segments)
        self._classes[partition] = Counter(classes)

    def set_lag(self, topic: str, partition: int, records: int) -> None:
        """Records between the last processed one and the end of the topic."""
        self._values["winback_consumer_lag_records"][topic, str(partition)] = records

    def set_offset(self, topic: str, partition: int, offset: int) -> None:
        """Offset of the last processed record."""
        self._values["winback_consumer_offset"][topic, str(partition)] = offset

    def set_clock(self, partition: int, now_ms: int) -> None:
        """The clock of the partition's timers: the wall's, or with an event clock the merged head of its inputs."""
        self._values["winback_clock_timestamp_seconds"][str(partition),] = now_ms / 1000

    def set_recovery(self, partition: int, seconds: float, ratio: float) -> None:
        """Restoring has taken ``seconds`` so far and is done to ``ratio`` (0 to 1); 1 says that it is over."""
        self._values["winback_state_recovery_seconds"][str(partition),] = seconds
        self._values["winback_state_recovery_ratio"][str(partition),] = ratio

    def release(self, partition: int) -> None:
        """The partition went to another worker, who reports its figures from now on: drops its gauges here."""
        self._tiers.pop(partition, None)
        self._segments.pop(partition, None)
        self._classes.pop(partition, None)
        for metric in METRICS:
            if "partition" in metric.labels:
                at, rows = metric.labels.index("partition"), self._values[metric.name]
                for labels in [labels for labels in rows if labels[at] == str(partition)]:
                    del rows[labels]

    # -- the worker

    def set_ready(self, reason: str | None) -> None:
        """``None``: ready; else why not, as one of a few words (``starting``, ``recovering``, ``stalled``…)."""
        self._values["winback_ready"][()] = reason is None
        reasons = self._values["winback_not_ready"]
        for earlier in reasons:
            reasons[earlier] = 0
        if reason is not None:
            reasons[reason,] = 1

    def set_rules(self, release: Release) -> None:
        """The rules in use, and whether anything is paused."""
        info = self._values["winback_rules_info"]
        info.clear()
        info[str(release.number), release.rules_version] = 1
        self._values["winback_rules_published_timestamp_seconds"][()] = release.at_ms / 1000
        self._values["winback_paused"][()] = bool(release.paused)

    def set_broker_up(self, up: bool) -> None:
        """Whether the broker answered the last time it was asked."""
        self._values["winback_broker_up"][()] = up

    def set_epoch(self, day: int, today: int) -> None:
        """Thresholds of ``day`` are in use on ``today`` (UTC days since 1970, by the clock that drives timers)."""
        self._values["winback_epoch_timestamp_seconds"][()] = day * _DAY_SECONDS
        self._values["winback_epoch_lag_seconds"][()] = max(0, today - day) * _DAY_SECONDS

    def set_model(self, quality: ModelQuality) -> None:
        """The churn model in use, and how good it has been so far."""
        figures: dict[str, float | None] = {
            "winback_model_auc": quality.auc,
            "winback_model_brier": quality.brier,
            "winback_model_calibration_error": quality.calibration_error,
            "winback_model_lift_quality": quality.lift_quality,
            "winback_model_labels": quality.labels,
            "winback_model_drifts": quality.drifts,
            "winback_model_abstained": quality.abstained,
            "winback_model_timestamp_seconds": quality.day * _DAY_SECONDS,
        }
        for name, figure in figures.items():
            self._values[name] = {} if figure is None else {(): figure}
        self._values["winback_model_feature_drift"] = {(name,): found for name, found in quality.shifts.items()}
        self._values["winback_model_champion"] = {(quality.kind,): 1.0}
        self._values["winback_model_pinned"] = {(): float(quality.is_pinned)}
        self._values["winback_contender_auc"] = {(name,): found for name, found in quality.auc_of.items()}
        self._values["winback_contender_calibration_error"] = {
            (name,): found for name, found in quality.calibration_error_of.items()
        }

    def set_programme(self, programme: Programme) -> None:
        """The day's figures of the programme and its experiments. What is no longer told of is no longer exported."""
        rows: dict[str, dict[Labels, float]] = {name: {} for name in self._values if name.startswith(_PROGRAMME)}
        found = programme.kpis
        if found is not None:
            for field in msgspec.structs.fields(found):
                rate = getattr(found, field.name)
                if isinstance(rate, Rate):
                    rows["winback_kpi_customers"][field.name,] = rate.of
                    if rate.value is not None:
                        rows["winback_kpi_ratio"][field.name,] = rate.value
            rows["winback_kpi_timestamp_seconds"][()] = parse_ms(found.computed_at) / 1000
            for value in found.value_by_tier:
                rows["winback_value_customers"][value.tier,] = value.customers
                if value.average_minor is not None:
                    rows["winback_value_lifetime_minor"][value.tier,] = value.average_minor
                if value.next_year_minor is not None:
                    rows["winback_value_next_year_minor"][value.tier,] = value.next_year_minor
                if value.expected_year_minor is not None:
                    rows["winback_value_expected_year_minor"][value.tier,] = value.expected_year_minor
        for arm in programme.effects:
            labels = (arm.rule_id, str(arm.version), arm.arm)
            rows["winback_experiment_customers"][labels] = arm.exposed
            rows["winback_experiment_converted"][labels] = arm.converted
            rows["winback_experiment_revenue_minor"][labels] = arm.revenue_minor
            rows["winback_experiment_cost_minor"][labels] = arm.cost_minor
            if arm.uplift is not None:
                for bound in ("low", "value", "high"):
                    end = getattr(arm.uplift, bound)
                    if end is not None:
                        rows["winback_experiment_uplift_ratio"][*labels, bound] = end
        self._values.update(rows)
        for name, figure in programme.learnt.items():
            self._values[name][()] = figure

    # -- for Prometheus

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The answer to a scrape with this ``Accept`` header: body and content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def describe(self) -> Iterable[Family]:
        """The families without values: the registry looks for names that are taken."""
        return [_family(metric) for metric in METRICS]

    def collect(self) -> Iterable[Family]:
        """The families with their values at this moment."""
        computed = {
            "winback_customers": self._tiers,
            "winback_customers_by_segment": self._segments,
            "winback_customers_by_class": self._classes,
        }
        for metric in METRICS:
            family = _family(metric)
            if isinstance(family, HistogramMetricFamily):
                histogram = self._histograms[metric.name]
                family.add_metric((), histogram.cumulative(), histogram.total)
            else:
                rows = self._values[metric.name]
                if metric.name in computed:
                    rows = _over_partitions(computed[metric.name])
                for labels, value in list(rows.items()):
                    family.add_metric(labels, value)
            yield family

    def _add(self, name: str, counted: Mapping[Labels, float]) -> None:
        rows = self._values[name]
        for labels, number in counted.items():
            if "" in labels:  # to Prometheus an empty label is a label that isn't there
                labels = tuple(label or "none" for label in labels)
            rows[labels] = rows.get(labels, 0) + number


_PROGRAMME = ("winback_kpi_", "winback_value_", "winback_experiment_")
_IN_MILLISECONDS = frozenset(
    {"winback_event_lateness_seconds", "winback_event_to_action_seconds", "winback_timer_delay_seconds"}
)
"""Histograms that the core fills, in the integer milliseconds of its `Telemetry`."""

_COUNTERS = (
    ("winback_events_total", "events"),
    ("winback_events_rejected_total", "rejected"),
    ("winback_events_ignored_total", "ignored"),
    ("winback_actions_total", "actions"),
    ("winback_suppressions_total", "suppressed"),
    ("winback_deferrals_total", "deferred"),
    ("winback_journeys_total", "journeys"),
    ("winback_alerts_total", "alerts"),
    ("winback_tier_changes_total", "tier_changes"),
    ("winback_class_changes_total", "class_changes"),
    ("winback_labels_total", "labels"),
    ("winback_suspects_total", "suspects"),
)
"""Metric and the field of `Telemetry` that it adds up; the field's keys are the metric's labels."""


def _labelled(counts: Mapping[str, int]) -> Counter[Labels]:
    return Counter({(name,): number for name, number in counts.items()})


def _over_partitions(by_partition: Mapping[int, Counter[Labels]]) -> dict[Labels, float]:
    totals: Counter[Labels] = Counter()
    for counted in list(by_partition.values()):
        totals.update(counted)
    return dict(totals)


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    if metric.kind == "gauge":
        return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    return HistogramMetricFamily(metric.name, metric.help)
