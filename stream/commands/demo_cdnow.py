"""``winback demo --dataset cdnow``: real orders through Kafka on the event clock, to the end, and how good the scores were.

The scores at a cut-off come from this very run: the customers' records as the changelog had them when the day before the
cut-off was closed, scored by the model version that the epochs topic had for the day of the cut-off. It is what a worker
that took over at that midnight would have said, and no event from then on is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from stream.adapters.files_send import BulkSender
from stream.agents.connection import client_options
from stream.churn.quality import auc
from stream.commands.demo_show import Show
from stream.commands.demo_topics import Taker
from stream.config import Settings
from stream.datasets import CDNOW_END, cdnow_events
from stream.events.instants import day_of, parse_ms
from stream.processor import Partition
from stream.processor.epochs import decode_epoch
from stream.processor.partition import PARTITION_KEY, PartitionRecord
from stream.rules.loader import load_rules

CUT_OFFS = ("1997-10-01", "1998-01-01", "1998-04-01")
"""Days (midnight UTC) at which everybody is scored; the last with a whole horizon of data after it."""
_RECORDS_A_STEP = 2_000
_BAR_CELLS = 12

_partition_record = msgspec.msgpack.Decoder(PartitionRecord)


class CdnowPlay:
    """Sends the orders, waits until the worker has come to the end, and tells what became of them."""

    def __init__(self, show: Show, events: Sequence[dict[str, Any]]) -> None:
        self._show = show
        self._events = events
        self._first_ms, self._end_ms = parse_ms(events[0]["timestamp"]), parse_ms(CDNOW_END)
        self._stage = f"writing {len(events):,} orders to Kafka"
        self.scores = CutOffScores(show.settings, [parse_ms(text) for text in CUT_OFFS])
        show.on_look = self._say

    def takers(self) -> dict[str, Taker]:
        """What to do with the records of the internal topics."""
        settings = self._show.settings
        return {settings.topic_changelog: self.scores.on_change, settings.topic_epochs: self.scores.on_epoch}

    async def play(self) -> None:
        """Ends when everything is processed and time is at the end of the data."""
        settings = self._show.settings
        encode = msgspec.json.Encoder().encode
        async with BulkSender(client_options(settings)) as sender:
            await sender.open_topics([settings.topic_purchases])
            for number, event in enumerate(self._events, start=1):
                sender.add(settings.topic_purchases, event["userId"].encode(), encode(event))
                if number % _RECORDS_A_STEP == 0:
                    await sender.hand_over()
            await sender.flush()
        # All of it is there before the worker looks where the inputs end, which is where its time may go on to the end.
        self._show.worker.start()
        self._stage = ""
        await self._show.caught_up.wait()

    def summary(self) -> dict[str, Any]:
        """What was received, and how well it was foretold who would not come back."""
        return {
            "orders": self._show.total("winback_events_total", kind="purchase"),
            "zero_orders": sum(event["properties"]["revenue"] == 0.0 for event in self._events),
            "identical_lines": identical_lines(self._events),
            "duplicates": self._show.total("winback_events_ignored_total", reason="duplicate"),
            "auc": dict(zip(CUT_OFFS, self._areas(), strict=True)),
        }

    def _areas(self) -> list[float | None]:
        days: dict[str, list[int]] = {}
        for event in self._events:
            days.setdefault(event["userId"], []).append(day_of(parse_ms(event["timestamp"])))
        horizon = self._show.settings.churn_horizon_days
        return [area(self.scores.at(cut_ms), days, day_of(cut_ms), horizon) for cut_ms in self.scores.cut_offs_ms]

    def _say(self) -> None:
        clock, figures = self._show.clock, self._show.figures
        if self._stage or not clock.now_ms:
            figures.note = self._stage or "starting the worker"
            return
        share = max(0.0, min(1.0, (clock.now_ms - self._first_ms) / (self._end_ms - self._first_ms)))
        cells = int(share * _BAR_CELLS)
        figures.note = f"CDNOW {clock.text[:10]} {'━' * cells}{'╌' * (_BAR_CELLS - cells)} {share:.0%}"


class CutOffScores:
    """Keeps what the changelog and the epochs topic said at some midnights, while they go by."""

    def __init__(self, settings: Settings, cut_offs_ms: Sequence[int]) -> None:
        self.cut_offs_ms = cut_offs_ms
        self._settings = settings
        self._stores: dict[int, dict[bytes, bytes]] = {}
        """By partition, every customer's latest record."""
        self._kept: dict[int, dict[int, dict[bytes, bytes]]] = {at: {} for at in cut_offs_ms}
        self._epochs: dict[int, bytes] = {}

    def on_change(self, record: Any) -> None:
        """A record of the changelog."""
        store = self._stores.setdefault(record.partition, {})
        if record.value is None:
            store.pop(record.key, None)
            return
        store[record.key] = record.value
        if record.key != PARTITION_KEY:
            return
        # The partition's own record is the last one of a step, so the store is complete up to that midnight.
        closed = _partition_record.decode(record.value).closed_day
        for at_ms, kept in self._kept.items():
            if closed is not None and closed >= day_of(at_ms) - 1 and record.partition not in kept:
                kept[record.partition] = dict(store)

    def on_epoch(self, record: Any) -> None:
        """A version of thresholds and model."""
        day = decode_epoch(record.value).day
        if any(day == day_of(at_ms) for at_ms in self.cut_offs_ms):
            self._epochs[day] = record.value

    def at(self, at_ms: int) -> dict[str, float]:
        """P(churn) of everyone who had bought by a cut-off, by customer; empty if it was not reached."""
        epoch = self._epochs.get(day_of(at_ms))
        kept = self._kept[at_ms]
        if epoch is None or len(kept) < self._settings.partitions:
            return {}
        rules = load_rules(self._settings.rules_dir)
        found: dict[str, float] = {}
        for number, store in kept.items():
            partition = Partition(
                self._settings, rules, partition=number, partitions=self._settings.partitions, store=store
            )
            partition.recover(0)
            partition.follow(epoch)
            for row in partition.scores(at_ms):
                if row["churn_probability"] is not None:
                    found[row["customer_id"]] = row["churn_probability"]
        return found


