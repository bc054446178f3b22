"""``winback product``: what is bought with a product, and what next, as a running worker knows it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import click
import orjson
from rich.console import Console
from rich.table import Table

from stream.commands.customer import WorkerAway, ask
from stream.environment import read_settings
from stream.errors import WinbackError


class UnknownProduct(WinbackError):
    """The product is not among those that are counted."""

    operator_action: ClassVar[str] = (
        "check the id: it is the events' product_id; what was bought today is counted from tomorrow on, and what nearly nobody "
        "buys isn't"
    )


@click.command(short_help="Look a product up: what goes with it, what is bought next.")
@click.argument("product_id", metavar="ID")
@click.option("--url", "urls", multiple=True, metavar="URL",
              help="Where a worker answers; may be repeated.  [default: http://127.0.0.1: and setting `web_port`]")  # fmt: skip
@click.option("--token", help="The worker's token.  [default: setting `web_token`]")
@click.option("--json", "as_json", is_flag=True, help="Print the worker's answer as one JSON object.")
def product(product_id: str, urls: tuple[str, ...], token: str | None, as_json: bool) -> None:
    """Show what customers buy together with the product ID, and what they buy next, with support, confidence and lift.

    \b
    Examples:
      winback product P-0101
      winback product P-0101 --json
    """
    settings = read_settings({"web_token": token}, os.environ)
    found = look_up(product_id, urls or (f"http://127.0.0.1:{settings.web_port}",), settings.web_token)
    if as_json:
        click.echo(orjson.dumps(found))
        return
    console = Console()
    share = found["orders"] / found["orders_of_all"] if found["orders_of_all"] else 0.0
    console.print(f"{product_id}: in {share:.2%} of the orders, as of {found['as_of'][:10]}", markup=False)
    for title, rows in (("in the same order", found["together"]), ("in a later order", found["next"])):
        console.print(_table(title, rows))


def look_up(product_id: str, urls: Iterable[str], token: str = "") -> dict[str, Any]:
    """The product as the first worker that answers knows it: all know the same.

    Raises:
        UnknownProduct: it isn't counted.
        WorkerAway: no worker answered.
    """
    away: list[str] = []
    for url in urls:
        status, answer = ask(f"{url.rstrip('/')}/products/{quote(product_id, safe='')}", token)
        if status == 200:
            return answer
        said = str(answer.get("error", ""))
        if status == 404 and said:
            raise UnknownProduct(f"the worker at {url} knows no product {product_id!r}")
        away.append(f"{url}: {said or f'it answers {status}, as no Winback worker does'}")
    raise WorkerAway("\n  ".join([f"product {product_id!r} could not be looked up", *away]))


def _table(title: str, rows: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("product")
    for name in ("support", "confidence", "lift", "orders"):
        table.add_column(name, justify="right")
    for row in rows:
        figures = f"{row['support']:.3%}", f"{row['confidence']:.1%}", f"{row['lift']:.2f}", f"{row['orders']:.1f}"
        table.add_row(row["product_id"].replace("[", "\\["), *figures)
    return table
