"""What customers were expected to buy against what they bought: CDNOW, models that the stream fitted against `lifetimes`' own.

The shop is played up to each cut-off by the processor, with default settings and no rules; then the version in force values everybody, and
the rest of the data tells. The others are fitted in batch to all customers at the cut-off. A purchase is a day with orders. At the end
it is told how good the loyalty forecast was, and what drives loyalty and money.
"""

from __future__ import annotations

import json as json_module
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import orjson
from lifetimes import BetaGeoFitter, GammaGammaFitter
from numpy.typing import NDArray
from rich.console import Console

from stream.commands.drivers import shown
from stream.config import make_settings
from stream.datasets import CDNOW_END, cdnow_events
from stream.events.instants import DAY_MS, parse_ms
from stream.events.record import Record
from stream.processor.view import drivers_view
from stream.rules.rule import RuleSet
from stream.testing import Shop
from stream.worth.history import History
from stream.worth.model import ValueModel

CUTS = (("1997-07-01T00:00:00Z", 365), ("1997-10-01T00:00:00Z", 273))
"""Cut-off and days after it: a year, and the 39 weeks of the papers."""
FIGURES = ("mae_purchases", "rmse_purchases", "all_purchases", "mae_money", "rmse_money", "all_money", "rank_money")

Floats = NDArray[np.float64]
Orders = dict[str, list[tuple[int, int]]]


class Expected(NamedTuple):
    """Of every customer."""

    purchases: Floats
    minor: Floats


def main(json: bool) -> None:
    """Prints the table, or the same as JSON."""
    found = measured()
    if json:
        print(json_module.dumps(found))
        return
    loyalty = found.pop("loyalty")
    for cut, table in found.items():
        print(f"\n{cut}: {table['customers']} customers, {table['days']} days; fitted {table['parameters']}")
        print(f"{'':<22}" + "".join(f"{name:>16}" for name in FIGURES))
        for name, row in table["rows"].items():
            print(f"{name:<22}" + "".join(f"{row[figure]:>16.4f}" for figure in FIGURES))
    Console(width=140).print(shown(loyalty))


def measured() -> dict[str, Any]:
    """The figures by cut-off."""
    orders = all_orders()
    shop = Shop(RuleSet(()), make_settings(currency="USD"))
    shop.keep_outcomes = False
    played = list(cdnow_events())
    found: dict[str, Any] = {}
    for cut, days in CUTS:
        known = [event for event in played if event["timestamp"] < cut]
        played = played[len(known) :]
        play(shop, known, cut)
        assert shop.epoch is not None
        assert parse_ms(cut) + days * DAY_MS <= parse_ms(CDNOW_END)
        found[cut[:10]] = compared(orders, parse_ms(cut) // DAY_MS, days, shop.epoch.value)
    play(shop, played, CDNOW_END)
    assert shop.epoch is not None
    found["loyalty"] = drivers_view(shop.epoch.value.forecast, shop.epoch.day) | {
        "classes": {kind: n for (scheme, kind), n in shop.partition.population()[2].items() if scheme == "core"}
    }
    return found


def all_orders() -> Orders:
    """Customer → (UTC day, minor units) of orders that are worth something."""
    orders: Orders = defaultdict(list)
    for event in cdnow_events():
        minor = round(100 * event["properties"]["revenue"])
        if minor:
            orders[event["userId"]].append((parse_ms(event["timestamp"]) // DAY_MS, minor))
    return orders


def play(shop: Shop, events: list[dict[str, Any]], until: str) -> None:
    """Sends a day at a time."""
    days: dict[str, list[Record]] = defaultdict(list)
    for event in events:
        days[event["timestamp"]].append(Record("crm.purchases.v1", 0, -1, -1, None, orjson.dumps(event)))
    for at, records in days.items():
        shop.send_records(records, at)
    shop.wait_until(until)


def compared(orders: Orders, day: int, days: int, model: ValueModel) -> dict[str, Any]:
    """Everybody's expectations against what came."""
    histories, came, minor, year = [], [], [], []
    for bought in orders.values():
        dates = sorted({at for at, _ in bought if at < day})
        if not dates:
            continue
        spent = sum(worth for at, worth in bought if at < day)
        histories.append(History(len(dates) - 1, dates[-1] - dates[0], day - dates[0], spent / len(dates)))
        came.append(len({at for at, _ in bought if day <= at < day + days}))
        minor.append(sum(worth for at, worth in bought if day <= at < day + days))
        lately = [worth for at, worth in bought if day - 365 <= at < day]
        year.append(sum(lately) / max(1, len(lately)) * len(lately))
    truth = Expected(np.array(came, float), np.array(minor, float))
    expected = {
        "ours, in the stream": ours(histories, days, model),
        "lifetimes": by_lifetimes(histories, days),
        "pace so far": at_pace(histories, days),
        "as written, 1 year": Expected(np.full(len(came), np.nan), np.array(year) * days / 365),
    }
    return {
        "customers": len(histories),
        "days": days,
        "parameters": str(model.rates),
        "rows": {name: judged(each, truth) for name, each in expected.items()},
    }


def judged(expected: Expected, truth: Expected) -> dict[str, float]:
    """How far off; ``all_…`` is the sum over everybody as a multiple of what came, ``rank_money`` Spearman's correlation."""
    of_purchases, of_money = expected.purchases - truth.purchases, (expected.minor - truth.minor) / 100
    return {
        "mae_purchases": float(np.abs(of_purchases).mean()),
        "rmse_purchases": float((of_purchases**2).mean() ** 0.5),
        "all_purchases": float(expected.purchases.sum() / truth.purchases.sum()),
        "mae_money": float(np.abs(of_money).mean()),
        "rmse_money": float((of_money**2).mean() ** 0.5),
        "all_money": float(expected.minor.sum() / truth.minor.sum()),
        "rank_money": float(np.corrcoef(_ranks(expected.minor), _ranks(truth.minor))[0, 1]),
    }


def ours(histories: list[History], days: int, model: ValueModel) -> Expected:
    """By the version in force at the cut-off."""
    return Expected(
        np.array([model.purchases(each, days) or 0.0 for each in histories]),
        np.array([model.value_minor(each, days) or 0 for each in histories], float),
    )


def by_lifetimes(histories: list[History], days: int) -> Expected:
    """BG/NBD and Gamma-Gamma as `lifetimes` fits and evaluates them; money of repeat customers, as its manual has it, with the mean of
    all purchases."""
    x, last, age, mean = np.array(histories, float).T
    rates = BetaGeoFitter(penalizer_coef=0.0).fit(x, last / 7, age / 7)
    purchases = np.asarray(rates.conditional_expected_number_of_purchases_up_to_time(days / 7, x, last / 7, age / 7))
    again = x > 0
    spending = GammaGammaFitter(penalizer_coef=0.0).fit(x[again], mean[again] / 100)
    each = np.asarray(spending.conditional_expected_average_profit(x, mean / 100)) * 100
    return Expected(purchases, purchases * each)


def at_pace(histories: list[History], days: int) -> Expected:
    """As often as since the first purchase, for as much."""
    x, _, age, mean = np.array(histories, float).T
    return Expected(x / age * days, x / age * days * mean)


def _ranks(figures: Floats) -> Floats:
    _, which, sizes = np.unique(figures, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(sizes) - sizes / 2)[which]
    return ranks
