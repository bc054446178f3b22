"""``winback drivers``: what goes along with loyalty and money three months later, and how good the loyalty forecast is (MISSION D2, D6)."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table

from stream.environment import read_settings
from stream.worth.forecast import Forecast

_FIGURES = ("loyalty", "loyalty_beside", "value", "value_beside")


@click.command(short_help="Show what drives loyalty and value.")
@click.option("--broker", metavar="kafka://HOST:PORT[,…]", help="Kafka bootstrap address.")
@click.option("--app-id", metavar="NAME", help="The worker's app id.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def drivers(broker: str | None, app_id: str | None, as_json: bool) -> None:
    """Show which features of customers go along with their loyalty and their spending in the three months after, strongest first.

    Each strength is between about -1 and 1: a correlation by itself, and a standardised coefficient beside all the others.

    \b
    Examples:
      winback drivers
      winback drivers --json
    """
    from stream.agents.published import latest_epoch
    from stream.processor.epochs import decode_epoch
    from stream.processor.view import drivers_view

    value = asyncio.run(latest_epoch(read_settings({"broker": broker, "app_id": app_id}, os.environ)))
    epoch = None if value is None else decode_epoch(value)
    found = drivers_view(Forecast(), None) if epoch is None else drivers_view(epoch.value.forecast, epoch.day)
    if as_json:
        click.echo(orjson.dumps(found))
    else:
        Console().print(shown(found))


def shown(found: dict[str, Any]) -> Group:
    """The same for people."""
    head = [f"Learnt from {found['pairs']:,.0f} pairs of a customer and the same one three months later."]
    if found["abstained"]:
        head.append(f"The loyalty forecast abstains: {found['abstained']}.")
    else:
        head.append(
            f"The loyalty forecast is trusted: it was off by {found['error_points']:.1f} points on average, and to say that nothing changes "
            f"by {found['error_points_unchanged']:.1f}."
        )
    if not found["drivers"]:
        return Group(*head)
    table = Table(title="\nWhat goes along with the three months after", title_style="bold", title_justify="left",
                  box=SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    table.add_column("feature", no_wrap=True)
    for title in ("loyalty", "beside others", "money", "beside others"):
        table.add_column(title, justify="right")
    table.add_column("means")
    for row in found["drivers"]:
        cells = (
            f"[dim]{row[name]:+.2f}[/]" if abs(row[name]) < found["noise"] else f"{row[name]:+.2f}" for name in _FIGURES
        )
        table.add_row(row["feature"], *cells, row["meaning"])
    return Group(*head, table, f"Below {found['noise']:.2f} it may be chance.")
