"""``winback replay``: history through the processor, files in, files out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click
import orjson
from rich.console import Console

from stream.adapters.rates import load_rates
from stream.commands.instants import instants_of
from stream.commands.progress import told_by_bar
from stream.environment import read_settings
from stream.replay import Replay, sensible_processes
from stream.rules.loader import load_rules


@click.command(short_help="Run history through the same code as live.")
@click.argument("events", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", "out_dir", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write."
)
@click.option("--rules", "rules_dir", default=None, help="Folder of rule files; default: the shipped library.")
@click.option("--until", default=None, metavar="TIME", help="Stop at this instant; later events are refused.")
@click.option("--score-at", multiple=True, metavar="TIME", help="Also write every buyer's churn score as of then.")
@click.option("--horizon-days", type=int, default=None, help="Churned means: no purchase within so many days.")
@click.option("--currency", default=None, help="The shop's currency, ISO 4217.")
@click.option(
    "--processes", type=click.IntRange(min=1), default=None, metavar="N",
    help="Share the work among so many processes; changes nothing else.  [default: one per core, 1 for small inputs]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object and nothing else.")
def replay(
    events: tuple[Path, ...],
    out_dir: Path,
    rules_dir: str | None,
    until: str | None,
    score_at: tuple[str, ...],
    horizon_days: int | None,
    currency: str | None,
    processes: int | None,
    as_json: bool,
) -> None:
    """Run EVENTS (JSON Lines of Segment messages or CloudEvents, in any order, also .gz) as if they happened now.

    Time is the events' own: reminders fire in the silence between them, the churn model learns as labels mature.
    The same events and rules give the same bytes, whatever the order and repetition of the lines.

    \b
    Written to --out, one JSON object a line:
      actions.jsonl, suppressions.jsonl   by decided_at, customer_id, action_id
      alerts.jsonl                        by decided_at, customer_id, alert_id
      tiers.jsonl                         by changed_at, customer_id, change_id
      kpis.jsonl                          by computed_at
      experiments.jsonl                   by computed_at, rule_id, effects_id
      models.jsonl                        by happened_at, key, event_id
      dead_letters.jsonl                  by their own text; run.json names the lines
      customers.jsonl                     by customer_id, as of --until (default: the last event)
      scores.jsonl                        by as_of, customer_id (with --score-at; events from then on not seen)
      summary.json, run.json              counts and model quality; what depends on this run

    \b
    Examples:
      winback replay events.jsonl --out result
      winback replay 2025/*.jsonl.gz --out result --until 2026-01-01 --score-at 2025-10-01 --horizon-days 90
    """
    flags = {"rules_dir": rules_dir, "churn_horizon_days": horizon_days, "currency": currency}
    settings = read_settings(flags, os.environ)
    instants = instants_of({"--until": (until,) if until else (), "--score-at": score_at})
    until_ms = instants["--until"][0] if until else None
    rules = load_rules(settings.rules_dir)
    rates = load_rates(settings)
    console = Console(stderr=True, quiet=as_json)
    began = time.monotonic()
    with Replay(
        settings, rules, until_ms=until_ms, score_at_ms=instants["--score-at"], rates=rates,
        processes=processes or sensible_processes(events), work=out_dir,
    ) as run:  # fmt: skip
        with told_by_bar(console) as progress:
            run.run(events, progress)
        seconds = time.monotonic() - began
        facts = {
            "files": [path.name for path in events],
            "seconds": round(seconds, 3),
            "events_per_second": round(run.lines / seconds),
        }
        summary = run.write(out_dir, facts)
    if as_json:
        click.echo(orjson.dumps(summary))
        return
    published = sum(summary["actions"].values())
    click.echo(
        f"{sum(summary['events'].values()):,} events of {summary['customers']:,} customers in {seconds:.1f} s: "
        f"{published:,} actions, {sum(summary['suppressions'].values()):,} suppressed, "
        f"{sum(summary['alerts'].values()):,} churn alerts, {sum(summary['dead_letters'].values()):,} dead letters"
    )
    click.echo(f"written to {out_dir}/")
