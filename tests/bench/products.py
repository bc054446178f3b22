"""Hit rate at 10 of the next best products on Ta-Feng, against popularity and the customer's own habit.

For the last order of each customer with an earlier one: do the ten products that Winback would name at the start of that day
hold one that is in the order? What is learnt comes from orders of earlier days only, and of the customer's own past only what
a record remembers (16 orders). `new` asks the same of products that the customer hasn't bought before, in orders that
hold some. The intervals are bootstrapped over customers, 95 %.
"""

from __future__ import annotations

import json as json_module
from collections import Counter, defaultdict
from time import process_time
from typing import Any

import numpy as np

from stream.config import Settings
from stream.events.hashing import digest64
from stream.events.instants import DAY_MS
from stream.products.associations import Associations, habit
from stream.products.basket import MOST_BEFORE, Basket
from stream.products.learner import Learner
from stream.state.messages import MOST_BASKETS, product_code
from tests.bench._ta_feng import Order, orders

TOP = 10
ROUNDS = 500


def main(json: bool) -> None:
    """Prints the table, or the same as JSON."""
    found = ta_feng()
    if json:
        print(json_module.dumps({"ta_feng": found}))
        return
    print(f"Ta-Feng, hit rate at {TOP} on the last order of {found['customers']} customers")
    print(f"{'':<14}{'hit rate':>10}{'interval':>20}{'new only':>12}{'interval':>20}")
    for name in ("ours", "popular", "own_habit"):
        row = found[name]
        cells = [
            f"{row[k]['rate']:>{w}.4f}   [{row[k]['interval'][0]:.4f}, {row[k]['interval'][1]:.4f}]"
            for k, w in (("all", 10), ("new", 12))
        ]
        print(f"{name:<14}" + "".join(cells))
    print(f"\n{found['seconds_learning']:.1f} s of CPU for {found['orders']} orders; {found['bytes']} bytes a version")


def ta_feng() -> dict[str, Any]:
    """All figures."""
    settings = Settings()
    learner = Learner(settings.product_orders_per_day, settings.product_half_life_days)
    days: dict[int, list[Order]] = defaultdict(list)
    times = Counter(order.customer for order in orders())
    for order in orders():
        days[order.day].append(order)
    past: dict[str, list[Order]] = defaultdict(list)
    hits: dict[str, list[tuple[int, int]]] = defaultdict(list)
    seconds = 0.0
    for day in sorted(days):
        known = Associations(learner.table())
        everybody = [a.product_id for a in known.popular(200)]
        for order in days[day]:
            before = past[order.customer]
            times[order.customer] -= 1
            if before and not times[order.customer]:
                _ask(known, everybody, order, before, hits)
        baskets = [_basket(order, past[order.customer]) for order in days[day]]
        started = process_time()
        learner.learn({day: baskets})
        learner.table()
        seconds += process_time() - started
        for order in days[day]:
            past[order.customer].append(order)
    return {
        "customers": len(hits["ours"]),
        "orders": len(orders()),
        **{name: _rates(rows) for name, rows in hits.items()},
        "seconds_learning": round(seconds, 2),
        "bytes": len(learner.table()),
    }


def _remembered(before: list[Order]) -> list[list[int]]:
    """Codes of a customer's earlier orders as a record has them, the newest first."""
    return [[product_code(line.product) for line in each.lines] for each in reversed(before[-MOST_BASKETS:])]


def _basket(order: Order, before: list[Order]) -> Basket:
    codes = list(dict.fromkeys([code for each in _remembered(before) for code in each]))[:MOST_BEFORE]
    identity = digest64(f"{order.day}-{order.customer}")
    products = tuple(sorted({line.product for line in order.lines}))
    return Basket(order.day * DAY_MS, order.customer, int.from_bytes(identity[:4], "big"), products, tuple(codes))


def _ask(
    known: Associations, everybody: list[str], order: Order, before: list[Order], hits: dict[str, list[tuple[int, int]]]
) -> None:
    wanted = {line.product for line in order.lines}
    had = {line.product for each in before for line in each.lines}
    fresh = wanted - had
    bought = habit(_remembered(before))
    own = Counter(line.product for each in before for line in each.lines)
    habits = [p for p, _ in sorted(own.items(), key=lambda entry: (-entry[1], entry[0]))]
    named = {
        "ours": (
            [a.product_id for a in known.next_best(bought, TOP)],
            [a.product_id for a in known.next_best(bought, TOP, only_new=True)],
        ),
        "popular": (everybody[:TOP], [p for p in everybody if p not in had][:TOP]),
        "own_habit": (
            [*habits, *(p for p in everybody if p not in own)][:TOP],
            [p for p in everybody if p not in had][:TOP],
        ),
    }
    for name, (ten, ten_new) in named.items():
        hits[name].append((int(not wanted.isdisjoint(ten)), int(not fresh.isdisjoint(ten_new)) if fresh else -1))


def _rates(rows: list[tuple[int, int]]) -> dict[str, Any]:
    table = np.array(rows)
    return {"all": _rate(table[:, 0]), "new": _rate(table[table[:, 1] >= 0, 1])}


def _rate(hits: Any) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    rates = draw.binomial(len(hits), hits.mean(), ROUNDS) / len(hits)
    low, high = np.percentile(rates, (2.5, 97.5))
    return {"rate": float(hits.mean()), "interval": [float(low), float(high)], "n": len(hits)}
