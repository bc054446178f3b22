"""A part of a record that is left as the bytes it came in until somebody asks for it.

Most events touch few parts of a customer. A part at rest costs the decoder one step over it and the encoder one copy, however
much it holds; the first who asks opens it, and from then on it is an object like any other. Both live in one field, so nothing
can be stale: what is encoded is either the bytes that came or the object that everybody sees.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast, get_type_hints

import msgspec

from stream.errors import StateError

_Value = TypeVar("_Value")

AtRest = msgspec.Raw
"""Type of the field behind a part, for the decoder. The field is the part's name with an underscore before it."""
NOTHING = AtRest(b"\xc0")
"""``None`` at rest."""
NO_ITEMS = AtRest(b"\x90")
"""An empty list at rest."""
DAMAGE = (msgspec.DecodeError, LookupError, TypeError, ValueError, OverflowError, struct.error)
"""What bytes that are no record of ours, or a damaged one, raise on the way."""


def unreadable(error: Exception) -> StateError:
    """What is told of such bytes."""
    return StateError(f"a stored customer record can't be read: {error}")


class Part(Generic[_Value]):
    """What `part` makes, for type checkers: an attribute that may be read and set. It is a `property` of records."""

    def __get__(self, record: object, owner: type) -> _Value:
        raise NotImplementedError

    def __set__(self, record: object, value: _Value) -> None:
        raise NotImplementedError


def part(described: Callable[[Any], _Value]) -> Part[_Value]:
    """Makes a part of a record out of a method that says nothing but its name, its type and what it means."""
    field = "_" + described.__name__
    held = attrgetter(field)
    opened = msgspec.msgpack.Decoder(get_type_hints(described)["return"]).decode

    def read(record: Any) -> Any:
        value = held(record)
        if type(value) is AtRest:
            try:
                value = opened(value)
            except DAMAGE as error:
                raise unreadable(error) from error
            setattr(record, field, value)
        return value

    def write(record: Any, value: _Value) -> None:
        setattr(record, field, value)

    return cast(Part[_Value], property(read, write, doc=described.__doc__))


def empty(kind: Callable[[], Any]) -> Any:
    """Default of the field behind a part: what ``kind()`` makes, open."""
    return msgspec.field(default_factory=kind)
