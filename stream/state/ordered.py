"""Dictionaries that stay sorted by key, so that the same facts give the same bytes whatever order they came in."""

from __future__ import annotations

from typing import TypeVar

_Key = TypeVar("_Key", int, str, bytes)
_Value = TypeVar("_Value")


def put(mapping: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Sets a key and keeps the mapping ascending by key.

    >>> days = {3: "c"}; put(days, 7, "g"); put(days, 5, "e"); list(days)
    [3, 5, 7]
    """
    if key in mapping or not mapping or key > next(reversed(mapping)):
        mapping[key] = value
        return
    mapping[key] = value
    for later in sorted(name for name in mapping if name > key):
        mapping[later] = mapping.pop(later)
