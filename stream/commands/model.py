"""``winback model``: what the churn model in use has learnt, how good it has been, and what it goes by (MISSION D4, D5).

With ``promote``, ``undo`` and ``auto`` people decide which of the contenders it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from stream.churn.contest import CONTENDERS
from stream.churn.fairness import KINDS, groups
from stream.churn.fairness import Group as Fair
from stream.churn.features import FEATURES
from stream.churn.model import FrozenModel
from stream.commands.rules_live import BY, asked, connected, now_ms, settings_of
from stream.config import Settings
from stream.errors import CommandError
from stream.events.instants import DAY_MS, to_text

if TYPE_CHECKING:
    from stream.processor.epochs import Epoch

_BAR = 10
"""Cells of the strongest feature's bar."""
_FIGURES = (
    ("auc", "AUC", "chance that a churner was scored above a buyer; 0.5 is guessing, 1 is perfect"),
    ("lift_quality", "lift quality", "how well the highest scores find those who churn; 0 is random, 1 is perfect"),
    ("brier", "Brier score", "mean squared error of the probabilities; 0 is perfect"),
    ("calibration_error", "calibration error", "how far probabilities are from what happens, on average; 0 is perfect"),
)


@click.group(invoke_without_command=True, short_help="Show what the churn model has learnt, and what it goes by.")
@connected
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--fairness", is_flag=True, help="Show how good it is by region, channel and tier.")
@click.pass_context
def model(context: click.Context, broker: str | None, app_id: str | None, as_json: bool, fairness: bool) -> None:
    """Show the churn model in use: the labels behind it, how good its scores have been, and what moves them most.

    Features are ordered by how much they usually move a score: a step of one standard deviation, in log-odds. With a plus, more of
    it speaks for churn.

    \b
    Examples:
      winback model
      winback model --json
      winback model --fairness
      winback model promote trees --by ann
      winback model undo --by ann
    """
    if context.invoked_subcommand is not None:
        return
    epoch = _latest(settings_of(broker, app_id))
    found = None if epoch is None else epoch.model
    if fairness:
        rows = [] if epoch is None else groups(epoch.fairness[1])
        if as_json:
            click.echo(orjson.dumps(msgspec.to_builtins(rows)))
        else:
            Console().print(by_group(rows))
    elif as_json:
        click.echo(orjson.dumps(None if found is None else told(found)))
    elif found is None:
        click.echo("no model yet: the first version comes with the first full day")
    else:
        Console().print(shown(told(found)))


@model.command(short_help="Let another model score the customers, and stay.")
@click.argument("name", metavar="MODEL", type=click.Choice(CONTENDERS))
@BY
@connected
def promote(name: str, by: str, broker: str | None, app_id: str | None) -> None:
    """Let MODEL score the customers from the next day on. It stays until `winback model auto` lets the contest decide again.

    \b
    Examples:
      winback model promote trees --by ann
    """
    _choose(name, by, settings_of(broker, app_id))


@model.command(short_help="Bring back the model that was in use before.")
@BY
@connected
def undo(by: str, broker: str | None, app_id: str | None) -> None:
    """Undo the latest promotion: from the next day on the model before it scores the customers again, and stays."""
    settings = settings_of(broker, app_id)
    epoch = _latest(settings)
    previous = "" if epoch is None or epoch.model is None else epoch.model.previous
    if not previous:
        raise CommandError(["there is nothing to undo: no other model was in use before this one"])
    _choose(previous, by, settings)


@model.command(short_help="Let the contest decide again which model scores the customers.")
@BY
@connected
def auto(by: str, broker: str | None, app_id: str | None) -> None:
    """Let the contest decide again, after `winback model promote` or `undo`."""
    _choose("", by, settings_of(broker, app_id))


