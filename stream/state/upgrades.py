"""Steps that turn a stored customer record of one version into one of the next, on the plain MessagePack array.

A step never calls today's code of the layout: it must do the same for ever. `stream.state.customer` has their list.
"""

from __future__ import annotations

from struct import pack
from typing import Any

_CART_REMOVED, _REMOVES = 3, 0x80


def pack_columns(old: list[Any]) -> list[Any]:
    """Version 1 to 2: columns of numbers become packed bytes, what is rare becomes optional, the memory moves to the front.

    Bodies get the checksum 0, "not known": version 2 computes them in another way, and a message that is sent again across
    the upgrade must not look like another content under the same id.
    """
    _, next_due_ms, stamps, orders, messages, person, memory = old
    return [2, next_due_ms, stamps, _memory(*memory), _messages(*messages), _orders(*orders), _person(*person)]


def _memory(fired: Any, decided_ms: Any, sent_ms: Any, population: Any, *rest: Any) -> list[Any]:
    return [population, fired, decided_ms, sent_ms, *rest]


def _messages(
    times_ms: list[int],
    ids: list[int],
    bodies: list[int],
    traces: list[int],
    products: list[int],
    carts: dict[int, list[list[int]]],
    baskets: list[list[Any]],
    floor: list[int],
) -> list[Any]:
    rows = b"".join(
        pack("<qII", time_ms << 8 | trace, 0, product)
        for time_ms, trace, product in zip(times_ms, traces, products, strict=True)
    )
    lines = b"".join(
        _id(message)
        + bytes((len(carts[message]) | (_REMOVES if trace == _CART_REMOVED else 0),))
        + b"".join(pack("<IIq", *line) for line in carts[message])
        for message, trace in zip(ids, traces, strict=True)
        if message in carts
    )
    bought = b"".join(
        _id(message) + bytes((len(products),)) + pack(f"<{len(products)}I", *products)
        for _, message, products in baskets
    )
    return [_ids(ids), rows, lines, bought, floor[0], _id(floor[1]) if floor[0] else b""]


def _orders(
    times_ms: list[int],
    keys: list[int],
    nets_minor: list[int],
    sends: list[int],
    marks: dict[int, list[Any]],
    frozen: dict[int, list[int]],
    gone_frequency: int,
    gone_monetary_minor: int,
    gone_first_ms: int,
    gone_last_ms: int,
    floor: list[int],
) -> list[Any]:
    rows = b"".join(pack("<qq", *row) for row in zip(times_ms, nets_minor, strict=True))
    marked = {
        _id(key): [amount, cancelled, [[_id(message), back] for message, back in refunds]]
        for key, (amount, cancelled, refunds) in marks.items()
    }
    gone = [floor[0], _id(floor[1]), gone_frequency, gone_monetary_minor, gone_first_ms, gone_last_ms, frozen]
    return [_ids(keys), _ids(sends), rows, marked or None, gone if floor[0] else None]


def _person(
    traits: Any,
    consent: Any,
    nps: list[Any],
    csat: list[Any],
    ratings: list[Any],
    complaints: dict[int, Any],
    *presence: int,
) -> list[Any]:
    answers = [[[time_ms, _id(message), value] for time_ms, message, value in kept] for kept in (nps, csat, ratings)]
    voice = [*answers, complaints] if nps or csat or ratings or complaints else None
    return [*presence, traits, consent, voice]


def _id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _ids(numbers: list[int]) -> bytes:
    return b"".join(map(_id, numbers))
