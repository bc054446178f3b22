"""The load of the benchmarks: a shop's events as fast as bytes can be put together, the same bytes for the same seed.

70 % browse (views, searches, carts; about 320 bytes), 25 % purchase (orders of three products, about 1 KB; one in fifty is
refunded later) and 5 % feedback (reviews, NPS), in order of time. Customers follow Zipf's law with the exponent of an
80/20 Pareto distribution (1 / 1.16), flattened at the head: no single customer is the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream.config import Settings
from stream.events.instants import parse_ms, to_text

CUSTOMERS = 200_000
FIRST = "2026-03-01T00:00:00Z"
_EXPONENT = 1 / 1.16
_FLAT_RANKS = 50
"""Added to every rank. 0: one customer would have 3 % of all events; much more: no skew is left."""
_PRODUCTS = 2_000
_PORTION = 50_000
"""Events drawn at once. Fewer: numpy's calls cost more than the drawing; more: memory. Changing it changes the bytes."""
_SHARES = (0.58, 0.06, 0.06, 0.245, 0.005, 0.035, 0.015)
"""Of views, searches, additions to the cart, orders, refunds, reviews, NPS answers."""
_VIEW, _SEARCH, _ADD, _ORDER, _REFUND, _REVIEW, _NPS = range(7)

_CONTEXT = (
    b'"context":{"library":{"name":"analytics.js","version":"4.1.0"},"locale":"en-GB","timezone":"Europe/London",'
    b'"page":{"path":"/checkout/thanks","referrer":"https://shop.example/cart"},"ip":"203.0.113.7",'
    b'"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"}}'
)
_HEAD = b'{"type":"track","event":"%b","messageId":"%b","userId":"%b","timestamp":"%b%03dZ","properties":{'
_TOUCHED = _HEAD + b'%b,"currency":"USD","channel":"web"}}'
_SEARCHED = _HEAD + (
    b'"query":"%b","channel":"app"},"context":{"library":{"name":"analytics-ios","version":"4.1.6"},"locale":"en-GB",'
    b'"network":{"wifi":true,"cellular":false},"screen":{"width":390,"height":844}}}'
)
_ORDERED = _HEAD + (
    b'"order_id":"%b","revenue":%d.%02d,"currency":"USD","affiliation":"web shop","channel":"web",'
    b'"products":[{%b,"quantity":1},{%b,"quantity":1},{%b,"quantity":1}]},'
) + _CONTEXT  # fmt: skip
_REFUNDED = _HEAD + b'"order_id":"%b","currency":"USD","channel":"web"},' + _CONTEXT
_REVIEWED = _HEAD + (
    b'"product_id":"%b","rating":"%d","channel":"web","review_body":"Arrived on time and well packed; the colour is a '
    b'little lighter than in the picture, but I would order it again."}}'
)
_SCORED = _HEAD + b'"score":%d,"channel":"email"},' + _CONTEXT


def events(
    count: int, *, customers: int = CUSTOMERS, first: str = FIRST, days: float = 1.0, seed: int = 1
) -> Iterator[tuple[str, bytes, bytes]]:
    """(topic, key, value) of ``count`` events, spread evenly over ``days`` from ``first`` on; no id comes twice."""
    draw = np.random.Generator(np.random.PCG64(seed))
    settings = Settings()
    browses, purchases, feedback = settings.topic_browses, settings.topic_purchases, settings.topic_feedback
    keys = ranked_keys(customers)
    weights = np.cumsum((np.arange(customers) + 1.0 + _FLAT_RANKS) ** -_EXPONENT)
    shares = np.cumsum(_SHARES)
    catalogue = [_product(number, cents) for number, cents in enumerate(draw.integers(300, 9_000, _PRODUCTS).tolist())]
    ordered: list[tuple[bytes, bytes]] = []
    first_ms, step_ms = parse_ms(first), days * 86_400_000 / max(count, 1)
    last_second, at = -1, b""
    for start in range(0, count, _PORTION):
        size = min(_PORTION, count - start)
        drawn = zip(
            np.searchsorted(weights, draw.random(size) * weights[-1]).tolist(),
            np.searchsorted(shares[:-1], draw.random(size), side="right").tolist(),
            (first_ms + (start + np.arange(size) + draw.random(size)) * step_ms).astype(np.int64).tolist(),
            draw.integers(0, 1 << 48, size).tolist(),
            draw.integers(0, _PRODUCTS, (3, size)).T.tolist(),
            strict=True,
        )
        for number, (who, kind, time_ms, chance, basket) in enumerate(drawn, start):
            key = keys[who]
            message_id = b"ajs-%012x-%04x-%08x" % (chance, seed & 0xFFFF, number)
            second, milliseconds = divmod(time_ms, 1000)
            if second != last_second:
                last_second, at = second, to_text(second * 1000)[:19].encode() + b"."
            identity, body, cents = catalogue[basket[0]]
            if kind == _REFUND and not ordered:
                kind = _VIEW
            if kind == _VIEW:
                yield browses, key, _TOUCHED % (b"Product Viewed", message_id, key, at, milliseconds, body)
            elif kind == _ADD:
                yield browses, key, _TOUCHED % (b"Product Added", message_id, key, at, milliseconds, body)
            elif kind == _SEARCH:
                yield browses, key, _SEARCHED % (b"Products Searched", message_id, key, at, milliseconds, identity)
            elif kind == _ORDER:
                _, second_body, second_cents = catalogue[basket[1]]
                _, third_body, third_cents = catalogue[basket[2]]
                units, rest = divmod(cents + second_cents + third_cents, 100)
                order_id = b"o-%04x-%08x" % (seed & 0xFFFF, number)
                if not chance & 15:
                    ordered.append((key, order_id))
                yield purchases, key, _ORDERED % (
                    b"Order Completed", message_id, key, at, milliseconds, order_id, units, rest,
                    body, second_body, third_body,
                )  # fmt: skip
            elif kind == _REFUND:
                key, order_id = ordered.pop(chance % len(ordered))
                yield purchases, key, _REFUNDED % (b"Order Refunded", message_id, key, at, milliseconds, order_id)
            elif kind == _REVIEW:
                yield feedback, key, _REVIEWED % (
                    b"Product Reviewed", message_id, key, at, milliseconds, identity, 1 + chance % 5,
                )  # fmt: skip
            else:
                yield feedback, key, _SCORED % (b"NPS Submitted", message_id, key, at, milliseconds, chance % 11)


def ranked_keys(customers: int) -> list[bytes]:
    """The customers from the busiest to the quietest: the same for every seed, so that history and load agree."""
    shuffled = np.random.Generator(np.random.PCG64(customers)).permutation(customers)
    return [b"c%07d" % number for number in shuffled.tolist()]


def write(
    path: Path, count: int, *, customers: int = CUSTOMERS, first: str = FIRST, days: float = 1.0, seed: int = 1
) -> None:
    """The values of `events` as a file of JSON Lines."""
    with path.open("wb", buffering=1 << 20) as file:
        file.writelines(
            b"%b\n" % value for _, _, value in events(count, customers=customers, first=first, days=days, seed=seed)
        )


def _product(number: int, cents: int) -> tuple[bytes, bytes, int]:
    """Id, JSON members and price in cents of a product."""
    identity = b"sku-%04d" % number
    members = b'"product_id":"%b","sku":"TS-%04d-M","name":"Trail shirt no. %d, merino, medium","category":"%b","price":%d.%02d'
    category = (b"shirts", b"shoes", b"packs", b"tents")[number % 4]
    return identity, members % (identity, number, number, category, *divmod(cents, 100)), cents