def area(scores: dict[str, float], order_days: dict[str, list[int]], day: int, horizon_days: int) -> float | None:
    """ROC AUC of "no order on the days [day, day + horizon)", rounded; ``None`` when it isn't defined.

    >>> area({"stays": 0.2, "goes": 0.9}, {"stays": [1, 12], "goes": [3]}, day=10, horizon_days=90)
    1.0
    """
    customers = sorted(scores)
    churned = np.array(
        [not any(day <= at < day + horizon_days for at in order_days[customer]) for customer in customers],
        dtype=np.bool_,
    )
    if not customers or churned.all() or not churned.any():
        return None
    return round(float(auc(np.array([scores[customer] for customer in customers]), churned)), 4)


def identical_lines(events: Iterable[dict[str, Any]]) -> int:
    """Orders that are equal to an earlier one in everything but their row."""
    seen = Counter(
        (e["userId"], e["timestamp"], e["properties"]["revenue"], e["properties"]["products"][0]["quantity"])
        for e in events
    )
    return sum(count - 1 for count in seen.values())


def orders_of(customers: int | None) -> list[dict[str, Any]]:
    """The data set; or the orders of so many customers, taken evenly from all of them."""
    events = list(cdnow_events())
    ids = sorted({event["userId"] for event in events})
    if customers is None or customers >= len(ids):
        return events
    chosen = {ids[number * len(ids) // customers] for number in range(customers)}
    return [event for event in events if event["userId"] in chosen]


def cdnow_settings(settings: Settings) -> Settings:
    """One partition: a day of the data ends with a transaction in each, and one worker processes them in turn anyway."""
    return msgspec.structs.replace(settings, clock="event", partitions=1, currency="USD")
