"""Clusters: found where they are, named by what sets them apart, the same in any order and after a restart."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import orjson

from stream.churn.clusters import GROUPS, LEAST, Clusters
from stream.churn.examples import Example, pack, unpack
from stream.churn.features import FEATURES, NAMES
from stream.config import make_settings
from stream.events.instants import DAY_MS
from stream.replay import Replay
from stream.rules.loader import load_rules
from stream.segments.schemes import CLUSTER, CLUSTERS, class_in, with_class
from tests.kpis.test_kpis import HORIZON, life

COLUMNS = ("silence", "overdue", "repeats", "order_value", "views", "returns")
KINDS = {
    "silent for long": {"silence": 6.4, "repeats": 0.9},
    "many orders": {"silence": 4.0, "repeats": 4.0},
    "large orders": {"silence": 4.0, "order_value": 13.0},
    "looks around": {"silence": 4.0, "views": 4.0},
}


def day_of_looks(day: int, count: int = 200) -> list[tuple[str, Example]]:
    """Looks at customers of four kinds, with the kind of each."""
    draw = random.Random(day)
    found = []
    for number in range(count):
        kind = draw.choice(list(KINDS))
        values = [f.centre for f in FEATURES]
        for name, value in KINDS[kind].items():
            values[NAMES.index(name)] = value
        values = [value + f.scale * draw.gauss(0, 0.15) for value, f in zip(values, FEATURES, strict=True)]
        found.append((kind, Example(day * DAY_MS, f"c{number}", day + 90, True, 0.5, pack(values))))
    return found


def nearest(clusters: Clusters, vector: Sequence[float]) -> int:
    """The group with the smallest distance, by its definition."""
    columns = [(NAMES.index(name), FEATURES[NAMES.index(name)]) for name in COLUMNS]
    point = [(vector[at] - feature.centre) / feature.scale for at, feature in columns]
    return 1 + min(range(len(clusters.centres)), key=lambda at: math.dist(clusters.centres[at], point))


def test_kinds_of_customers_are_told_apart_and_named() -> None:
    """Customers of different kinds are never in one group, and each group's name begins with what its kind has more of."""
    clusters = Clusters()
    for day in range(20):
        clusters.learn([example for _, example in day_of_looks(day)])
    names, groups = clusters.names(), clusters.groups()
    kinds_of: dict[int, set[str]] = {}
    for kind, example in day_of_looks(99):
        number = groups.of(unpack(example.values))
        assert number == nearest(clusters, unpack(example.values))
        kinds_of.setdefault(number, set()).add(kind)
        assert kind in names[number - 1]

    assert all(len(kinds) == 1 for kinds in kinds_of.values())
    assert set(KINDS) == set().union(*kinds_of.values())
    assert GROUPS == len(names)


def test_order_and_restarts_do_not_show() -> None:
    """A day's looks in any order, restored from bytes every day: the same centres to the last bit; none before there is enough."""
    first, second = Clusters(), Clusters()
    for day in range(6):
        batch = [example for _, example in day_of_looks(day, 250)]
        first.learn(batch)
        second.learn(sorted(random.Random(day).sample(batch, len(batch)), key=lambda e: (e.time_ms, e.customer)))
        second = msgspec.msgpack.decode(msgspec.msgpack.encode(second), type=Clusters)
        assert bool(first.centres) == (min(200, 250) * (day + 1) >= LEAST)
    assert first == second


def test_it_is_a_scheme_among_the_others() -> None:
    """It can be asked for, and its classes fit into the number beside those of the others."""
    assert "cluster" in make_settings(schemes="share,cluster").schemes
    for number, name in enumerate(CLUSTERS):
        assert name == class_in(CLUSTER, with_class(0b111111, CLUSTER, number))


RULE = """
id: alike
version: 1
description: Asks in which group of customers a buyer is.
when: {event: purchase}
if: customer.cluster != "" && customer.cluster_name != "" && !("complaining" in customer.personas)
then: {action: care, channel: none, template: alike}
expires_after: 2d
cap: false
"""


def test_customers_are_in_groups_and_moves_are_told(tmp_path: Path) -> None:
    """Sixty days of a small shop: every known buyer has a named group, and changes of it are on the topic of tiers."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, life(5, days=60))))
    settings = make_settings(churn_horizon_days=HORIZON, churn_quiet_days=2, schemes="lifecycle,cluster")
    (tmp_path / "alike.yaml").write_text(RULE.lstrip())
    with Replay(settings, load_rules(tmp_path)) as run:
        run.run([file])
        told = [row["explanation"]["matched"] for row in map(orjson.loads, run.rows("actions"))]
        customers = list(map(orjson.loads, run.rows("customers")))
        moves = [row for row in map(orjson.loads, run.rows("tiers")) if row["scheme"] == CLUSTER]

    named = {customer["cluster"] for customer in customers if customer["lifetime"]["frequency"]}
    assert None not in named
    assert len(named) > 1
    assert moves
    (asked,) = {row["condition"].split()[0] for rows in told for row in rows if row["actual"] in CLUSTERS[1:]}
    assert asked == "customer.cluster"
    assert all(row["tier"] in CLUSTERS and row["reason"].split("; ")[0] for row in moves)
