"""River's objects as plain data and back: a checkpoint that is numbers and names, so that reading one can't run anything.

Pickle would rebuild whatever it is told to, and writes the same state in different bytes depending on which strings happen to be
the same object. This writes objects of a few known classes, each once, by where it comes in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LISTED, _MAPPED, _PAIRED, _GATHERED, _OBJECT, _GIVEN = range(6)
"""What a list in the plain data stands for: its first entry."""
_ATOMS = (str, bytes, int, float, bool, type(None))


def to_plain(found: Any, classes: Mapping[str, type], given: Mapping[str, Any], idle: str = "") -> list[Any]:
    """The graph under an object, as lists of plain values.

    ``classes`` are those whose objects may be in it, by the names that they are written under; ``given`` are objects that the reader
    will have at hand, which aren't written. Nor is anything else of the class of the one called ``idle``: it stands for all of them.

    Raises:
        TypeError: something else is in it.
    """
    names = {kind: name for name, kind in classes.items()}
    known = {id(value): name for name, value in given.items()}
    idlers = type(given[idle]) if idle else ()
    places: dict[int, int] = {}
    rows: list[Any] = []

    def written(value: Any) -> Any:
        if id(value) in known:
            return [_GIVEN, known[id(value)]]
        if isinstance(value, idlers):
            return [_GIVEN, idle]
        if isinstance(value, _ATOMS):
            return value
        if type(value) is list:
            return [_LISTED, *map(written, value)]
        if type(value) is tuple:
            return [_PAIRED, *map(written, value)]
        if type(value) is dict:
            return [_MAPPED, *[written(part) for pair in value.items() for part in pair]]
        if type(value) is set:
            return [_GATHERED, *sorted(value)]
        if id(value) not in places:
            if type(value) not in names:
                raise TypeError(f"{type(value).__module__}.{type(value).__name__} isn't among the classes to write")
            _, (_, *arguments), state, *_ = value.__reduce_ex__(2)
            places[id(value)] = len(rows)
            row: list[Any] = [names[type(value)], [], None]
            rows.append(row)
            row[1], row[2] = [written(each) for each in arguments], written(state)
        return [_OBJECT, places[id(value)]]

    return [written(found), rows]


def from_plain(plain: list[Any], classes: Mapping[str, type], given: Mapping[str, Any]) -> Any:
    """The object in data of `to_plain`, with the same classes and objects at hand.

    Raises:
        KeyError: it names a class or an object that isn't among them.
    """
    root, rows = plain
    made: dict[int, Any] = {}

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        kind, *rest = value
        if kind == _GIVEN:
            return given[rest[0]]
        if kind == _LISTED:
            return [read(each) for each in rest]
        if kind == _PAIRED:
            return tuple(read(each) for each in rest)
        if kind == _MAPPED:
            return {read(rest[at]): read(rest[at + 1]) for at in range(0, len(rest), 2)}
        if kind == _GATHERED:
            return set(rest)
        return built(rest[0])

    def built(place: int) -> Any:
        if place not in made:
            name, arguments, state = rows[place]
            kind = classes[name]
            made[place] = value = kind.__new__(kind, *[read(each) for each in arguments])
            fresh = read(state)
            if hasattr(value, "__setstate__"):
                value.__setstate__(fresh)
            elif fresh is not None:
                value.__dict__.update(fresh)
        return made[place]

    return read(root)
