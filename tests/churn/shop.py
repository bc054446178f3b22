"""A shop of orders only, walked day by day through the churn room alone: calendar, snapshots, trainer, frozen model.

What the processor does with everything else around it; here so that churn can be tested by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from stream.churn.calendar import interest_ms, next_grid_ms, period_ms
from stream.churn.examples import Example
from stream.churn.features import vector
from stream.churn.model import FrozenModel
from stream.churn.snapshots import Snapshot, mature, matures_ms, take
from stream.churn.trainer import Trainer
from stream.config import Settings
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS
from stream.state.customer import Customer
from stream.state.profile import Profile

Orders = Mapping[str, Sequence[tuple[int, int]]]
"""Customer → (UTC day, minor units), ascending."""


class Scored(msgspec.Struct, frozen=True):
    """A customer's score at the first instant of a UTC day, by the model as it then stood."""

    day: int
    customer: str
    probability: float


def customer_with(orders: Sequence[tuple[int, int]]) -> Customer:
    """A customer record with one order for each (UTC day, minor units)."""
    customer = Customer()
    for number, (day, minor) in enumerate(orders, start=1):
        buy(customer, number, day, minor)
    return customer


def buy(customer: Customer, number: int, day: int, minor: int) -> None:
    """One more order at midnight UTC of a day."""
    order = number.to_bytes(8, "big")
    customer.orders.purchase(order, order, day * DAY_MS, minor, memory_days=400, memory_orders=256)


def walk(
    orders: Orders, settings: Settings, score_at: Sequence[int], trainer: Trainer
) -> Iterator[Scored | FrozenModel]:
    """Lives through all orders up to the last of ``score_at`` (UTC days): yields each score and, before them, its model."""
    horizon = settings.churn_horizon_days
    period, interest = period_ms(horizon), interest_ms(horizon)
    by_day: dict[int, list[tuple[str, int]]] = {}
    for customer_id, bought in orders.items():
        for day, minor in bought:
            by_day.setdefault(day, []).append((customer_id, minor))
    customers: dict[str, Customer] = {}
    waiting: dict[str, list[Snapshot]] = {}
    visits: dict[int, list[str]] = {}
    number = 0
    for day in range(min(by_day), max(score_at) + 1):
        model = trainer.freeze(day)
        if day in score_at:
            yield model
            for customer_id, customer in customers.items():
                profile = Profile(customer_id, customer, day * DAY_MS)
                if profile.bought:
                    yield Scored(day, customer_id, model.probability(vector(profile, horizon)))
        released: list[Example] = []
        for customer_id in visits.pop(day, ()):
            profile = Profile(customer_id, customers[customer_id], day * DAY_MS)
            snapshots = waiting.setdefault(customer_id, [])
            while snapshots and matures_ms(snapshots[0], horizon) <= profile.as_of_ms:
                example = mature(snapshots.pop(0), customer_id, profile.purchase_days, horizon)
                assert example is not None
                released.append(example)
            last_ms = profile.last_purchase_ms
            if last_ms is not None and profile.as_of_ms <= last_ms + interest:
                snapshots.append(take(profile, model, horizon))
            if snapshots:
                visits.setdefault(day + period // DAY_MS, []).append(customer_id)
        for customer_id, minor in by_day.get(day, ()):
            number += 1
            if customer_id not in customers:
                customers[customer_id] = Customer()
                grid_ms = next_grid_ms(hash64(customer_id), day * DAY_MS, period)
                visits.setdefault(grid_ms // DAY_MS, []).append(customer_id)
            buy(customers[customer_id], number, day, minor)
        trainer.learn(released)
