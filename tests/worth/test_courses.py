"""The loyalty forecast and the drivers against River, a batch fit, and shops of which it is known what drives them."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from river.linear_model import BayesianLinearRegression

from stream.commands.drivers import shown
from stream.processor.view import drivers_view
from stream.worth.course import NAMES, pack, unpack
from stream.worth.courses import Courses
from stream.worth.forecast import Forecast
from stream.worth.learner import Learner
from stream.worth.panel import ALL, Look

Floats = NDArray[np.float64]
AT = {name: NAMES.index(name) for name in NAMES}


def looks(members: int, visits: int, *, moved_by: float = 0.0) -> list[Look]:
    """Members whose loyalty moves by so many tenths of points for each standard deviation of `discount`, with noise; money follows views."""
    draw = np.random.default_rng(9)
    found = []
    for key in range(members):
        loyalty, spent = draw.uniform(30, 70), 0
        habit = draw.normal(size=len(NAMES))
        for visit in range(visits):
            values = habit.copy()
            values[AT["loyalty"]] = loyalty / 100
            found.append(
                Look(key, 20_000 + 30 * visit + key % 30, 0, 0, 9, spent, round(loyalty, 1), pack(values.tolist()))
            )
            loyalty = float(np.clip(loyalty + moved_by * habit[AT["discount"]] / 3 + draw.normal(0, 1), 0, 100))
            spent += round(np.exp(5 + habit[AT["views"]]))
    return sorted(found, key=lambda look: (look.day, look.key))


def learnt(found: list[Look]) -> Forecast:
    """Day by day."""
    courses = Courses()
    for day in sorted({look.day for look in found}):
        courses.learn([look for look in found if look.day == day], ALL)
        courses.freeze()
    return courses.freeze()


def test_what_moves_loyalty_is_found_and_told_from_what_does_not() -> None:
    """The forecast is better than that nothing changes; the driver of loyalty isn't one of money, and the other way round."""
    forecast = learnt(looks(200, 12, moved_by=8.0))
    by_name = {driver.feature: driver for driver in forecast.drivers}

    assert "" == forecast.abstained
    assert forecast.error is not None
    assert forecast.error_unchanged is not None
    assert forecast.error < 0.5 * forecast.error_unchanged
    assert by_name["discount"].loyalty_beside > 3 * forecast.noise
    assert by_name["views"].value > 0.8 > 3 * forecast.noise
    assert by_name["views"].value_beside > 0.8
    assert 0 == by_name["loyalty"].loyalty_beside
    assert abs(by_name["nps"].value_beside) < forecast.noise
    ahead = forecast.ahead(50.0, [0.5 if name == "loyalty" else 2.0 * (name == "discount") for name in NAMES])
    assert ahead is not None
    assert 60 < ahead < 72  # 16 points in three months


def test_it_abstains_where_nothing_can_be_foretold() -> None:
    """Before enough has matured, and where noise is all there is."""
    assert "of 200 pairs" in learnt(looks(20, 5)).abstained
    young, noise = learnt(looks(100, 4)), learnt(looks(400, 9))

    assert young.abstained
    assert "that nothing changes by" in noise.abstained
    page = StringIO()
    Console(file=page, width=160).print(shown(drivers_view(noise, 10_000)))
    assert "forecast abstains: " in page.getvalue()
    assert "may be chance" in page.getvalue()


def test_it_learns_what_river_learns() -> None:
    """Without fading, the weights of River's Bayesian linear regression with the same prior."""
    draw = np.random.default_rng(4)
    river: Any = BayesianLinearRegression(alpha=1, beta=1)
    courses = Courses()
    people = [unpack(pack(draw.normal(size=len(NAMES)).tolist())) for _ in range(150)]
    later = [float(np.clip(50 + 10 * values[AT["nps"]] + draw.normal(), 0, 100)) for values in people]
    courses.learn([Look(key, 20_000, 0, 0, 9, 0, 50.0, pack(values)) for key, values in enumerate(people)], ALL)
    courses.learn([Look(key, 20_090, 0, 0, 99, 0, later[key], pack(values)) for key, values in enumerate(people)], ALL)
    for values, loyalty in zip(people, later, strict=True):
        river.learn_one({"one": 1.0, **dict(zip(NAMES, values, strict=True))}, (loyalty - 50.0) / 10)
    ours = courses.freeze()
    x = dict(zip(NAMES, draw.normal(size=len(NAMES)).tolist(), strict=True))
    ahead = ours.ahead(50.0, list(x.values()))

    assert ahead is not None
    assert abs(ahead - (50 + 10 * river.predict_one({"one": 1.0, **x}))) < 0.1


def test_a_restart_changes_nothing() -> None:
    """Restored after every day, with members that crowd others out, it comes to the same state."""
    found = looks(640, 5, moved_by=5.0)
    days = {day: [look for look in found if look.day == day] for day in sorted({look.day for look in found})}
    whole, parts = Learner(630), Learner(630)
    for day, members in days.items():
        whole.learn({day: members})
        whole.freeze(day + 1)
        parts.learn({day: list(reversed(members))})
        parts.freeze(day + 1)
        restored = Learner(630)
        restored.restore(parts.state())
        parts = restored

    assert whole.state() == parts.state()
    assert whole.freeze(20_200).forecast == parts.freeze(20_200).forecast
    assert len(whole._courses._open) <= 600
