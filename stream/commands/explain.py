"""``winback explain``: why an action went out, or didn't."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import click
import orjson
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from stream.decisions.story import Story, decode, story
from stream.environment import read_settings
from stream.errors import WinbackError


class UnknownAction(WinbackError):
    """No decision has this id."""

    operator_action: ClassVar[str] = "check the id (32 hex digits); records older than the topics' retention are gone"


@click.command(short_help="Tell why an action went out, or didn't.")
@click.argument("action_id", metavar="ACTION_ID")
@click.option("--customer", "customer_id", default="", metavar="ID", help="Whose action it is: a quicker search.")
@click.option("--from", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Look in what `winback replay` wrote, and not on Kafka.")  # fmt: skip
@click.option("--broker", metavar="kafka://HOST:PORT[,…]", help="Kafka bootstrap address.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as they were published, one a line.")
def explain(action_id: str, customer_id: str, folder: Path | None, broker: str | None, as_json: bool) -> None:
    """Tell the story of a decision: what the rule saw, what each check said, and whether the record agrees with itself.

    A decision that was put off has several records under one id; they are told in order of time.

    \b
    Examples:
      winback explain 17454d5315ceb09043661e6a29a76c70
      winback explain 17454d5315ceb09043661e6a29a76c70 --from result
    """
    action_id = action_id.lower()
    records = _in_files(folder, action_id) if folder is not None else _on_kafka(broker, action_id, customer_id)
    if not records:
        raise UnknownAction(f"no decision {action_id} was found")
    if as_json:
        for record in records:
            click.echo(record)
        return
    console = Console()
    for record in records:
        console.print(_panel(story(decode(record)), action_id))


def _in_files(folder: Path, action_id: str) -> list[bytes]:
    found: list[tuple[str, bytes]] = []
    for name in ("actions", "suppressions"):
        path = folder / f"{name}.jsonl"
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            if action_id.encode() in line:
                decision = orjson.loads(line)
                if decision["action_id"] == action_id:
                    found.append((decision["decided_at"], line))
    return [line for _, line in sorted(found)]


def _on_kafka(broker: str | None, action_id: str, customer_id: str) -> Iterable[bytes]:
    from stream.agents.published import find_decisions

    settings = read_settings({"broker": broker}, os.environ)
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task("searching", total=None)
        return asyncio.run(
            find_decisions(
                settings, action_id, customer_id, lambda done, of: progress.update(task, completed=done, total=of)
            )
        )


_SIGNS = {"for": ("✓ ", "green"), "against": ("✗ ", "red"), "": ("", "")}


def _panel(told: Story, action_id: str) -> Panel:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    for line in told.lines:
        rows.add_row(line.about, Text.assemble(_SIGNS[line.speaks], line.text))
    content = Group(Text(told.title, style="bold"), "", rows)
    return Panel(content, title=action_id, title_align="left", expand=False, padding=(0, 1))
