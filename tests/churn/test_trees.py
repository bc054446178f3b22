"""Trees: bounded, the same after a restart, frozen without a change, and explained to the last bit."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.churn.explain import by_theme, reasons, sentence
from stream.churn.features import FEATURES, NAMES, vector
from stream.churn.frozen_trees import FrozenTree, root_log_odds, steps
from stream.churn.model import FrozenModel
from stream.churn.plain import from_plain, to_plain
from stream.churn.quality import UNKNOWN
from stream.churn.trees import _PLACES, DEEPEST, TREES, Trees
from stream.events.instants import DAY_MS
from stream.state.profile import Profile
from tests.churn.shop import customer_with

Labelled = tuple[str, tuple[float, ...], bool]


def day_of_labels(day: int, count: int = 100) -> list[Labelled]:
    """Customers who stay as long as they were here two months ago: neither fresh nor long gone. No line can tell them apart."""
    draw = random.Random(day)
    found = []
    for number in range(count):
        values = [f.centre + f.scale * draw.gauss(0, 1) for f in FEATURES]
        stays = abs(values[0] - 4.0) < 0.8
        found.append((f"{day}:{number}", tuple(values), draw.random() > (0.9 if stays else 0.1)))
    return found


def grown(days: int = 30) -> Trees:
    """Trees that have learnt so many days."""
    trees = Trees(90)
    for day in range(days):
        trees.forget(1)
        trees.learn(day_of_labels(day))
    return trees


@pytest.fixture(scope="module")
def trees() -> Trees:
    """Trees with 3,000 labels."""
    return grown()


def model_of(trees: Trees) -> FrozenModel:
    """The version that everybody would score with."""
    frozen, shift = trees.freeze()
    zeros = (0.0,) * len(NAMES)
    return FrozenModel(
        day=1, layout=0, horizon_days=90, names=NAMES, means=zeros, spreads=zeros, weights=zeros, labels=1, churned=1,
        quality=UNKNOWN, abstained="", river_version="", kind="trees", trees=frozen, baseline=shift + root_log_odds(frozen),
    )  # fmt: skip


numbers = st.lists(st.floats(-20, 70), min_size=len(FEATURES), max_size=len(FEATURES))


@settings(deadline=None)
@given(values=numbers)
def test_the_frozen_trees_lead_where_rivers_do(trees: Trees, values: list[float]) -> None:
    """Any vector ends in the leaf that River takes it to: the same labels came by there."""
    for made, frozen in zip(trees._trees, trees._raw(), strict=True):
        found = made._root.traverse({name: values[_PLACES[name]] for name in NAMES})
        assert frozen.weights[frozen.leaf(values)] == sum(found.stats.values())


@settings(deadline=None)
@given(values=numbers)
def test_what_features_add_sums_to_the_score(trees: Trees, values: list[float]) -> None:
    """Baseline and contributions are the log-odds to the last bit, and these are what the trees say together."""
    model = model_of(trees)
    frozen, shift = trees.freeze()
    parts = [model.baseline, *model.contributions(values)]

    assert model.log_odds(values) == math.fsum(parts) == math.fsum(reversed(parts))
    said = [tree.values[tree.leaf(values)] for tree in frozen]
    assert math.isclose(model.log_odds(values), shift + sum(said) / TREES, abs_tol=1e-9)


def test_they_tell_what_a_line_cannot(trees: Trees) -> None:
    """Who is neither fresh nor long gone stays, and the silence is what they go by."""
    model = model_of(trees)
    typical = [f.centre for f in FEATURES]
    risk = {silence: model.probability([silence, *typical[1:]]) for silence in (2.0, 4.0, 6.0)}

    assert risk[4.0] < 0.3 < 0.7 < min(risk[2.0], risk[6.0])
    assert "silence" == model.importance()[0][0]


def test_restored_trees_go_on_to_the_last_bit() -> None:
    """From the state of any day on; the state is plain data of bounded size."""
    first, second = Trees(90), Trees(90)
    for day in range(12):
        for each in (first, second):
            each.forget(1)
            each.learn(day_of_labels(day, 150))
        restored = Trees(90)
        restored.restore(second.state())
        second = restored
        assert first.state() == second.state()
    assert first.freeze() == second.freeze()
    assert all(len(tree.features) < 2 ** (DEEPEST + 1) for tree in first.freeze()[0])
    assert len(first.state()) < 500_000


def test_a_tree_that_has_become_worse_is_planted_anew() -> None:
    """When overnight the opposite holds, and the trees then learn that."""
    trees = grown()
    for day in range(100, 130):
        trees.forget(1)
        trees.learn([(key, values, not churned) for key, values, churned in day_of_labels(day)])
    model = model_of(trees)
    typical = [f.centre for f in FEATURES]

    assert 1 <= trees.replanted <= TREES
    assert model.probability([4.0, *typical[1:]]) > 0.7


def test_the_reasons_of_a_tree_in_words() -> None:
    """A golden explanation: one split by silence, one by repeats on its right."""
    at = NAMES.index("repeats")
    tree = FrozenTree(
        (0, -1, at, -1, -1), (3.5, 0, 1.0, 0, 0), (2, 0, 4, 0, 0), (0.2, -1.5, 1.2, 1.9, 0.4), (9, 4, 5, 2, 3)
    )
    model = msgspec.structs.replace(model_of(Trees(90)), trees=(tree,), baseline=0.2)
    customer = customer_with([(10_000 + 30 * i, 2_500) for i in range(6)])
    late = Profile("c", customer, (10_150 + 95) * DAY_MS)
    why = reasons(model, vector(late, 90), late, "EUR")

    assert [("silence", 1.0), ("loyalty", -0.8)] == [(c.feature, round(c.log_odds, 6)) for c in why]
    assert math.isclose(0.4, model.baseline + sum(c.log_odds for c in by_theme(model, vector(late, 90), late, "EUR")))
    assert sentence(model.probability(vector(late, 90)), 90, why) == (
        "60 % likely not to buy in the next 90 days: no purchase for 95 days (usual gap 30 days) (raises the risk); "
        "6 orders in 245 days, 0 of them in the last 90 (lowers the risk)"
    )
    silence, repeats = steps((tree,), len(NAMES))[0], steps((tree,), len(NAMES))[at]
    assert math.isclose(silence, 1.7 * 4 / 9 + 1.0 * 5 / 9)  # 4 of 9 labels go left, down 1.7; 5 go right, up 1
    assert math.isclose(repeats, -(0.7 * 2 / 9 + 0.8 * 3 / 9))  # more orders, less risk


def test_plain_data_makes_nothing_but_what_it_may() -> None:
    """A class that isn't on the list is neither written nor made."""
    with pytest.raises(TypeError, match="isn't among the classes to write"):
        to_plain(Trees(90), {}, {})
    plain = to_plain(Labels([1, {"a": (2.0, None)}]), {"labels": Labels}, {})
    assert [1, {"a": (2.0, None)}] == from_plain(plain, {"labels": Labels}, {}).found
    with pytest.raises(KeyError, match="labels"):
        from_plain(plain, {}, {})


class Labels:
    """Something to write."""

    def __init__(self, found: list[object]) -> None:
        self.found = found
