"""The panel and who learns from it: the same customers and the same models, however the looks come in."""

from __future__ import annotations

import numpy as np

from stream.worth.learner import Learner
from stream.worth.panel import Look, key_of


def looks(customers: int, visits: int = 4) -> dict[int, list[Look]]:
    """Customers who buy at rates of their own, each visited every 30 days."""
    draw = np.random.default_rng(11)
    found: dict[int, list[Look]] = {}
    for number in range(customers):
        times = np.cumsum(draw.exponential(1 / draw.gamma(0.6, 1 / 40), 60)) * (draw.random(60).cumsum() < 8)
        for visit in range(visits):
            age = 30 * visit + number % 30 + 1
            known = sorted({int(time) for time in times if 0 < time < age})
            last = known[-1] if known else 0
            look = Look(key_of(f"c{number}"), 20_000 + age, len(known), last, age, 2_000 * (len(known) + 1) + number)
            found.setdefault(look.day, []).append(look)
    return found


def test_the_panel_is_the_same_however_it_is_told_of() -> None:
    """In days or all at once, turned around, with a restart in between, and from partitions that leave out what isn't admitted."""
    days = looks(900)
    whole, parts = Learner(300), Learner(300)
    whole.learn(days)
    for day in sorted(days):
        parts.learn({day: [look for look in reversed(days[day]) if look.key < parts.below]})
        restored = Learner(300)
        restored.restore(parts.state())
        parts = restored
    keys = sorted(key_of(f"c{number}") for number in range(900))

    assert whole.state() == parts.state()
    assert keys[299] + 1 == whole.below
    assert whole.freeze(20_121) == parts.freeze(20_121)


def test_the_last_good_models_stay() -> None:
    """A week goes by before they are fitted anew, and a panel that nothing can be fitted to leaves them as they are."""
    days = looks(300)
    learner = Learner(300)

    assert "0 of 100 customers in the panel, 0 of 20 of them bought again" == learner.freeze(20_000).abstained
    learner.learn(days)
    first = learner.freeze(20_121)
    assert (20_120, 300, "") == (first.fitted_day, first.customers, first.abstained)
    assert first == learner.freeze(20_127)
    again = learner.freeze(20_128)
    assert 20_127 == again.fitted_day
    assert first.rates is not None
    assert again.rates is not None
    assert np.allclose(first.rates.r, again.rates.r, rtol=0.01)

    values = sorted(
        first.value_minor(look.history) or 0
        for look in {look.key: look for day in sorted(days) for look in days[day]}.values()
    )
    assert 0.15 < sum(value >= first.top_minor for value in values) / len(values) < 0.25


def test_nobody_is_asked_when_it_is_switched_off() -> None:
    """And what an earlier version left is not gone on with."""
    before, off = Learner(100), Learner(0)
    before.learn(looks(120))
    off.restore(before.state())

    assert 0 == off.below
    assert off.freeze(20_121).rates is None
