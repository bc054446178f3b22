"""Columns of numbers kept as ``bytes``: what a record costs is then the same few bytes in memory as on the wire.

A list of Python integers takes 40 bytes each and as many allocations when a record is loaded; a column of fixed-width items is
one copy of memory, to load and to store, however long it is. Numbers are little-endian. A column of rows starts each row with
a signed 64-bit number by which the rows ascend; rows of one number ascend by the 8-byte id at the same place of another column.
"""

from __future__ import annotations

from struct import Struct

ID = 8
"""Bytes of an id: the digest of a message id or an order id, as `stream.events.hashing.digest64` gives it."""

_first = Struct("<q").unpack_from


def find(ids: bytes, item: bytes) -> int:
    """Which id of a column this is, −1 when it isn't there.

    >>> find(b"aaaaaaaabbbbbbbb", b"bbbbbbbb"), find(b"aaaaabbbbbbbbccc", b"bbbbbbbb")
    (1, -1)
    """
    at = ids.find(item)
    while at & 7 and at > 0:  # found astride two ids
        at = ids.find(item, at + 1)
    return at >> 3


def below(rows: bytes, width: int, bound: int) -> int:
    """How many rows start with a number smaller than ``bound``.

    >>> rows = Struct("<3q").pack(10, 20, 30)
    >>> below(rows, 8, 20), below(rows, 8, 21), below(rows, 8, 99)
    (1, 2, 3)
    """
    low, high = 0, len(rows) // width
    while low < high:
        middle = (low + high) // 2
        if _first(rows, middle * width)[0] < bound:
            low = middle + 1
        else:
            high = middle
    return low


def place(rows: bytes, width: int, ids: bytes, first: int, after: int, item: bytes) -> int:
    """Where a row belongs that starts with a number in ``first … after − 1`` and has this id."""
    at = below(rows, width, first)
    end = len(rows) // width
    while at < end and _first(rows, at * width)[0] < after and ids[at * ID : at * ID + ID] < item:
        at += 1
    return at


def insert(column: bytes, at: int, item: bytes) -> bytes:
    """The column with an item put in as its ``at``-th."""
    start = at * len(item)
    return column[:start] + item + column[start:]


def without(column: bytes, width: int, at: int) -> bytes:
    """The column without its ``at``-th item."""
    return column[: at * width] + column[at * width + width :]
