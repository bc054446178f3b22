"""``winback worker``: processes events from a Kafka cluster until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
import uvloop
from rich.console import Console

from stream.commands.restoring import show_restoring
from stream.config import SETTINGS
from stream.environment import read_settings
from stream.errors import ConfigurationError
from stream.events.instants import parse_ms
from stream.worker import run_worker, set_up_logging

_Command = TypeVar("_Command", bound=Callable[..., Any])

_HELP = {row.name: row.help.text for row in SETTINGS}
_DEFAULT = {row.name: row.default for row in SETTINGS}


def _option(name: str, flag: str = "", **more: Any) -> Callable[[_Command], _Command]:
    """A flag for a setting: its help and default are the setting's, and no value means "as in the environment"."""
    shown = f"{_HELP[name]}  [default: {_DEFAULT[name]}]" if _DEFAULT[name] != "" else _HELP[name]
    return click.option(flag or f"--{name.replace('_', '-')}", name, help=shown, **more)


@click.command(short_help="Process events from a Kafka cluster.")
@_option("broker", metavar="kafka://HOST:PORT[,…]")
@_option("app_id", metavar="NAME")
@_option("rules_dir", "--rules", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@_option("partitions", type=int)
@_option("delivery", type=click.Choice(["exactly_once", "at_least_once"]))
@_option("clock", type=click.Choice(["wall", "event"]))
@click.option("--until", metavar="TIME", help="With --clock event: where time goes to after the last event (RFC 3339).")
@click.option("--exit-when-done", is_flag=True, help="With --clock event: stop once all that was there is processed.")
@_option("state_dir", metavar="DIR", type=click.Path(file_okay=False))
@_option("web_host", metavar="ADDRESS")
@_option("web_port", type=int)
@_option("log_level", type=click.Choice(["debug", "info", "warning", "error"]))
def worker(until: str | None, exit_when_done: bool, **flags: Any) -> None:
    """Read events, keep every customer's state, and publish actions, alerts and tier changes.

    Missing topics are created; existing ones are checked. Start as many workers as there are partitions: they share
    the work, and take over from one that dies. State is kept in Kafka, so a worker needs no disk;
    with --state-dir it starts faster.

    Ctrl-C or SIGTERM stops in good order. `kill -9` is safe too: the next worker ends what was open and repeats it.
    Consumers of the output topics must read committed (isolation.level=read_committed).

    Look at http://127.0.0.1:6066/ready for what it is doing, /metrics for Prometheus, /customers/ID for a customer.

    Every setting has an environment variable; flags win over it. `winback settings` lists all of them.

    \b
    Examples:
      winback worker --broker kafka://kafka-1:9092,kafka-2:9092
      winback worker --rules ./rules --log-level debug
      winback worker --clock event --until 1998-07-01T00:00:00Z --exit-when-done
    """
    settings = read_settings(flags, os.environ)
    problems = []
    if (until is not None or exit_when_done) and settings.clock != "event":
        problems.append("--until and --exit-when-done need --clock event: the wall clock never ends")
    until_ms = None
    if until is not None:
        try:
            until_ms = parse_ms(until)
        except ValueError as error:
            problems.append(f"--until: {error}")
    if problems:
        raise ConfigurationError(problems)
    set_up_logging(settings.log_level)
    console = Console(stderr=True)
    bar = (lambda app: show_restoring(app.shell.status.partitions, console)) if console.is_terminal else None
    uvloop.run(run_worker(settings, until_ms=until_ms, exit_when_done=exit_when_done, beside=bar))
