"""What the live view shows, gathered from the worker's metrics and from the topics that it publishes to."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

Sample = tuple[str, Mapping[str, str], float]
"""(metric name, labels, value)"""

KEPT = 60
"""Actions and alerts that are remembered: more than the tallest terminal shows."""
RATES_KEPT = 400
"""Points of the events-per-second curve: more than the widest terminal shows."""
LATENCY_WINDOW_SECONDS = 60.0
"""Latency is that of the last minute. Longer hides a bad minute; shorter has too few actions for a 99th percentile."""


class Line(NamedTuple):
    """One action or alert, ready to be shown."""

    time: str
    customer: str
    what: str
    kind: str
    channel: str
    why: str


class Quality(NamedTuple):
    """The churn model's prequential quality; ``nan`` where nothing is known yet."""

    auc: float = nan
    brier: float = nan
    calibration_error: float = nan
    lift_quality: float = nan


@dataclass
class LiveFigures:
    """The state of the live view. Feed it with ``on_*``; it keeps no clock: times come in as arguments.

    >>> figures = LiveFigures(broker="127.0.0.1:9092", web="http://127.0.0.1:6066")
    >>> figures.on_metrics([("winback_events_total", {"kind": "purchase"}, 0.0)], at_seconds=10.0)
    >>> figures.on_metrics([("winback_events_total", {"kind": "purchase"}, 500.0)], at_seconds=12.0)
    >>> figures.rate, figures.uptime_seconds
    (250.0, 2.0)
    """

    broker: str = ""
    web: str = ""
    title: str = "live"
    min_labels: int = 200
    """Labels before the model speaks: setting ``churn_min_labels``."""
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=RATES_KEPT))
    events: int = 0
    lag: int = 0
    latency_p50_seconds: float = nan
    latency_p99_seconds: float = nan
    tiers: dict[str, int] = field(default_factory=dict)
    segments: dict[str, int] = field(default_factory=dict)
    actions: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT))
    actions_by_rule: Counter[str] = field(default_factory=Counter)
    alerts: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT))
    alert_count: int = 0
    suppressed: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    quality: Quality = field(default_factory=Quality)
    labels: int = 0
    labels_matured: dict[str, int] = field(default_factory=dict)
    abstained: bool = True
    ready: bool = False
    uptime_seconds: float = 0.0
    note: str = ""
    """A word about what is going on, such as "importing a year of history"."""
    _first_seconds: float = nan
    _last: tuple[float, int] | None = None
    _latency: deque[tuple[float, dict[float, float]]] = field(default_factory=deque)

    @property
    def rate(self) -> float:
        """Events per second between the last two looks at the metrics."""
        return self.rates[-1] if self.rates else 0.0

    @property
    def customers(self) -> int:
        """Customers known."""
        return sum(self.tiers.values())

    @property
    def dead_letters(self) -> int:
        """Records refused since the worker started."""
        return self.rejected.total()

    def on_action(self, decision: Mapping[str, Any]) -> None:
        """A message of the actions topic."""
        rule = decision["rule"]["id"]
        self.actions_by_rule[rule] += 1
        self.actions.append(
            Line(
                _clock(decision["decided_at"]), decision["customer_id"], rule, decision["kind"], decision["channel"],
                decision["explanation"]["text"],
            )
        )  # fmt: skip

    def on_alert(self, alert: Mapping[str, Any]) -> None:
        """A message of the alerts topic; the reasons are the contributions in words, else the explanation."""
        reasons = [
            c["text"] for c in alert["explanation"].get("contributions", ()) if c.get("text") and c["log_odds"] > 0
        ]
        why = "; ".join(reasons[:3]) or alert["explanation"]["text"]
        self.alert_count += 1
        self.alerts.append(
            Line(
                _clock(alert["decided_at"]), alert["customer_id"], f"{alert['probability']:.0%}", alert["kind"], "", why
            )
        )

    def on_suppression(self, decision: Mapping[str, Any]) -> None:
        """A message of the suppressions topic. What is put off, or tells the end of a journey, isn't held back."""
        if decision.get("verdict") not in ("deferred", "ended"):
            self.suppressed[decision["reason"] or "unknown"] += 1

    def on_metrics(self, samples: Iterable[Sample], at_seconds: float) -> None:
        """The worker's metrics at an instant of any steady clock; several workers' samples may be given together."""
        sums: Counter[str] = Counter()
        tiers: Counter[str] = Counter()
        segments: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        matured: Counter[str] = Counter()
        buckets: dict[float, float] = {}
        gauges: dict[str, float] = {}
        for name, labels, value in samples:
            if name == "winback_customers":
                tiers[labels["tier"]] += int(value)
            elif name == "winback_customers_by_segment":
                segments[labels["segment"]] += int(value)
            elif name == "winback_events_rejected_total":
                rejected[labels["reason"]] += int(value)
            elif name == "winback_labels_total":
                matured[labels["outcome"]] += int(value)
            elif name == "winback_event_to_action_seconds_bucket":
                bound = float(labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + value
            elif name in ("winback_events_total", "winback_consumer_lag_records"):
                sums[name] += int(value)
            else:
                gauges[name] = value
        self.tiers, self.segments, self.rejected, self.labels_matured = tiers, segments, rejected, matured
        self.lag = sums["winback_consumer_lag_records"]
        self.ready = gauges.get("winback_ready", 1.0) == 1.0
        self.labels = int(_known(gauges.get("winback_model_labels", 0.0)))
        self.abstained = gauges.get("winback_model_abstained", 1.0) != 0.0
        self.quality = Quality(*(gauges.get(f"winback_model_{name}", nan) for name in Quality._fields))
        self._on_events(sums["winback_events_total"], at_seconds)
        self._on_latency(buckets, at_seconds)

    def _on_events(self, events: int, at_seconds: float) -> None:
        if isnan(self._first_seconds):
            self._first_seconds = at_seconds
        self.uptime_seconds = at_seconds - self._first_seconds
        if self._last is not None and at_seconds > self._last[0]:
            # Fewer than before: the worker was restarted and counts anew.
            self.rates.append(max(0, events - self._last[1]) / (at_seconds - self._last[0]))
        self._last = (at_seconds, events)
        self.events = events

    def _on_latency(self, buckets: Mapping[float, float], at_seconds: float) -> None:
        history = self._latency
        if history and max(buckets.values(), default=0.0) < max(history[-1][1].values(), default=0.0):
            history.clear()
        history.append((at_seconds, dict(buckets)))
        while len(history) > 2 and history[1][0] <= at_seconds - LATENCY_WINDOW_SECONDS:
            history.popleft()
        before = history[0][1]
        recent = {bound: count - before.get(bound, 0.0) for bound, count in buckets.items()}
        if not any(recent.values()):
            recent = dict(buckets)
        self.latency_p50_seconds, self.latency_p99_seconds = quantile(recent, 0.5), quantile(recent, 0.99)


def samples(text: str) -> Iterator[Sample]:
    """The samples of a page of metrics in the Prometheus text format.

    >>> list(samples('winback_ready 1\\n'))
    [('winback_ready', {}, 1.0)]
    """
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, float(sample.value)


def quantile(cumulative: Mapping[float, float], q: float) -> float:
    """A quantile of a Prometheus histogram, as ``histogram_quantile`` has it: linear inside a bucket, the highest finite
    bound beyond it, ``nan`` when nothing was observed.

    >>> quantile({0.1: 50.0, 0.2: 100.0, float("inf"): 100.0}, 0.75)
    0.15000000000000002
    """
    bounds = sorted(cumulative)
    if not bounds or not cumulative[bounds[-1]]:
        return nan
    rank = q * cumulative[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        count = cumulative[bound]
        if count >= rank:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low


def _clock(instant: str) -> str:
    """Hours, minutes and seconds of an RFC 3339 text."""
    return instant[11:19]


def _known(value: float) -> float:
    return 0.0 if isnan(value) else value
