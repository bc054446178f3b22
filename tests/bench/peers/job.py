"""The job that all systems do, as data: what goes in, and by a plain recount what must come out.

In: purchases in Segment's vocabulary, some 290 bytes of JSON, keyed by customer. Kept: count, sum and the last 20 amounts
of every customer. Out: an action at every purchase whose cents are a multiple of 32 (a stand-in for a rule that fires at
3 % of the events), with the sums that are known at that moment: whoever checks the actions checks the state behind them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from stream.events.instants import parse_ms, to_text

CUSTOMERS = 200_000
CENTS_PER_ACTION = 32
REMEMBERED = 20
_EXPONENT, _FLAT_RANKS = 1 / 1.16, 50
"""As in `tests.bench._events`: Zipf's law with the exponent of an 80/20 Pareto distribution, flattened at the head."""
_FIRST_MS = parse_ms("2026-03-01T00:00:00Z")
_PORTION = 50_000
"""Events drawn at once. Fewer: numpy's calls cost more than the drawing; more: memory."""
_PURCHASE = (
    b'{"type":"track","event":"Order Completed","messageId":"ajs-%012x-%08x","userId":"%b","timestamp":"%b%03dZ",'
    b'"properties":{"order_id":"o-%08x","revenue":%d.%02d,"currency":"USD","channel":"web"},'
    b'"context":{"library":{"name":"analytics.js","version":"4.1.0"}}}'
)

Row = tuple[str, bytes, bytes]


class Action(msgspec.Struct, frozen=True):
    """What every system publishes; ``action_id`` is ``CUSTOMER:PURCHASES``."""

    action_id: str
    user_id: str = msgspec.field(name="userId")
    purchases: int
    total_cents: int
    recent_cents: int
    """Sum of the last `REMEMBERED` amounts."""


def purchases(topic: str, count: int, *, customers: int = CUSTOMERS, seed: int = 1) -> Iterator[Row]:
    """(topic, key, value) of ``count`` purchases, one a millisecond; the same bytes for the same seed."""
    draw = np.random.Generator(np.random.PCG64(seed))
    keys = [b"c%07d" % number for number in draw.permutation(customers).tolist()]
    weights = np.cumsum((np.arange(customers) + 1.0 + _FLAT_RANKS) ** -_EXPONENT)
    last_second, at = -1, b""
    for start in range(0, count, _PORTION):
        size = min(_PORTION, count - start)
        drawn = zip(
            np.searchsorted(weights, draw.random(size) * weights[-1]).tolist(),
            draw.integers(500, 30_000, size).tolist(),
            draw.integers(0, 1 << 48, size).tolist(),
            strict=True,
        )
        for number, (who, cents, chance) in enumerate(drawn, start):
            second, millisecond = divmod(number, 1000)
            if second != last_second:
                last_second, at = second, to_text(_FIRST_MS + second * 1000)[:19].encode() + b"."
            key = keys[who]
            yield topic, key, _PURCHASE % (chance, number, key, at, millisecond, number, *divmod(cents, 100))


def recount(rows: Iterable[Row]) -> Counter[Action]:
    """The actions that must come out, each once, by plain counting over everything."""
    amounts: defaultdict[str, list[int]] = defaultdict(list)
    found: Counter[Action] = Counter()
    for _, _, value in rows:
        purchase = msgspec.json.decode(value)
        customer = purchase["userId"]
        known = amounts[customer]
        cents = round(purchase["properties"]["revenue"] * 100)
        known.append(cents)
        if cents % CENTS_PER_ACTION == 0:
            identity = f"{customer}:{len(known)}"
            found[Action(identity, customer, len(known), sum(known), sum(known[-REMEMBERED:]))] += 1
    return found
