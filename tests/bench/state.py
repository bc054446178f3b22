"""What a customer's record costs: µs to load, look at, fold an event into and store, and bytes, by length of history.

CPU time, the best of many rounds: what the code costs, not what else the machine did. An event is folded into a freshly loaded
record each time, in the order of time; ``decoded_bytes`` is what Python's allocator handed out for one loaded record.
"""

from __future__ import annotations

import json as json_module
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from stream.config import Settings
from stream.events import kinds
from stream.events.kinds import Event, Line
from stream.state.customer import Customer, decode, encode, head
from stream.state.orders import Applied

HISTORIES = (1, 10, 40, 256)
"""Messages remembered; a fifth of them are orders, a tenth go into the cart, the rest are views."""
ROUNDS, CALLS = 60, 300
"""The best of so many rounds of so many calls. Fewer: other processes show; more: takes longer than a minute."""
_START, _HOUR = 1_767_225_600_000, 3_600_000
_SETTINGS = Settings()


def main(json: bool) -> None:
    """Prints the table, or the same as JSON."""
    table = {str(messages): costs(messages) for messages in HISTORIES}
    if json:
        print(json_module.dumps(table))
        return
    print(f"{'messages remembered':<24}" + "".join(f"{messages:>10}" for messages in table))
    for name in next(iter(table.values())):
        print(f"{name:<24}" + "".join(f"{row[name]:>10}" for row in table.values()))


def costs(messages: int) -> dict[str, float]:
    """The costs of a customer with so many remembered messages."""
    customer = Customer(next_due_ms=_START, stamps=[1_234_567, 2_345_678, 345_678, -1, -1, -1])
    for number in range(messages):
        assert customer.apply(_past(number), _SETTINGS) is Applied.CHANGED
    value = encode(customer)
    load_us = _us(lambda: decode(value))
    found = {
        "decode_us": round(load_us, 2),
        "head_us": round(_us(lambda: head(value)), 2),
        "encode_us": round(_us(lambda: encode(customer)), 2),
    }
    for name, event in _next(messages).items():
        found[f"apply_{name}_us"] = round(_apply_us(value, event) - load_us, 2)
    found["apply_repeated_us"] = round(_apply_us(value, _past(messages - 1)) - load_us, 2)
    return {**found, "encoded_bytes": len(value), "decoded_bytes": _decoded_bytes(value)}


def _apply_us(value: bytes, event: Event) -> float:
    """CPU µs of loading the record and folding the event in."""
    return _us(lambda: decode(value).apply(event, _SETTINGS))


def _us(work: Callable[[], Any]) -> float:
    """CPU µs of one call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        for _ in range(CALLS):
            work()
        best = min(best, time.process_time_ns() - start)
    return best / CALLS / 1000


def _decoded_bytes(value: bytes, count: int = 1000) -> int:
    tracemalloc.start()
    kept = [decode(value) for _ in range(count)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size // len(kept)


def _common(number: int) -> dict[str, Any]:
    return {
        "message_id": f"0b5c7c9e-8d5b-4c5e-9d8e-{number:012x}",
        "customer": "customer-12345",
        "time_ms": _START + number * 2 * _HOUR,
        "channel": "web",
    }


def _past(number: int) -> Event:
    common = _common(number)
    if number % 5 == 2:
        lines = tuple(Line(f"p{(number + n) % 19}", 1, 1990) for n in range(3))
        return kinds.Purchase(**common, order_id=f"order-{number}", amount_minor=5970, lines=lines)
    if number % 10 == 4:
        return kinds.CartAdded(**common, line=Line(f"p{number % 19}", 1, 1990))
    return kinds.ProductViewed(**common, product_id=f"p{number % 23}", category="tea", price_minor=1990)


def _next(number: int) -> dict[str, Event]:
    common = _common(number)
    lines = (Line("tea", 1, 300), Line("cup", 2, 900), Line("pot", 1, 2500))
    return {
        "view": kinds.ProductViewed(**common, product_id="tea", category="tea", price_minor=1299),
        "cart": kinds.CartAdded(**common, line=lines[0]),
        "purchase": kinds.Purchase(**common, order_id="order-x", amount_minor=4600, lines=lines),
        "nps": kinds.NpsGiven(**common, score=9),
    }
