"""Churn quality on real shops against batch baselines, in one run: CDNOW (90 days) and Ta-Feng (a grocery, 30 days).

Ours is what `winback replay --score-at` gives with default settings: an online model that has seen only labels matured
by the cut-off, once each. ``--shops``: simulated shops of known laws instead; ``--events FILE``: a shop of yours. The baselines are
fitted in batch at the cut-off minus the horizon and tested at the cut-off.
Known: customers with an order of any worth before the cut-off T whom Winback knows as buyers; churned: no order within
[T, T + horizon). ``ahead_of_best`` is the AUC difference to the best baseline with a 95 % paired bootstrap interval.
"""

from __future__ import annotations

import argparse
import json as json_module
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from lifetimes import BetaGeoFitter
from lifetimes.utils import ConvergenceError
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stream.churn.quality import auc, calibration_error, measure
from stream.config import make_settings
from stream.datasets import cdnow_events
from stream.events.instants import day_of, parse_ms
from stream.replay import Replay
from stream.rules.loader import load_rules
from tests.bench import _shops, _ta_feng

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Orders = dict[str, list[tuple[int, float]]]
"""Customer → (UTC day, worth), ascending."""


class Shop(NamedTuple):
    """Whose orders, how far ahead it is predicted, and when."""

    events: Callable[[], Iterable[dict[str, Any]]]
    currency: str
    horizon_days: int
    cut_offs: tuple[str, ...]


SHOPS = {
    "cdnow": Shop(cdnow_events, "USD", 90, ("1997-10-01", "1998-01-01", "1998-04-01")),
    "ta_feng": Shop(_ta_feng.events, "TWD", 30, ("2001-01-30",)),
}
SIMULATED = {
    name: Shop(partial(_shops.events, name), "USD", horizon_days, tuple(map(_shops.day_text, cut_offs)))
    for name, (_, _, _, horizon_days, cut_offs) in _shops.SHOPS.items()
}
LEAD_DAYS = 15
"""How long before the lapse a warning is wanted (MISSION D1)."""
ROUNDS = 500
"""Bootstrap rounds. Fewer: the interval wobbles; more: takes longer than the rest."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--shops", action="store_true", help="simulated shops, from weekly grocery to yearly gifts")
    parser.add_argument(
        "--events", type=Path, metavar="FILE", help="a shop of yours: its events, a JSON object a line, in order"
    )
    parser.add_argument("--horizon-days", type=int, default=90, help="of the shop in --events (90)")
    parser.add_argument("--currency", default="USD", help="of the shop in --events (USD)")
    parser.add_argument(
        "--cut-off", nargs="+", default=(), metavar="DATE", help="days to score at, of the shop in --events"
    )


def main(
    json: bool, shops: bool, events: Path | None, horizon_days: int, currency: str, cut_off: Sequence[str]
) -> None:
    """Prints the tables, or the same as JSON."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    chosen = SIMULATED if shops else SHOPS
    if events is not None:
        if not cut_off:
            raise SystemExit("--events needs --cut-off: the days to score at, such as 2025-06-01")
        chosen = {events.stem: Shop(partial(_events_of, events), currency, horizon_days, tuple(cut_off))}
    leads: dict[str, dict[str, float]] = {}
    tables = {name: measured(shop, leads.setdefault(name, {})) for name, shop in chosen.items()}
    if json:
        print(json_module.dumps({**tables, "lead_days": leads}))
        return
    for name, table in tables.items():
        print(f"{name}: ROC AUC of 'no order within {chosen[name].horizon_days} days'")
        print(f"{'cut-off':<12}{'n':>7}{'ours':>8}" + "".join(f"{c:>19}" for c in BASELINES) + f"{'ahead of best':>28}")
        for cut_off, row in table.items():
            low, high = row["ahead_of_best"]["interval"]
            ahead = f"{row['ahead_of_best']['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
            figures = "".join(f"{row[c]:>19.4f}" if c in row else f"{'–':>19}" for c in BASELINES)
            print(f"{cut_off:<12}{row['n']:>7}{row['ours']:>8.4f}{figures}{ahead:>28}")
        print(f"{'ours':<12}{'Brier':>12}{'calibration':>14}{'by chance':>12}{'lift quality':>14}{'churned':>10}")
        for cut_off, row in table.items():
            print(
                f"{cut_off:<12}{row['brier']:>12.4f}{row['ece']:>14.4f}{row['ece_by_chance']:>12.4f}"
                f"{row['lift_quality']:>14.4f}{row['churned']:>10.1%}"
            )
        told = leads[name]
        if told["alerts"]:
            print(
                f"alerts: {told['alerts']:,}; days before the silence is as long as the horizon: median {told['p50']:.0f}, one in ten "
                f"under {told['p10']:.0f}, {told['at_least_15']:.0%} at least {LEAD_DAYS}"
            )
        print()


