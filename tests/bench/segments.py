"""Shares of a large population: tiers from merged histograms against those of the exact ranks of everybody.

The exact composite is made of the mid-ranks of everybody's own days, orders and money, unbinned. ``worst`` is how far any tier's
share lies from the one asked for, ``same_tier`` how many customers both put into the same tier.
"""

from __future__ import annotations

import argparse
import json as json_module
from collections import Counter
from time import process_time
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.events.hashing import hash64
from stream.segments.cells import attitude_of, cell_of, taken_apart
from stream.segments.population import Histograms, thresholds
from stream.segments.shares import CUTS, SHARE_TIERS, position_of, tier_at
from stream.segments.value import BOTTOM, HALF_A_YEAR_DAYS
from stream.state.memory import Population

DAY = 20_400
WEIGHTS = (300, 250, 250, 200)
PARTITIONS = 4
SHARES = {"churn_risk": 0.15, "low": 0.4, "medium": 0.3, "high": 0.15}


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many customers."""
    parser.add_argument("--customers", type=int, default=1_000_000)


def main(json: bool, customers: int) -> None:
    """Prints the table, or the same as JSON."""
    found = measured(customers)
    if json:
        print(json_module.dumps(found))
        return
    print(f"{customers} buyers, {found['cells']} cells; {found['fold_ms']} ms to rank them all")
    print(f"{found['contribution_kib']} KiB from each of {PARTITIONS} partitions a day, {found['scales_kib']} KiB back")
    for tier, share in found["shares"].items():
        print(f"{tier:<12}{SHARES[tier]:>7.1%}{share:>10.3%}")
    for name, share in found["silent_among_lowest"].items():
        print(f"of the lowest {BOTTOM:.0%} by the value index {name}, silent for half a year: {share:.1%}")
    print(f"worst {found['worst']:.3%}; same tier as by exact ranks {found['same_tier']:.1%}")


def measured(customers: int) -> dict[str, Any]:
    """The figures."""
    chance = np.random.default_rng(7)
    frequency = np.minimum(300, chance.pareto(1.1, customers) + 1).astype(np.int64)
    last_day = DAY - np.minimum(364, chance.exponential(150 / frequency**0.5)).astype(np.int64)
    minor = (chance.lognormal(8, 0.8, customers) * frequency).astype(np.int64)
    nps = np.where(chance.random(customers) < 0.1, chance.integers(0, 11, customers), -1)
    attitude = np.array([attitude_of(said) for said in range(-1, 11)])[nps + 1]

    parts = [Histograms() for _ in range(PARTITIONS)]
    cells = []
    rows = zip(last_day.tolist(), frequency.tolist(), minor.tolist(), attitude.tolist(), strict=True)
    for number, (last, orders, spent, said) in enumerate(rows):
        cell = cell_of(last, orders, spent, said)
        cells.append(cell)
        parts[number % PARTITIONS].count(Population(last, orders, spent, 0.0, "", "", cell), +1)
    started = process_time()
    day = thresholds(DAY + 1, Histograms.merged(parts), WEIGHTS, (400, 300, 300, 0), 100)
    fold_ms = (process_time() - started) * 1e3
    assert day is not None and day.scales is not None
    scales = day.scales
    steps = {cell: scales.loyalty.step(scales.composite(taken_apart(cell))) for cell in set(cells)}
    tiers = np.array(
        [tier_at(position_of(*steps[cell], hash64(f"customer-{n}")), 0, 0.0) for n, cell in enumerate(cells)]
    )

    ranks = np.zeros(customers)
    for weight, figure in zip(WEIGHTS, (last_day, frequency, minor, attitude), strict=True):
        ranks += weight * mid_ranks(figure)
    order = np.lexsort((chance.random(customers), ranks))
    exact = np.empty(customers, np.int64)
    exact[order] = np.searchsorted(CUTS, np.arange(customers) / customers, side="right") + 3

    silent = DAY - last_day >= HALF_A_YEAR_DAYS
    lowest = {
        name: np.array([sum(steps_of[cell]) <= BOTTOM for cell in cells])
        for name, steps_of in (
            ("ranks", {cell: scales.index.step(scales.value(taken_apart(cell))) for cell in steps}),
            ("as_written", {cell: scales.written.step(scales.value_as_written(taken_apart(cell))) for cell in steps}),
        )
    }
    counts = Counter(tiers.tolist())
    shares = {tier: counts[SHARE_TIERS.index(tier)] / customers for tier in SHARES}
    return {
        "customers": customers,
        "cells": len(set(cells)),
        "fold_ms": round(fold_ms, 1),
        "contribution_kib": round(len(msgspec.msgpack.encode(parts[0])) / 1_024, 1),
        "scales_kib": round(len(msgspec.msgpack.encode(scales)) / 1_024, 1),
        "shares": shares,
        "worst": max(abs(shares[tier] - share) for tier, share in SHARES.items()),
        "same_tier": float((tiers == exact).mean()),
        "silent_among_lowest": {name: round(float(silent[low].mean()), 4) for name, low in lowest.items()},
    }


def mid_ranks(figures: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of everybody, the share below and half of the share equal."""
    _, which, sizes = np.unique(figures, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(sizes) - sizes / 2)[which] / len(figures)
    return ranks
