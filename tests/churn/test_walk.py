"""The whole room together, on shops whose customers' ways are known."""

from __future__ import annotations

import random

import numpy as np

from stream.churn.model import FrozenModel
from stream.churn.quality import auc
from stream.churn.trainer import Trainer
from stream.config import make_settings
from tests.churn.shop import Orders, Scored, walk

START, CUT_OFF = 10_000, 10_300
SETTINGS = make_settings(churn_horizon_days=30)


def grocer(customers: int, *, scale: int = 1, seed: int = 1) -> dict[str, list[tuple[int, int]]]:
    """Customers with a rhythm of their own (about weekly), each of whom stops some day for good."""
    draw = random.Random(seed)
    orders: dict[str, list[tuple[int, int]]] = {}
    for number in range(customers):
        gap, leaves = draw.lognormvariate(2.2, 0.6), draw.betavariate(1, 12)
        at, bought = START + draw.uniform(0, 240), []
        while at < CUT_OFF + 30:
            bought.append((int(at), scale * draw.randrange(500, 5_000)))
            if draw.random() < leaves:
                break
            at += max(1.0, draw.gammavariate(3, gap / 3))
        orders[f"c{number:04}"] = bought
    return orders


def scores(orders: Orders) -> tuple[FrozenModel, dict[str, float]]:
    """The model in force at the cut-off, and everybody's score."""
    model, found = None, {}
    for told in walk(orders, SETTINGS, [CUT_OFF], Trainer(SETTINGS)):
        if isinstance(told, Scored):
            found[told.customer] = told.probability
        else:
            model = told
    assert model is not None
    return model, found


def area(orders: Orders, found: dict[str, float]) -> float:
    """How well the scores rank who bought within the horizon."""
    churned = [not any(CUT_OFF <= day < CUT_OFF + 30 for day, _ in orders[customer]) for customer in found]
    return auc(np.array(list(found.values())), np.array(churned))


def test_a_score_never_depends_on_the_future() -> None:
    """Whatever happens from the cut-off on, the scores at the cut-off are the same to the last bit."""
    orders = grocer(150)
    past = {c: [(day, minor) for day, minor in bought if day < CUT_OFF] for c, bought in orders.items()}
    past = {c: bought for c, bought in past.items() if bought}
    assert scores(past)[1] == scores(orders)[1]


def test_it_ranks_better_than_recency_and_can_tell() -> None:
    """On a shop with rhythms the model beats recency, and its prequential figures (of a horizon ago) say it is good."""
    orders = grocer(600)
    model, found = scores(orders)
    recency = {c: float(CUT_OFF - max(d for d, _ in orders[c] if d < CUT_OFF)) for c in found}
    assert area(orders, found) > area(orders, recency) + 0.003
    assert model.quality.auc is not None and model.quality.auc > 0.9
    assert model.quality.calibration_error is not None and model.quality.calibration_error < 0.03
    assert "" == model.abstained


def test_the_currency_does_not_matter() -> None:
    """Amounts a hundred times larger, as in a currency of small units, rank customers as well."""
    small, large = grocer(400), grocer(400, scale=100)
    assert abs(area(small, scores(small)[1]) - area(large, scores(large)[1])) < 0.005