def _events_of(path: Path) -> Iterable[dict[str, Any]]:
    with path.open("rb") as lines:
        yield from map(orjson.loads, lines)


def measured(shop: Shop, lead_days: dict[str, float]) -> dict[str, dict[str, Any]]:
    """All figures of a shop by cut-off; fills in how long before the lapse its alerts came."""
    events = list(shop.events())
    orders: Orders = {}
    for event in events:
        if event.get("event") != "Order Completed":
            continue  # whoever gives back has ordered
        day = day_of(parse_ms(event["timestamp"]))
        orders.setdefault(event["userId"], []).append((day, event["properties"]["revenue"]))
    scored = scores_by_replay(events, shop, lead_days)
    table: dict[str, dict[str, Any]] = {}
    for cut_off in shop.cut_offs:
        day = day_of(parse_ms(cut_off))
        rows = scored[cut_off]
        customers = sorted(rows)
        ours = np.array([rows[customer] for customer in customers])
        churned = _churned(orders, customers, day, shop.horizon_days)
        found = {name: score(orders, customers, day, shop.horizon_days) for name, score in BASELINES.items()}
        # BG/NBD doesn't converge on every shop, and others need a past of a horizon: without, they say nothing.
        areas = {name: auc(scores, churned) for name, scores in found.items() if np.isfinite(scores).all()}
        best = max(areas, key=lambda name: areas[name])
        quality = measure(ours, churned)
        table[cut_off] = {
            "ours": quality.auc,
            **areas,
            "n": len(customers),
            "churned": float(churned.mean()),
            "brier": quality.brier,
            "ece": quality.calibration_error,
            "ece_by_chance": _ece_by_chance(ours),
            "lift_quality": quality.lift_quality,
            "ahead_of_best": {"baseline": best, **_bootstrap(ours, found[best], churned)},
        }
    return table


def scores_by_replay(
    events: list[dict[str, Any]], shop: Shop, lead_days: dict[str, float]
) -> dict[str, dict[str, float]]:
    """Cut-off → customer → P(churn), out of the shipped replay with default settings."""
    settings = make_settings(churn_horizon_days=shop.horizon_days, currency=shop.currency)
    cut_offs = [parse_ms(cut_off) for cut_off in shop.cut_offs]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        path.write_bytes(b"".join(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE) for event in events))
        found: dict[str, dict[str, float]] = {cut_off: {} for cut_off in shop.cut_offs}
        with Replay(settings, load_rules(), until_ms=max(cut_offs), score_at_ms=cut_offs) as replay:
            replay.run([path])
            for row in replay.scores():
                found[row["as_of"][:10]][row["customer_id"]] = row["churn_probability"]
            alerts = [orjson.loads(row) for row in replay.rows("alerts")]
    leads = [shop.horizon_days - alert["state"]["recency_days"] for alert in alerts]
    lead_days["alerts"] = len(leads)
    if leads:
        lead_days |= dict(zip(("p10", "p50", "p90"), np.percentile(leads, (10, 50, 90)).tolist(), strict=True))
        lead_days["at_least_15"] = float(np.mean([lead >= LEAD_DAYS for lead in leads]))
    return found


