"""Simulated shops as unlike as shops are, each of a known law: what a model that was built on two data sets has to hold on as well.

The features `due` and `faded` and the prior were chosen with shops of such laws in view, though not these; none is like a real one in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stream.events.instants import DAY_MS, to_text

OPENED = 19_358
"""UTC day on which every shop opens: 2023-01-01."""
Draw = np.random.Generator
Life = Callable[[Draw, int], Iterator[float]]
"""Days since the opening on which a customer orders who comes on a given one; endless, or until they leave."""


def _grocery(draw: Draw, came: int) -> Iterator[float]:
    """About once a week, some more often, until they move away; now and then a holiday."""
    gap, leaves, day = draw.lognormal(np.log(8), 0.5), came + draw.exponential(240), float(came)
    while day <= leaves:
        yield day
        day += max(1.0, gap * draw.gamma(4, 0.25)) + (draw.integers(14, 50) if draw.random() < 0.02 else 0)


def _subscription(draw: Draw, came: int) -> Iterator[float]:
    """Every two, four or eight weeks to the day, until they cancel; some skip a delivery."""
    gap, cancels, day = draw.choice([14, 28, 56]), draw.beta(1, 6), float(came)
    while True:
        yield day
        if draw.random() < cancels:
            return
        day += max(1.0, gap + draw.normal(0, 1.2)) + (gap if draw.random() < 0.04 else 0)


def _gifts(draw: Draw, came: int) -> Iterator[float]:
    """In December, or at an anniversary of their own, or both, year after year until they forget."""
    keen, own, both = draw.beta(1.2, 1.5) + 0.1, draw.integers(365), draw.random(2) < 0.6
    year = 0
    while year < 5 and (year == 0 or draw.random() < 0.75):
        days = [365 * year + draw.normal(345, 8)] if both[0] else []
        days += [365 * year + own + draw.normal(0, 5)] if both[1] else []
        yield from sorted(day for day in days if day >= came and draw.random() < keen)
        year += 1


def _leaving(draw: Draw, came: int) -> Iterator[float]:
    """Pareto/NBD: at random, each at a rate of their own, until they leave at random."""
    wait, leaves = (
        1 / max(1e-5, draw.gamma(0.7, 1 / 60)),
        came + draw.exponential(1 / max(1e-5, draw.gamma(0.8, 1 / 90))),
    )
    day = float(came)
    while day <= leaves:
        yield day
        day += draw.exponential(wait)


def _fashion(draw: Draw, came: int) -> Iterator[float]:
    """Half of them once, the others at random, each at a rate of their own, until they leave at random."""
    once, wait, leaves = draw.random() < 0.5, 1 / max(1e-5, draw.gamma(1.2, 1 / 90)), came + draw.exponential(400)
    day = float(came)
    while day <= leaves:
        yield day
        if once:
            return
        day += draw.exponential(wait)


SHOPS: dict[str, tuple[Life, int, int, int, tuple[int, ...]]] = {
    "weekly grocery": (_grocery, 1_000, 300, 90, (200, 290, 380)),
    "subscription": (_subscription, 1_500, 330, 30, (180, 270)),
    "yearly gifts": (_gifts, 2_500, 900, 90, (1_000, 1_050)),
    "customers who leave": (_leaving, 2_000, 250, 90, (200, 290, 380)),
    "young": (_leaving, 2_000, 120, 90, (30, 100, 150)),
    "small": (_leaving, 300, 240, 90, (200, 290)),
    "fashion": (_fashion, 3_000, 430, 90, (250, 340)),
}
"""Name → law, customers, days over which they come, horizon in days, days of the cut-offs after the opening."""

RETURNED = {"fashion": 0.2}
"""Shop → share of orders that are given back whole, some days after."""


def day_text(day: int) -> str:
    """The date of a day after the opening."""
    return to_text((OPENED + day) * DAY_MS)[:10]


def events(name: str) -> list[dict[str, Any]]:
    """The orders of a shop, until the last label is known, as Segment ``Order Completed`` messages, and what is given back of them."""
    life, customers, over_days, horizon_days, cut_offs = SHOPS[name]
    end = max(cut_offs) + horizon_days
    found = []
    for number in range(customers):
        draw = np.random.default_rng([len(name), number])
        usual = draw.normal(3.5, 0.5)
        for count, day in enumerate(life(draw, int(draw.integers(over_days)))):
            if day >= end:
                break
            identity = f"{number}-{count}"
            worth = round(float(np.exp(draw.normal(usual, 0.4))), 2)
            found.append(
                {
                    "type": "track",
                    "event": "Order Completed",
                    "messageId": identity,
                    "userId": f"c{number}",
                    "timestamp": to_text(int((OPENED + day) * DAY_MS)),
                    "properties": {"order_id": identity, "revenue": worth, "currency": "USD"},
                }
            )
            if name in RETURNED and draw.random() < RETURNED[name]:
                back_ms = int((OPENED + day + draw.integers(4, 20)) * DAY_MS)
                found.append(
                    {
                        "type": "track",
                        "event": "Order Refunded",
                        "messageId": f"{identity}-back",
                        "userId": f"c{number}",
                        "timestamp": to_text(back_ms),
                        "properties": {"order_id": identity},
                    }
                )
    return sorted(found, key=lambda event: (event["timestamp"], event["messageId"]))
