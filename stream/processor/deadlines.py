"""When silence makes something due about a customer who has bought: timers, the next review, the next churn snapshot."""

from __future__ import annotations

from typing import Protocol

from stream.churn.calendar import interest_ms, next_grid_ms, period_ms
from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.rules.rule import RuleSet
from stream.rules.schedule import NEVER_MS, Fired, Known, Schedule
from stream.segments.reviews import next_review_ms
from stream.state.person import Person
from stream.state.purchases import Purchases


class Decided(Fired, Protocol):
    """What due instants need of the decisions about a customer: of `stream.state.memory.Memory`, or of part of it."""

    @property
    def alert_armed(self) -> bool:
        """The churn score is below the threshold: then there are more reviews."""

    @property
    def reviewed_ms(self) -> int:
        """Up to when there was a review."""

    @property
    def grid_ms(self) -> int:
        """Up to when the calendar of churn snapshots has been done."""

    @property
    def has_snapshots(self) -> bool:
        """Snapshots are open."""


class Deadlines:
    """The due instants of one shop's settings and rules."""

    def __init__(self, settings: Settings, rules: RuleSet) -> None:
        self.schedule = Schedule(rules, settings)
        self.by_activity = "last_activity" in self.schedule.on_person.any
        """Whatever a customer does moves a timer."""
        self._spread_ms = settings.timer_spread_ms
        self._period_ms = period_ms(settings.churn_horizon_days)
        self._interest_ms = interest_ms(settings.churn_horizon_days)

    def on_orders_ms(
        self,
        purchases: Purchases,
        memory: Decided,
        customer_hash: int,
        held_until_ms: int = 0,
        before_ms: int = NEVER_MS,
    ) -> int:
        """When the first of all that hangs on the customer's purchases is due, if before an instant; else that instant. No snapshot
        is due before ``held_until_ms``."""
        last_ms, first_ms = purchases.last_ms, purchases.first_ms
        if last_ms is None or first_ms is None:
            return before_ms
        expected_day = purchases.expected_next_day
        instants = (last_ms, first_ms, 0 if expected_day is None else expected_day * DAY_MS)
        review_ms = self.review_ms(purchases, memory, customer_hash)
        grid_ms = self.grid_ms(purchases, memory, customer_hash)
        # The rules last: what a calendar says costs little, and most timers lie behind it.
        before_ms = min(before_ms, review_ms, max(held_until_ms, grid_ms))
        return self.schedule.on_orders.next_ms(instants, purchases, memory, customer_hash, before_ms)

    def occasions_ms(
        self,
        customer_id: str,
        customer_hash: int,
        person: Person,
        purchases: Purchases,
        memory: Decided,
        decided_ms: int,
        before_ms: int,
    ) -> int:
        """When a calendar or a complaint makes something due, if before an instant; else that instant. ``decided_ms`` is
        `stream.rules.occasions.decided_until_ms`."""
        occasions = self.schedule.occasions
        known = Known(customer_id, customer_hash, person, purchases.first_ms, purchases.last_ms, occasions.shop_zone)
        return occasions.next_ms(known, memory, decided_ms, before_ms)

    def review_ms(self, purchases: Purchases, memory: Decided, customer_hash: int) -> int:
        """When tier and score are looked at again; `NEVER_MS` for never."""
        last_ms = purchases.last_ms
        if last_ms is None:
            return NEVER_MS
        after_ms = max(memory.reviewed_ms, memory.history_until_ms, last_ms)
        return next_review_ms(last_ms, after_ms, customer_hash, self._spread_ms, watched=memory.alert_armed) or NEVER_MS

    def grid_ms(self, purchases: Purchases, memory: Decided, customer_hash: int) -> int:
        """When a churn snapshot is closed or taken next; `NEVER_MS` for never."""
        first_ms, last_ms = purchases.first_ms, purchases.last_ms
        if first_ms is None or last_ms is None:
            return NEVER_MS
        grid_ms = next_grid_ms(customer_hash, max(first_ms, memory.grid_ms), self._period_ms)
        return NEVER_MS if grid_ms > last_ms + self._interest_ms and not memory.has_snapshots else grid_ms