def _ece_by_chance(scores: Floats) -> float:
    """Mean calibration error of outcomes that are drawn with exactly these probabilities: what sampling alone makes of it."""
    draw = np.random.default_rng(1)
    errors = [calibration_error(scores, draw.random(len(scores)) < scores) for _ in range(ROUNDS // 5)]
    return float(np.mean(errors))


# -- baselines: the churn scores (higher: likelier gone) of customers at a day, learnt from what was known before it


def _recency(orders: Orders, customers: list[str], day: int, horizon_days: int) -> Floats:
    return _figures(orders, customers, day)[:, 0]


def _batch(columns: slice, make: Callable[[], Any]) -> Callable[[Orders, list[str], int, int], Floats]:
    def score(orders: Orders, customers: list[str], day: int, horizon_days: int) -> Floats:
        past = day - horizon_days
        known = [customer for customer, bought in orders.items() if bought[0][0] < past]
        if not known:  # The shop is younger than the horizon: there is nothing to fit.
            return np.full(len(customers), np.nan)
        model = make()
        model.fit(_figures(orders, known, past)[:, columns], _churned(orders, known, past, horizon_days))
        told: Floats = model.predict_proba(_figures(orders, customers, day)[:, columns])[:, 1]
        return told

    return score


def _bgnbd(orders: Orders, customers: list[str], day: int, horizon_days: int) -> Floats:
    """Expected purchases in the horizon (Fader, Hardie, Lee 2005), in weeks; never P(alive): 1 for one-time buyers."""
    rows = []
    for customer in customers:
        days = sorted({at for at, _ in orders[customer] if at < day})
        rows.append((len(days) - 1, (days[-1] - days[0]) / 7, (day - days[0]) / 7))
    frequency, recency, age = np.array(rows, dtype=np.float64).T
    model = BetaGeoFitter(penalizer_coef=0.0)
    try:
        model.fit(frequency, recency, age)
    except ConvergenceError:
        return np.full(len(customers), np.nan)
    expected = model.conditional_expected_number_of_purchases_up_to_time(horizon_days / 7, frequency, recency, age)
    return -np.asarray(expected, dtype=np.float64)


def _logistic() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))


def _boosting() -> Any:
    return HistGradientBoostingClassifier(max_iter=100, learning_rate=0.05, max_leaf_nodes=8, random_state=1)


BASELINES: dict[str, Callable[[Orders, list[str], int, int], Floats]] = {
    "recency": _recency,
    "batch_rfm": _batch(slice(0, 3), _logistic),
    "batch_logistic": _batch(slice(0, 12), _logistic),
    "gradient_boosting": _batch(slice(0, 12), _boosting),
    "bgnbd": _bgnbd,
}


def _figures(orders: Orders, customers: list[str], day: int) -> Floats:
    """Twelve figures of each customer before a day; the first three are R, F and M."""
    rows = []
    for customer in customers:
        known = [(at, worth) for at, worth in orders[customer] if at < day]
        days = sorted({at for at, _ in known})
        gaps = np.diff(days)
        money = sum(worth for _, worth in known)
        silence, tenure = day - days[-1], day - days[0]
        within = [sum(at >= day - span for at, _ in known) for span in (30, 90, 180)]
        lately = sum(worth for at, worth in known if at >= day - 90)
        usual = float(np.median(gaps)) if len(gaps) else 0.0
        logs = np.log1p([silence, len(known), money, tenure, *within, money / len(known), lately, usual])
        rows.append([*logs, float(len(gaps) > 0), silence / tenure])
    return np.array(rows, dtype=np.float64)


def _churned(orders: Orders, customers: list[str], day: int, horizon_days: int) -> Bools:
    until = day + horizon_days
    return np.array([not any(day <= at < until for at, _ in orders[customer]) for customer in customers])


def _bootstrap(ours: Floats, theirs: Floats, churned: Bools) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    differences = []
    for _ in range(ROUNDS):
        chosen = draw.integers(0, len(ours), len(ours))
        differences.append(auc(ours[chosen], churned[chosen]) - auc(theirs[chosen], churned[chosen]))
    low, high = np.percentile(differences, (2.5, 97.5))
    return {"difference": auc(ours, churned) - auc(theirs, churned), "interval": [float(low), float(high)]}