def _choose(name: str, by: str, settings: Settings) -> None:
    from stream.agents.publishing import contribute
    from stream.processor.epochs import Chosen, contribution_message

    if not settings.churn_contest_labels_per_day:
        raise CommandError(["there is no contest: churn_contest_labels_per_day is 0"])
    asked(settings, contribute(settings, contribution_message(Chosen(model=name, by=by, at_ms=now_ms()))))
    what = f"{name} scores the customers" if name else "the contest decides"
    click.echo(f"{what} from the next version on, which comes when the day is over")


def _latest(settings: Settings) -> Epoch | None:
    from stream.agents.published import latest_epoch
    from stream.processor.epochs import decode_epoch

    value = asyncio.run(latest_epoch(settings))
    return None if value is None else decode_epoch(value)


def told(model: FrozenModel) -> dict[str, Any]:
    """The model as JSON-able data; features from the most important one down."""
    quality = model.quality
    meanings = {feature.name: feature for feature in FEATURES}
    return {
        "day": to_text(model.day * DAY_MS)[:10],
        "horizon_days": model.horizon_days,
        "horizon_cycles": model.horizon_cycles,
        "model": model.kind,
        "previous": model.previous or None,
        "is_pinned": model.is_pinned,
        "labels": model.labels,
        "churned": model.churned,
        "abstained": model.abstained or None,
        "drifts": model.drifts,
        "judged": quality.pairs,
        **{name: getattr(quality, name) for name, _, _ in _FIGURES},
        "contenders": [msgspec.to_builtins(standing) for standing in model.contenders],
        "features": [
            {
                "feature": name,
                "tells_of": meanings[name].theme.value if name in meanings else "",
                "meaning": meanings[name].meaning if name in meanings else "",
                "step_log_odds": round(step, 6),
            }
            for name, step in model.steps()
        ],
    }


def shown(found: dict[str, Any]) -> Group:
    """The same for people."""
    rate = found["churned"] / found["labels"] if found["labels"] else 0.0
    head = [
        f"Churn model of {found['day']}, {found['model']}{_since(found)}: no purchase for {_span(found)}.",
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
    parts = [quality, *([_contest(found["contenders"])] if found["contenders"] else []), goes_by]
    return Group(*head, *parts)


def by_group(rows: Sequence[Fair]) -> Group:
    """How good the model is for whom, for people."""
    if not rows:
        return Group("no scored look has matured yet: the first ones take a horizon")
    tables = []
    for kind in KINDS:
        made = _table(f"By {kind}", kind, "looks", "churned", "AUC", "false alarms", "alarms")
        for row in (row for row in rows if row.kind == kind):
            auc = "–" if row.auc is None else f"{row.auc:.3f}"
            false = "–" if row.false_alarm_rate is None else f"{row.false_alarm_rate:.1%}"
            made.add_row(row.name, f"{row.looks:,.0f}", f"{row.churn_rate:.1%}", auc, false, f"{row.alarm_rate:.1%}")
        tables.append(made)
    return Group(*tables, "False alarms: alarms among looks at customers who then bought. Older looks count less.")


def _span(found: dict[str, Any]) -> str:
    if not found["horizon_cycles"]:
        return f"{found['horizon_days']} days"
    return f"{found['horizon_cycles']:g} own cycles, {found['horizon_days']} days at most"


def _since(found: dict[str, Any]) -> str:
    return " (chosen by a person)" if found["is_pinned"] else ""


def _contest(contenders: Sequence[dict[str, Any]]) -> Table:
    made = _table("Who would score best", "model", "AUC", "lead", "Brier score", "calibration error", "labels")
    for row in contenders:
        figures = [row["auc"], row["brier"], row["calibration_error"]]
        auc, brier, error = ["–" if figure is None else f"{figure:.4f}" for figure in figures]
        made.add_row(row["name"], auc, f"{row['lead']:+.4f} ± {row['noise']:.4f}", brier, error, f"{row['judged']:,}")
    return made


def _table(title: str, named: str, figure: str, *others: str) -> Table:
    made = Table(title=f"\n{title}", title_style="bold", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    made.add_column(named, no_wrap=True)
    made.add_column(figure, justify="right", no_wrap=True)
    for name in others:
        made.add_column(name)
    return made
