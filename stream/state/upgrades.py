"""Steps that turn a stored customer record of one version into one of the next, on the plain MessagePack array.

A step never calls today's code of the layout: it must do the same for ever. `stream.state.customer` has their list.
"""

from __future__ import annotations

from itertools import pairwise
from struct import iter_unpack, pack
from typing import Any

_CART_REMOVED, _REMOVES = 3, 0x80


def pack_columns(old: list[Any]) -> list[Any]:
    """Version 1 to 2: columns of numbers become packed bytes, what is rare becomes optional, the memory moves to the front.

    Bodies get the checksum 0, "not known": version 2 computes them in another way, and a message that is sent again across
    the upgrade must not look like another content under the same id.
    """
    _, next_due_ms, stamps, orders, messages, person, memory = old
    return [2, next_due_ms, stamps, _memory(*memory), _messages(*messages), _orders(*orders), _person(*person)]


def count_orders(old: list[Any]) -> list[Any]:
    """Version 2 to 3: what is asked of the orders at every turn is kept beside them, what browsing moves in a head of fixed width."""
    _, next_due_ms, stamps, memory, (ids, rows, carts, baskets, floor_ms, floor_id), orders, person = old
    created_ms, last_activity_ms, active_day, active_bits, *rest = person
    timed_by, never_ms = memory[10] if len(memory) > 10 else 0, 1 << 62
    head = pack(
        "<IIqqqqiQq8s6q",
        len(ids) // 8,
        timed_by,
        next_due_ms,
        -1 if carts or not timed_by else next_due_ms or never_ms,
        created_ms,
        last_activity_ms,
        active_day,
        active_bits,
        floor_ms,
        floor_id,
        *(stamps.get(topic, -1) for topic in range(6)),
    )
    return [3, head, ids, rows, carts, baskets, memory[:10], [*orders, _figures(*orders)], *rest]


def add_plans(old: list[Any]) -> list[Any]:
    """Version 3 to 4: decisions may wait, it is known which channels reach a customer, orders have notes, messages channels, and the
    population ranks (of these nothing)."""
    _, *parts, voice = old
    population, *memory = parts[5]
    parts[5] = [population and [*population, 0, 0], *memory, 0, None, [], ""]
    parts[6] = [*parts[6], bytes(len(parts[6][0]) // 2)]
    parts[2] = b"".join(
        pack("<q8s", word >> 8 << 12 | word & 0xFF, rest) for word, rest in iter_unpack("<q8s", parts[2])
    )
    return [4, *parts, voice and [*voice, {}, 0, []]]


def _figures(keys: bytes, sends: bytes, rows: bytes, marks: Any, gone: list[Any] | None) -> list[Any]:
    day_ms, most_minor, newest = 86_400_000, 2**62, 64
    counting = [row for row in iter_unpack("<qq", rows) if row[1]]
    frequency, minor = len(counting), sum(net for _, net in counting)
    first_ms, last_ms = (counting[0][0], counting[-1][0]) if counting else (0, 0)
    found = {time_ms // day_ms for time_ms, _ in counting}
    if gone is not None:
        _, _, gone_frequency, gone_minor, gone_first_ms, gone_last_ms, frozen = gone
        frequency, minor = frequency + gone_frequency, minor + gone_minor
        first_ms, last_ms = gone_first_ms or first_ms, last_ms or gone_last_ms
        found.update(frozen)
    minor = min(most_minor, minor)
    if not found:
        return [frequency, minor, first_ms, last_ms, 0, 0, 0, [], 0, b"", b""]
    days = sorted(found)
    last, since = days[-1], days[-newest:][0]
    lights = []
    for half_life in (60, 180):
        light = sum(
            round(2 ** (30 + day % half_life / half_life)) << day // half_life - since // half_life
            for day in days[-newest:]
        )
        lights.append(light.to_bytes((light.bit_length() + 7) // 8, "big"))
    recent = sum(1 << last - day for day in days if last - day < 30)
    gaps = sorted(later - day for day, later in pairwise(days))
    return [frequency, minor, first_ms, last_ms, len(days), days[0], recent, gaps, since, *lights]


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
