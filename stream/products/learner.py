"""The one learner of products: folds the orders of a day in canonical order into counts, from which associations are read.

Two things are counted of products a and b: orders that hold both (`together`), and orders that hold b of customers who had
bought a shortly before (`then`, with b = a: bought again). A pair is only counted once both of its products are known to be
bought at all: it can't be more frequent than they (Agrawal & Srikant 1994). Source: MISSION D7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

from stream.events.instants import DAY_MS
from stream.events.sample import ALL, seen
from stream.products.basket import Basket
from stream.products.summary import Summary
from stream.state.messages import product_code
from stream.state.notes import category_code

MOST_ITEMS = 8_192
"""Products that are counted. More: a larger version for everybody, daily; fewer: a long tail is never recommended."""
MOST_PAIRS = 16_384
"""Pairs of each kind. Same trade: a pair takes 20 bytes of the version."""
MOST_CATEGORIES = 4_096
"""Categories whose names are known. Fewer: big shops have favourites without a name; more: a sender could invent some without end."""
_ROOM = 8
"""How many times as many there may be before the rarest go. More: memory of the owner; fewer: each fold sorts them."""
_LEAST_ORDERS = 3.0
"""Orders of a product before its pairs are counted. Fewer: the pairs of one odd basket crowd out others; more: what is new is
recommended later."""


class Table(msgspec.Struct, kw_only=True):
    """All that the learner knows: its state, and what followers read."""

    orders: Summary = msgspec.field(default_factory=Summary)
    """One key, 0: orders."""
    items: Summary = msgspec.field(default_factory=Summary)
    """`product_code` → orders that hold it."""
    together: Summary = msgspec.field(default_factory=Summary)
    """Smaller code · 2^32 + larger one → orders that hold both."""
    first: Summary = msgspec.field(default_factory=Summary)
    """Code → orders of customers who had bought it shortly before."""
    then: Summary = msgspec.field(default_factory=Summary)
    """Code · 2^32 + code → such orders that hold the second."""
    names: dict[int, str] = {}
    """Code → product, of ``items``."""
    categories: dict[int, str] = {}
    """`stream.state.notes.category_code` → name, the first that was heard of."""
    admitted: int = ALL
    """See `stream.events.sample.Sample`."""
    half_life_days: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Table).decode


def read_table(data: bytes) -> Table:
    """A table as it travels."""
    return _decode(data)


class Learner:
    """Learns the orders of days."""

    def __init__(self, orders_per_day: int, half_life_days: int) -> None:
        self._most_orders = orders_per_day
        self._half_life_days = half_life_days
        self._table = Table(half_life_days=half_life_days)
        self._bytes = b""

    def restore(self, data: bytes) -> None:
        """Goes on from a table; one that fades at another pace is none."""
        table = read_table(data) if data else None
        if table is not None and table.half_life_days == self._half_life_days:
            self._table, self._bytes = table, data

    def table(self) -> bytes:
        """All that is known, empty while that is nothing."""
        if not self._bytes and self._table.items.counts:
            self._bytes = _encode(self._table)
        return self._bytes

    def learn(self, days: Mapping[int, Sequence[Basket]]) -> None:
        """Learns the orders that were taken on UTC days, whatever the order they come in."""
        admitted, most = self._table.admitted, self._most_orders
        for day in sorted(days):
            baskets = days[day]
            if not baskets or not most:
                continue
            baskets = sorted(baskets, key=_drawn)
            orders = seen([basket.drawn for basket in baskets], most, admitted)
            # Twice what is needed is taken tomorrow: it may be slower than today.
            self._table.admitted = min(ALL, max(1, int(ALL * 2 * most / orders)))
            self._learn_day(day, baskets[:most], orders)

    @property
    def admitted(self) -> int:
        """Orders whose ``drawn`` is smaller are to be taken from now on."""
        return self._table.admitted

    def _learn_day(self, day: int, baskets: Sequence[Basket], orders: float) -> None:
        table = self._table
        weight = orders / len(baskets)
        for summary in (table.orders, table.items, table.together, table.first, table.then):
            summary.go_on(day, self._half_life_days)
        ordered = []
        for basket in sorted(baskets, key=_canonical):
            age_days = max(0, day - basket.time_ms // DAY_MS)
            faded = weight * 0.5 ** (age_days / self._half_life_days)
            code = category_code(basket.category)
            if code and code not in table.categories and len(table.categories) < MOST_CATEGORIES:
                table.categories[code] = basket.category
            ordered.append((self._count(basket.products, faded), basket.before, faded))
        for codes, before, faded in ordered:
            self._pair(codes, before, faded)
        table.items.trim(MOST_ITEMS)
        table.first.trim(MOST_ITEMS)
        table.together.trim(MOST_PAIRS)
        table.then.trim(MOST_PAIRS)
        known = table.items.counts
        table.names = {code: name for code, name in table.names.items() if code in known}
        self._bytes = b""

    def _count(self, products: Sequence[str], weight: float) -> list[int]:
        """Counts an order and its products; their codes."""
        table = self._table
        codes = [product_code(product) for product in products]
        table.names.update(zip(codes, products, strict=True))
        table.orders.add((0,), weight)
        table.items.add(codes, weight)
        if len(table.items.counts) > _ROOM * MOST_ITEMS:
            table.items.trim(MOST_ITEMS)
            table.names = {code: name for code, name in table.names.items() if code in table.items.counts}
        return codes

    def _pair(self, codes: Sequence[int], before: Sequence[int], weight: float) -> None:
        """Counts the pairs of an order."""
        table = self._table
        get, least = table.items.counts.get, _LEAST_ORDERS * table.items.weight
        known = sorted([code for code in codes if get(code, 0.0) >= least])
        before = [code for code in before if get(code, 0.0) >= least]
        table.together.add([a << 32 | b for a, b in combinations(known, 2)], weight)
        table.first.add(before, weight)
        table.then.add([a << 32 | b for a in before for b in known], weight)
        for pairs in (table.together, table.then):
            if len(pairs.counts) > _ROOM * MOST_PAIRS:
                pairs.trim(MOST_PAIRS)


def _drawn(basket: Basket) -> tuple[int, int, str]:
    return basket.drawn, basket.time_ms, basket.customer


def _canonical(basket: Basket) -> tuple[int, str, int]:
    return basket.time_ms, basket.customer, basket.drawn
