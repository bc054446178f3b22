"""For whom the model is good: counted by region, channel and tier, against figures computed by themselves."""

from __future__ import annotations

import math
import random

import msgspec
import numpy as np
import pytest

from stream.churn.examples import Example, pack
from stream.churn.fairness import MOST_GROUPS, OTHER, UNKNOWN_GROUP, Fairness, groups
from stream.churn.features import FEATURES, NAMES
from stream.churn.quality import auc
from stream.churn.snapshots import TIERS, Snapshot, decode
from stream.config import Settings

DAY = 10_000


def looks(region: str, count: int, blur: float, seed: int) -> list[Example]:
    """Looks at a region's customers whose scores are the truth with so much noise; half have been silent for long enough."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        churned = draw.random() < 0.7
        score = min(0.999, max(0.0, (0.8 if churned else 0.4) + draw.gauss(0, blur)))
        values = [f.centre for f in FEATURES]
        values[NAMES.index("silence")] = math.log1p(5 if number % 2 else 80)
        values[NAMES.index("single")] = 1.0
        found.append(Example(0, f"{region}{number}", DAY, churned, score, pack(values), (region, "web", "low")))
    return found


def test_a_region_that_the_model_serves_worse_shows() -> None:
    """AUC, rate of churn, of alarms and of false alarms of each region are those that its looks have."""
    shop = {"north": looks("north", 4_000, 0.15, 1), "south": looks("south", 2_000, 0.6, 2)}
    fairness = Fairness(Settings())
    fairness.take(DAY, [example for batch in shop.values() for example in batch])
    found = {group.name: group for group in groups(fairness.state()[1])}

    for region, batch in shop.items():
        churned = np.array([e.churned for e in batch])
        alarms = np.array([e.score >= 0.7 and number % 2 == 0 for number, e in enumerate(batch)])
        group = found[region]
        assert group.auc == pytest.approx(auc(np.array([e.score for e in batch]), churned), abs=0.003)
        assert group.churn_rate == pytest.approx(churned.mean())
        assert group.alarm_rate == pytest.approx(alarms.mean())
        assert group.false_alarm_rate == pytest.approx(alarms[~churned].mean())
    assert (found["north"].auc or 0.0) > (found["south"].auc or 0.0) + 0.1
    assert ["north", "south", "web", "low"] == [group.name for group in groups(fairness.state()[1])]


def test_few_looks_and_unscored_ones_tell_nothing() -> None:
    """Fewer than a hundred are chance; a look from before the first model was no score; old ones fade."""
    fairness = Fairness(Settings())
    unscored = [msgspec.structs.replace(example, score=-1.0) for example in looks("east", 500, 0.1, 3)]
    fairness.take(DAY, [*unscored, *looks("west", 60, 0.1, 4), *looks("", 60, 0.1, 5)])
    found = {group.name: group for group in groups(fairness.state()[1])}

    assert "east" not in found
    assert found["west"].auc is None is found["west"].false_alarm_rate
    assert 60 == found[UNKNOWN_GROUP].looks
    again = Fairness(Settings())
    again.restore(*fairness.state())
    again.take(DAY + 360, [])
    assert 30 == {group.name: group for group in groups(again.state()[1])}["west"].looks


def test_any_number_of_regions_takes_bounded_memory() -> None:
    """Beyond so many, the rest are counted together."""
    fairness = Fairness(Settings())
    fairness.take(DAY, [look for number in range(100) for look in looks(f"r{number}", 3, 0.1, number)])
    regions = [group for group in groups(fairness.state()[1]) if group.kind == "region"]

    assert MOST_GROUPS + 1 == len(regions)
    assert OTHER == regions[0].name
    assert 300 == sum(group.looks for group in regions)


def test_a_snapshot_remembers_the_tier_in_the_same_bytes() -> None:
    """Every tier comes back, and one that was stored without is unknown."""
    for tier in TIERS:
        snapshot = Snapshot(20_000, 0.5, pack([0.0] * len(FEATURES)), tier=tier)
        assert snapshot == decode(snapshot.encode())
        assert len(Snapshot(20_000, 0.5, snapshot.values).encode()) == len(snapshot.encode())
