"""Public data sets as Segment messages, read from Python packages that carry them; nothing is vendored or downloaded here.

CDNOW: every order of the customers who first bought at the CD shop in the first quarter of 1997, until June 1998
(Fader & Hardie, "Forecasting Repeat Sales at CDNOW", Interfaces 31(3), 2001). 69,659 orders of 23,570 customers.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from stream.errors import WinbackError

CDNOW_ORDERS = 69_659
CDNOW_CUSTOMERS = 23_570
CDNOW_END = "1998-07-01T00:00:00Z"
"""The end of what was observed: the first instant after the last day of the data."""

_PACKAGE = "lifetimes"
_CDNOW_FILE = "lifetimes/datasets/CDNOW_master.txt"


class DatasetMissing(WinbackError):
    """The Python package that carries a data set is not installed, or lacks the file."""

    operator_action: ClassVar[str] = (
        "install it beside Winback: `uv pip install lifetimes==0.11.3` (in a clone, plain `uv sync` does)"
    )


def cdnow_path() -> Path:
    """Where the CDNOW file is. Found through the package's metadata: importing `lifetimes` costs seconds and scipy.

    Raises `DatasetMissing` when there is no such package or file.
    """
    try:
        path = Path(str(metadata.distribution(_PACKAGE).locate_file(_CDNOW_FILE)))
    except metadata.PackageNotFoundError:
        raise DatasetMissing(f"the CDNOW orders come with the Python package {_PACKAGE!r}, which is missing") from None
    if not path.is_file():
        raise DatasetMissing(f"the installed package {_PACKAGE!r} has no {_CDNOW_FILE}")
    return path


def cdnow_events(path: Path | None = None) -> Iterator[dict[str, Any]]:
    """All CDNOW orders as Segment ``Order Completed`` messages, in canonical order: by time, then ``messageId``.

    The file has 255 lines that equal another one, and they are orders of their own: the row is the identity, so
    ``messageId`` is ``cdnow-<row>`` (the first order is row 1) and ``order_id`` is the same. The file knows days
    only: each order is at 00:00:00 UTC. 80 orders are worth nothing.

    >>> first = next(cdnow_events())
    >>> first["messageId"], first["userId"], first["timestamp"], first["properties"]["revenue"]
    ('cdnow-1', '00001', '1997-01-01T00:00:00Z', 11.77)
    """
    rows = []
    with (path or cdnow_path()).open(encoding="ascii") as lines:
        next(lines)
        for row, line in enumerate(lines, start=1):
            customer, date, quantity, dollars = line.split()
            rows.append((date, f"cdnow-{row}", customer, quantity, dollars))
    rows.sort()
    for date, identity, customer, quantity, dollars in rows:
        yield {
            "type": "track",
            "event": "Order Completed",
            "messageId": identity,
            "userId": customer,
            "timestamp": f"{date[:4]}-{date[4:6]}-{date[6:]}T00:00:00Z",
            "properties": {
                "order_id": identity,
                "revenue": float(dollars),
                "currency": "USD",
                "products": [{"product_id": "cd", "category": "Music", "quantity": int(quantity)}],
            },
        }
