"""One process's customers, played under both sets of rules at once (`twins`), day by day in step with the other processes.

What `stream.replay.player.Player` does with a `Partition`, without what a backtest doesn't need: nothing is written, and
customers take their turns one after the other within a day, so that nobody has to be sorted by when they are due.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple

from stream.backtest.ledger import ORDER_KINDS, Ledger
from stream.backtest.lives import Life, Lives
from stream.backtest.recorder import Recorder
from stream.backtest.twins import Twins
from stream.config import Settings
from stream.events.instants import DAY_MS, day_of
from stream.events.kinds import Event
from stream.events.rejected import Rejected
from stream.experiments.tally import merged
from stream.feedback.sentiment import Sentiment
from stream.processor.epochs import (
    DayClosed,
    Epoch,
    Figures,
    Likeness,
    Tallies,
    contribution_message,
    decode_epoch,
    in_days,
    members_in_days,
    orders_in_days,
    texts_in_days,
)
from stream.products.associations import Associations
from stream.replay.lockstep import Answer, Asked, Goal, Rests, Version, Waits
from stream.replay.reading import end_of_stretch
from stream.rules.rule import RuleSet
from stream.rules.schedule import NEVER_MS
from stream.segments.population import Histograms

Row = tuple[Any, ...]


class Question(NamedTuple):
    """What one of the two versions asks of the others who play it."""

    version: int
    asked: Asked


Game = Generator[Question | int, Answer | None, None]
"""Yields questions, to be sent their answers, and numbers of lines done, to be sent ``None``."""


class Player:
    """Plays portions of lines, the customers of one process."""

    def __init__(
        self,
        settings: Settings,
        rules: Sequence[RuleSet],
        recorders: Sequence[Recorder],
        ledger: Ledger,
        *,
        number: int,
        until_ms: int | None,
        room_bytes: int,
    ) -> None:
        self._number = number
        self._until_ms = until_ms
        self._recorders = recorders
        self._counts = recorders[0].counts
        self._ledger = ledger
        self._twins = Twins(settings, rules, recorders)
        self._lives = Lives(room_bytes)
        self._asking = [
            version
            for version, each in enumerate(rules)
            if not version or any(r.experiment.window_ms for r in each.rules)
        ]
        """The versions that learn something: reviews and churn are the first one's, outcomes each one's that measures any."""
        self._due: dict[int, list[str]] = {}
        """UTC day → customers who may be due on it. Whoever is due on another day by now is passed over."""
        self._closed_day: int | None = None
        self._epoch_day: int | None = None
        self._last_ms: int | None = None
        self._now_ms = 0
        self.first_day: int | None = None
        """UTC day of the first event, ``None`` without any."""

    def play(self, portions: Iterable[list[Row]]) -> Game:
        """Plays portions of `stream.replay.player.load`'s rows, then on until ``until_ms`` or the last event of all."""
        for rows in portions:
            keys, events = self._distinct(rows)
            if events:
                yield from self._events(keys, events)
            yield len(rows)
        until_ms = self._until_ms
        while until_ms is None:
            goal = yield Question(0, Rests(self._last_ms))
            assert isinstance(goal, Goal)
            if goal.at_ms is None:
                return
            if goal.final:
                until_ms = goal.at_ms
            elif goal.at_ms > self._now_ms:
                yield from self._to(goal.at_ms)
        yield from self._to(until_ms)
        self._fall_due(day_of(until_ms), until_ms)
        self._counts["customers"] = self._twins.census.newcomers
        for recorder in self._recorders:
            recorder.until_ms = until_ms

    # -- inside

    def _distinct(self, rows: list[Row]) -> tuple[list[int], list[Event]]:
        """The events among the rows, without exact repeats of a line."""
        keys: list[int] = []
        events: list[Event] = []
        last = None
        for key, _, value, _, _, decoded in rows:
            if value == last:
                continue
            last = value
            if isinstance(decoded, Event):
                keys.append(key)
                events.append(decoded)
            elif isinstance(decoded, Rejected):
                self._counts["dead_letters"] += 1
        return keys, events

    def _events(self, keys: list[int], events: list[Event]) -> Game:
        if self.first_day is None:
            self.first_day = day_of(events[0].time_ms)
        start = 0
        while start < len(keys):
            end = bisect_left(keys, end_of_stretch(keys[start]), start)
            yield from self._to(day_of(events[start].time_ms) * DAY_MS)
            self._happen(events[start:end])
            start = end
        last_ms = max([event.time_ms for event in events])
        self._last_ms = last_ms if self._last_ms is None else max(self._last_ms, last_ms)

    def _happen(self, events: Iterable[Event]) -> None:
        lives, happens, take = self._lives, self._twins.happens, self._ledger.take
        today = (self._closed_day or 0) + 1
        for event in events:
            customer_id = event.customer
            life = lives.find(customer_id)
            known = life is not None
            if life is None:
                life = lives.add(customer_id)
            if not happens(life, event):
                self._counts["dead_letters"] += 1
                if not known:
                    lives.drop(life)
                continue
            if type(event) in ORDER_KINDS:
                take(event)
            self._await(life, today)
        lives.age()

    def _await(self, life: Life, today: int) -> None:
        """Has a customer looked for on the day on which something is due, on this one if it is overdue."""
        day = max(today, life.next_ms // DAY_MS) if life.next_ms < NEVER_MS else -1
        if day != life.day:
            life.day = day
            if day >= 0:
                self._due.setdefault(day, []).append(life.id)

    def _fall_due(self, day: int, until_ms: int) -> None:
        """Does what is due on a day, up to and with an instant."""
        lives, falls_due = self._lives, self._twins.falls_due
        for customer_id in self._due.pop(day, ()):
            life = lives.find(customer_id)
            if life is None or life.day != day:
                continue
            while life.next_ms <= until_ms:
                falls_due(life, life.next_ms)
            life.day = -1
            self._await(life, day)
        lives.age()

    def _to(self, at_ms: int) -> Game:
        """Moves on to the day of an instant, each day with the version that was folded for it. What is due on that day itself waits."""
        day = day_of(at_ms)
        self._now_ms = at_ms
        if self._closed_day is None:
            yield from self._close(day - 1, at_ms)
        while (open_day := (self._closed_day or 0) + 1) < day:
            self._fall_due(open_day, (open_day + 1) * DAY_MS - 1)
            following = min((d for d in self._due if d > open_day), default=day)
            yield from self._close(min(day, following) - 1, at_ms)

    def _close(self, day: int, heading_ms: int) -> Game:
        """Ends the days up to and with one: tells what they have taught, and waits for what everybody has learnt from them."""
        open_day = (self._closed_day or 0) + 1
        self._closed_day = day
        census, scorer = self._twins.census, self._twins.scorer
        waits = [[*in_days(scorer.matured, self._number, open_day)], []]
        scorer.matured.clear()
        baskets = self._twins.baskets.taken
        waits[0] += orders_in_days(baskets, self._number, open_day)
        self._twins.baskets.forget()
        sums = self._twins.quality.sums
        if sums:
            waits[0].append(contribution_message(Figures(partition=self._number, day=open_day, sums=sums)))
            sums.clear()
        if scorer.seen:
            waits[0].append(
                contribution_message(Likeness(partition=self._number, day=open_day, seen=dict(scorer.seen)))
            )
            scorer.seen.clear()
        members = self._twins.valuing.looks
        waits[0] += members_in_days(members, self._number, open_day)
        members.clear()
        texts = self._twins.hearing.heard
        waits[0] += texts_in_days(texts, self._number, open_day)
        self._twins.hearing.forget()
        for version in self._asking:
            tallied = self._twins.versions[version].engine.measuring.tallied
            if tallied:
                waits[version].append(
                    contribution_message(Tallies(partition=self._number, day=open_day, tallies=merged(tallied)))
                )
                tallied.clear()
            histograms = Histograms() if version else census.histograms
            waits[version].append(
                contribution_message(DayClosed(partition=self._number, day=day, histograms=histograms))
            )
        said = [[message.value or b"" for message in messages] for messages in waits]
        while self._epoch_day is None or self._epoch_day <= day:
            for version in self._asking:
                answer = yield Question(version, Waits(said[version], heading_ms))
                assert isinstance(answer, Version)
                self._adopt(version, decode_epoch(answer.epoch))
                said[version] = []

    def _adopt(self, version: int, epoch: Epoch) -> None:
        twins = self._twins
        if not version:
            self._epoch_day = epoch.day
            twins.census.follow(epoch.thresholds)
            twins.baskets.sample.admitted, associations = epoch.orders_admitted, Associations(epoch.products)
            twins.quality.usual, twins.quality.means = epoch.usual, epoch.means
            twins.hearing.sentiment = Sentiment(epoch.sentiment)
            twins.valuing.follow(epoch.value, epoch.panel_below)
            for each in twins.versions:
                each.engine.associations = associations
            twins.scorer.follow(epoch.model)
            twins.scorer.group(epoch.clusters)
        twins.versions[version].engine.follow(epoch.weights, epoch.stopped)
