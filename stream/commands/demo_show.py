"""What is known of a running demo: the worker's metrics, what it has published, the time in the shop, the latency."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from math import isnan
from pathlib import Path
from typing import Any

import msgspec

from stream.commands.demo_topics import Taker
from stream.commands.demo_worker import DemoWorker
from stream.commands.live_figures import LATENCY_WINDOW_SECONDS, Line, LiveFigures, Sample
from stream.config import Settings
from stream.events.instants import to_text

PACE_WINDOW_SECONDS = 15.0
"""The shop's pace is that of so many seconds. Longer: it lags; shorter: it jumps with every day that ends."""

_VARIABLE = re.compile(r"\b(?:customer|event|churn)\.(\w+)")


class Show:
    """What is running, and what is known of it so far."""

    def __init__(self, settings: Settings, log: Path, title: str, *arguments: str) -> None:
        self.settings = settings
        self.worker = DemoWorker(settings, log, *arguments)
        self.figures = LiveFigures(
            broker=settings.broker.removeprefix("kafka://"),
            web=self.worker.url,
            title=title,
            min_labels=settings.churn_min_labels,
        )
        self.samples: list[Sample] = []
        """The worker's latest metrics."""
        self.clock = ShopClock()
        self.latency = Latency()
        self.suppressions: Counter[str] = Counter()
        """By rule and reason, as replay's summary has them."""
        self.deferrals: Counter[str] = Counter()
        """The same of what was put off."""
        self.caught_up = asyncio.Event()
        """The worker has processed all that was there when it started."""
        self.on_look: Callable[[], None] = lambda: None
        """Called after each look at the metrics, before the view is drawn: to say what is going on."""
        self._decode = msgspec.json.Decoder().decode

    def takers(self) -> dict[str, Taker]:
        """What to do with the records of each output topic."""
        settings = self.settings
        return {
            settings.topic_actions: self._on_action,
            settings.topic_alerts: self._on_alert,
            settings.topic_suppressions: self._on_suppression,
        }

    async def look(self) -> None:
        """Takes over the worker's metrics."""
        self.worker.check()
        fresh = await self.worker.metrics()
        if fresh:
            self.samples = fresh
            now = time.monotonic()
            self.figures.on_metrics(fresh, now)
            self.clock.on_metrics(fresh, now)
            # The worker's own histogram compares the wall's time with the shop's here: measured from outside instead.
            self.figures.latency_p50_seconds, self.figures.latency_p99_seconds = self.latency.quantiles(now)
        if not self.caught_up.is_set() and await self.worker.caught_up():
            self.caught_up.set()
        self.on_look()

    def total(self, name: str, **labels: str) -> int:
        """A metric added up over all samples that have these labels."""
        return int(sum(value for n, have, value in self.samples if n == name and labels.items() <= have.items()))

    def summary(self) -> dict[str, Any]:
        """What every run tells at its end. Actions, alerts and suppressions are those on the topics."""
        figures = self.figures
        quality = figures.quality._asdict()
        return {
            "customers": figures.customers,
            "dead_letters": figures.dead_letters,
            "dead_letters_by_reason": dict(sorted(figures.rejected.items())),
            "actions": dict(sorted(figures.actions_by_rule.items())),
            "suppressions": dict(sorted(self.suppressions.items())),
            "deferrals": dict(sorted(self.deferrals.items())),
            "alerts": figures.alert_count,
            "tiers": dict(sorted((tier, n) for tier, n in figures.tiers.items() if n)),
            "segments": dict(sorted((segment, n) for segment, n in figures.segments.items() if n)),
            "labels": dict(sorted(figures.labels_matured.items())),
            "model": {
                "labels": figures.labels,
                "abstained": figures.abstained,
                **{name: None if isnan(value) else round(value, 4) for name, value in quality.items()},
            },
        }

    def _on_action(self, record: Any) -> None:
        decision = self._decode(record.value)
        self.figures.on_action(decision)
        self._date(self.figures.actions, decision["decided_at"], reason(decision["explanation"]))
        self.latency.acted(decision["cause"]["message_id"], time.monotonic())

    def _on_alert(self, record: Any) -> None:
        alert = self._decode(record.value)
        self.figures.on_alert(alert)
        self._date(self.figures.alerts, alert["decided_at"])

    def _on_suppression(self, record: Any) -> None:
        decision = self._decode(record.value)
        self.figures.on_suppression(decision)
        name = f"{decision['rule']['id']}: {decision['reason']}"
        if decision["verdict"] == "suppressed":
            self.suppressions[name] += 1
        elif decision["verdict"] == "deferred":
            self.deferrals[name] += 1

    def _date(self, lines: deque[Line], instant: str, why: str = "") -> None:
        """Where a second is a day, the day says more than the time of day."""
        lines[-1] = lines[-1]._replace(time=instant[2:10], why=why or lines[-1].why)


