"""The command line. Each command lives in `stream.commands` and is imported only when it is called.

So ``winback worker`` starts without what only ``winback demo`` needs (the embedded broker's Java, for one).
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import click

from stream.errors import WinbackError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo:demo", "See it work: embedded Kafka, a worker and a simulated shop, in one terminal."),
    "worker": ("worker:worker", "Process events from a Kafka cluster."),
    "broker": ("broker:broker", "Run Apache Kafka on this machine, without Docker or Java."),
    "produce": ("produce:produce", "Send events from a file to the input topics."),
    "import": ("import_:import_", "Bring in history: CSV, JSON Lines or Parquet. Never causes an action."),
    "replay": ("replay:replay", "Run history through the same code as live, files in, files out, no Kafka."),
    "backtest": ("backtest:backtest", "Compare two sets of rules over the same history: what would have changed."),
    "customer": ("customer:customer", "Look a customer up on a running worker."),
    "customers": ("customers:customers", "List the customers of a tier, a segment, or with a tag."),
    "product": ("product:product", "Look a product up: what goes with it, what is bought next."),
    "model": ("model:model", "Show what the churn model has learnt, and what it goes by."),
    "drivers": ("drivers:drivers", "Show what drives loyalty and value, and how good the loyalty forecast is."),
    "explain": ("explain:explain", "Tell why an action went out, or didn't."),
    "report": ("report:report", "Show what rules change, against those who were left alone."),
    "redrive": ("redrive:redrive", "Send mended dead letters back to where they came from."),
    "rules": ("rules:rules", "Check, list, compare and publish rules, without a restart."),
    "pause": ("pause:pause", "Hold all actions back, on all workers at once."),
    "resume": ("pause:resume", "End a pause."),
    "test-customers": ("rehearsal:test_customers", "Name customers for whom everything is decided and nothing sent."),
    "schemas": ("schemas:schemas", "Print, write or check the message contract (JSON Schema, AsyncAPI)."),
    "settings": ("settings:settings", "List every setting with its default, unit and environment variable."),
}
"""Command → where it is, and its line in the overview."""


class _Commands(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"stream.commands.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Errors that a person can act on are told in words, without a traceback or a library's own words."""
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        try:
            return super().invoke(ctx)
        except WinbackError as error:
            click.echo(f"winback: {error}", err=True)
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="winback")
def main() -> None:
    """Winback turns customers' events into actions that bring them back.

    Purchases, browsing and feedback come in on Kafka; rolling RFM state, an online churn model and trigger rules decide;
    actions go out on Kafka. Every setting is also an environment variable: `winback settings` lists them.

    \b
    Start here:
      winback demo                         everything on this machine, in one minute
      winback replay events.jsonl --out r  the same decisions over a file, without Kafka
      winback worker --broker kafka://…    on your own Kafka
    """
