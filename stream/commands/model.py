"""``winback model``: what the churn model in use has learnt, how good it has been, and what it goes by (MISSION D4, D5)."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from stream.churn.features import FEATURES
from stream.churn.model import FrozenModel
from stream.environment import read_settings
from stream.events.instants import DAY_MS, to_text

_BAR = 10
"""Cells of the strongest feature's bar."""
_FIGURES = (
    ("auc", "AUC", "chance that a churner was scored above a buyer; 0.5 is guessing, 1 is perfect"),
    ("lift_quality", "lift quality", "how well the highest scores find those who churn; 0 is random, 1 is perfect"),
    ("brier", "Brier score", "mean squared error of the probabilities; 0 is perfect"),
    ("calibration_error", "calibration error", "how far probabilities are from what happens, on average; 0 is perfect"),
)


@click.command(short_help="Show what the churn model has learnt, and what it goes by.")
@click.option("--broker", metavar="kafka://HOST:PORT[,…]", help="Kafka bootstrap address.")
@click.option("--app-id", metavar="NAME", help="The worker's app id.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def model(broker: str | None, app_id: str | None, as_json: bool) -> None:
    """Show the churn model in use: the labels behind it, how good its scores have been, and what moves them most.

    Features are ordered by how much they usually move a score: a step of one standard deviation, in log-odds. With a plus, more of
    it speaks for churn.

    \b
    Examples:
      winback model
      winback model --json
    """
    from stream.agents.published import latest_epoch
    from stream.processor.epochs import decode_epoch

    value = asyncio.run(latest_epoch(read_settings({"broker": broker, "app_id": app_id}, os.environ)))
    found = None if value is None else decode_epoch(value).model
    if as_json:
        click.echo(orjson.dumps(None if found is None else told(found)))
    elif found is None:
        click.echo("no model yet: the first version comes with the first full day")
    else:
        Console().print(shown(told(found)))


def told(model: FrozenModel) -> dict[str, Any]:
    """The model as JSON-able data; features from the most important one down."""
    quality = model.quality
    meanings = {feature.name: feature for feature in FEATURES}
    steps = {
        name: weight * spread for name, weight, spread in zip(model.names, model.weights, model.spreads, strict=True)
    }
    return {
        "day": to_text(model.day * DAY_MS)[:10],
        "horizon_days": model.horizon_days,
        "labels": model.labels,
        "churned": model.churned,
        "abstained": model.abstained or None,
        "drifts": model.drifts,
        "judged": quality.pairs,
        **{name: getattr(quality, name) for name, _, _ in _FIGURES},
        "features": [
            {
                "feature": name,
                "tells_of": meanings[name].theme.value if name in meanings else "",
                "meaning": meanings[name].meaning if name in meanings else "",
                "step_log_odds": round(steps[name], 6),
            }
            for name, _ in model.importance()
        ],
    }


def shown(found: dict[str, Any]) -> Group:
    """The same for people."""
    rate = found["churned"] / found["labels"] if found["labels"] else 0.0
    head = [
        f"Churn model of {found['day']}: no purchase for {found['horizon_days']} days.",
        f"Learnt from {found['labels']:,} labels, {rate:.1%} of them churned."
        + (f" The shop has changed under it {found['drifts']} times." if found["drifts"] else ""),
        f"It abstains: {found['abstained']}." if found["abstained"] else "It is trusted: alerts go out by it.",
    ]
    quality = _table(f"How good its last {found['judged']:,} scores were", "figure", "", "means")
    for name, title, means in _FIGURES:
        value = found[name]
        quality.add_row(title, "–" if value is None else f"{value:.4f}", means)
    goes_by = _table("What it goes by", "feature", "log-odds", "", "means")
    most = max((abs(row["step_log_odds"]) for row in found["features"]), default=0.0) or 1.0
    for row in found["features"]:
        step = row["step_log_odds"]
        goes_by.add_row(row["feature"], f"{step:+.2f}", "█" * round(_BAR * abs(step) / most), row["meaning"])
    return Group(*head, quality, goes_by)


def _table(title: str, named: str, figure: str, *others: str) -> Table:
    made = Table(title=f"\n{title}", title_style="bold", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    made.add_column(named, no_wrap=True)
    made.add_column(figure, justify="right", no_wrap=True)
    for name in others:
        made.add_column(name)
    return made