def reason(explanation: Mapping[str, Any]) -> str:
    """What was special about the customer, short enough for a line; else what the rule does.

    >>> reason({"text": "Remind them.", "matched": [{"condition": "customer.gaps >= 2", "actual": 3},
    ...     {"condition": "customer.cycle_days >= 7", "actual": 8.5}, {"condition": "event.nps == 0", "actual": 0}]})
    'gaps 3, cycle days 8.5'
    >>> reason({"text": "Welcome new customers. Because of this.", "matched": []})
    'Welcome new customers.'
    """
    facts = []
    for part in explanation["matched"]:
        name, actual = _VARIABLE.search(part["condition"]), part["actual"]
        if name is not None and not isinstance(actual, bool) and actual not in (0, -1, None):
            shown = f"{actual:.3g}" if isinstance(actual, float) else actual
            facts.append(f"{name[1].replace('_', ' ')} {shown}")
    text: str = explanation["text"]
    return ", ".join(dict.fromkeys(facts)) or text.partition(" Because ")[0]


class ShopClock:
    """What time it is in the shop, and how fast it goes there.

    >>> clock = ShopClock()
    >>> for at in (0, 5, 10):
    ...     clock.on_metrics([("winback_clock_timestamp_seconds", {"partition": "0"}, 86_400.0 * at)], at_seconds=at)
    >>> clock.text, clock.days_per_minute
    ('1970-01-11 00h', 60.0)
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self._seen: deque[tuple[float, int]] = deque()

    def on_metrics(self, samples: Iterable[Sample], at_seconds: float) -> None:
        """The clock of the partition that is behind the others."""
        clocks = [value for name, _, value in samples if name == "winback_clock_timestamp_seconds" and value]
        self.now_ms = int(min(clocks, default=0.0) * 1000)
        if self.now_ms:
            self._seen.append((at_seconds, self.now_ms))
        while len(self._seen) > 2 and self._seen[1][0] <= at_seconds - PACE_WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def text(self) -> str:
        """Day and hour, UTC; empty before the first event."""
        return f"{to_text(self.now_ms)[:13].replace('T', ' ')}h" if self.now_ms else ""

    @property
    def days_per_minute(self) -> float:
        """Shop days that pass in a minute of the wall's time; 0.0 as long as nothing is known."""
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return 0.0
        (then, before_ms), (now, after_ms) = self._seen[0], self._seen[-1]
        return (after_ms - before_ms) / 86_400_000 / (now - then) * 60


class Latency:
    """From sending an event to reading the action that it caused, committed: measured by the demo's own clock.

    >>> latency = Latency()
    >>> latency.sent("m1", 10.0); latency.acted("m1", 10.04)
    >>> [round(seconds, 3) for seconds in latency.quantiles(11.0)]
    [0.04, 0.04]
    """

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._seen: deque[tuple[float, float]] = deque()

    def sent(self, message_id: str, at_seconds: float) -> None:
        """An event leaves. The oldest are forgotten."""
        self._sent[message_id] = at_seconds
        while len(self._sent) > 1 and self._sent[next(iter(self._sent))] < at_seconds - LATENCY_WINDOW_SECONDS:
            del self._sent[next(iter(self._sent))]

    def acted(self, message_id: str | None, at_seconds: float) -> None:
        """An action arrives; one that a timer caused has no event."""
        sent = self._sent.get(message_id) if message_id is not None else None
        if sent is not None:
            self._seen.append((at_seconds, at_seconds - sent))

    def quantiles(self, at_seconds: float) -> tuple[float, float]:
        """Median and 99th percentile of the last minute in seconds; ``nan`` when there was none."""
        while self._seen and self._seen[0][0] < at_seconds - LATENCY_WINDOW_SECONDS:
            self._seen.popleft()
        ordered = sorted(seconds for _, seconds in self._seen)
        if not ordered:
            return float("nan"), float("nan")
        return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
