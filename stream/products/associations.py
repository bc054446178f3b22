"""The reading side: what goes with a product, and what a customer may want next, with the figures that say so.

Of products a and b that are bought together: support is the share of orders that hold both, confidence the share of those with
a that also hold b, lift how many times more that is than b's share of all orders (Brin, Motwani & Tsur 1997). Source: MISSION D7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from stream.actions.association import Association
from stream.products.learner import Table, read_table
from stream.state.messages import product_code

_LEAST_ORDERS = 2.0
"""Orders behind an association, faded. Fewer: one odd basket is a recommendation."""
_PRIOR_ORDERS = 5.0
"""Orders that a confidence is shrunk by: of a product bought once, whatever came along would be certain. More: new products
recommend nothing; fewer: rare ones recommend loudly."""
_FADE = 0.8
"""What an order of the customer counts for against the next newer one. Smaller: only the last one matters."""
_POPULARITY = 0.3
"""What everybody's habit counts for against an association. On Ta-Feng the hit rate is within half a point for half and double."""
_LEAST_AGAIN = 0.02
"""Share of orders that hold again what the customer bought before, of a product that hardly anybody buys twice."""
MOST_BOUGHT = 40
"""Products of a customer that are looked at, and of everybody's most popular ones. More: takes longer; fewer: big baskets are cut."""


class Bought(NamedTuple):
    """A product that a customer has bought."""

    code: int
    weight: float


def habit(orders: Iterable[Sequence[int]]) -> list[Bought]:
    """What a customer has bought, by codes of their orders, the newest first: each weighs more the more often and the later.

    >>> habit([(1, 2), (1,)])
    [Bought(code=1, weight=1.8), Bought(code=2, weight=1.0)]
    """
    weights: dict[int, float] = {}
    weight = 1.0
    for codes in orders:
        for code in codes:
            weights[code] = weights.get(code, 0.0) + weight
        weight *= _FADE
    return [Bought(*entry) for entry in sorted(weights.items(), key=lambda entry: (-entry[1], entry[0]))]


def in_words(found: Association) -> str:
    """The reason in a sentence.

    >>> in_words(Association(
    ...     product_id="cup", because_of="pot", how="together", support=0.01, confidence=0.25, lift=5.0, orders=40.0))
    'cup: in 25% of the orders with pot, 5 times as often as in others.'
    """
    name, of, often = found.product_id, found.because_of, f"{found.confidence:.0%}"
    if found.how == "popular":
        return f"{name}: in {often} of all orders."
    if found.how == "again":
        return f"{name}: bought before, and {often} of the orders of those who had bought it hold it again."
    where = "the orders with" if found.how == "together" else "the orders of those who had bought"
    return f"{name}: in {often} of {where} {of}, {found.lift:.3g} times as often as in others."


class Associations:
    """One version of what is known of products; opened when somebody asks."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data
        self._read: _Read | None = None

    @property
    def known(self) -> bool:
        """There is something to ask for."""
        return bool(self._data)

    @property
    def _index(self) -> _Read:
        if self._read is None:
            self._read = _Read(read_table(self._data) if self._data else Table())
        return self._read

    def together(self, product_id: str, most: int = 10, without: frozenset[int] = frozenset()) -> list[Association]:
        """What is bought together with a product more often than by chance, the most frequent first."""
        return self._index.beside(product_code(product_id), "together", most, without)

    def later(self, product_id: str, most: int = 10) -> list[Association]:
        """What is bought next, itself included."""
        return self._index.beside(product_code(product_id), "next", most, frozenset())

    def popular(self, most: int = 10) -> list[Association]:
        """What most orders hold."""
        index = self._index
        return [index.popular(code) for code in index.ranked[:most]]

    def category(self, code: int) -> str:
        """The name of a category, empty when it hasn't been heard of."""
        return self._index.table.categories.get(code, "")

    def knows(self, product_id: str) -> bool:
        """Whether a product is among those that are counted."""
        return product_code(product_id) in self._index.table.items.counts

    @property
    def orders(self) -> float:
        """Orders that were learnt from, each counted by how old it is."""
        return round(self._index.orders, 3)

    @property
    def products(self) -> int:
        """Products that are counted."""
        return len(self._index.table.items.counts)

    def orders_with(self, product_id: str) -> float:
        """Of them, those that hold a product."""
        return round(self._index.table.items.count(product_code(product_id)), 3)

    def next_best(self, bought: Sequence[Bought], most: int = 3, *, only_new: bool = False) -> list[Association]:
        """What a customer may want next, by what they have bought, the best first; ``only_new``: never what they have bought."""
        index = self._index
        scores: dict[int, float] = {}
        why: dict[int, tuple[float, int]] = {}
        own = {each.code: each.weight for each in bought}
        total = sum(own.values())
        for code, weight in bought[:MOST_BOUGHT]:
            share = weight / total
            for other, confidence in index.followers(code):
                if other in own:
                    continue
                part = share * confidence
                scores[other] = scores.get(other, 0.0) + part
                if part > why.get(other, (0.0, 0))[0]:
                    why[other] = part, code
        for code in index.ranked[:MOST_BOUGHT]:
            if code not in own:
                scores[code] = scores.get(code, 0.0) + _POPULARITY * index.share(code)
        if not only_new:
            for code, weight in own.items():
                if code in index.table.names:
                    scores[code] = weight * (index.confidence(code, code) + index.share(code) + _LEAST_AGAIN)
        best = sorted(scores, key=lambda code: (-scores[code], code))[:most]
        return [
            index.pair(code, code, "again")
            if code in own
            else index.pair(why[code][1], code, "next")
            if code in why
            else index.popular(code)
            for code in best
        ]


class _Read:
    """A table with what is looked up in it."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.orders = table.orders.count(0)
        counts = table.items.counts
        self.ranked = sorted(counts, key=lambda code: (-counts[code], code))
        self._beside: dict[str, dict[int, list[tuple[int, float]]]] = {}
        self._followers: dict[int, list[tuple[int, float]]] = {}

    def share(self, code: int) -> float:
        """Share of the orders that hold a product."""
        return self.table.items.count(code) / self.orders if self.orders else 0.0

    def confidence(self, code: int, other: int) -> float:
        """Share of the orders of who had bought one product that hold another."""
        return self.table.then.count(code << 32 | other) / (self.table.first.count(code) + _PRIOR_ORDERS)

    def followers(self, code: int) -> list[tuple[int, float]]:
        """What is bought after a product, itself not included, with the confidence."""
        found = self._followers.get(code)
        if found is None:
            found = [(b, self.confidence(code, b)) for b, _ in self._neighbours("next").get(code, ()) if b != code]
            self._followers[code] = found
        return found

    def beside(self, code: int, how: str, most: int, without: frozenset[int]) -> list[Association]:
        """Associations of a product, by confidence."""
        found = [
            self.pair(code, other, how)
            for other, orders in self._neighbours(how).get(code, ())
            if orders >= _LEAST_ORDERS and other not in without
        ]
        found = [each for each in found if each.lift > 1.0 or how == "next"]
        return sorted(found, key=lambda each: (-each.confidence, each.product_id))[:most]

    def pair(self, code: int, other: int, how: str) -> Association:
        """What speaks for the second product beside the first."""
        table = self.table
        if how == "together":
            orders = table.together.count(min(code, other) << 32 | max(code, other))
            of = table.items.count(code)
        else:
            orders, of = table.then.count(code << 32 | other), table.first.count(code)
        confidence, share = orders / of if of else 0.0, self.share(other)
        return Association(
            product_id=table.names.get(other, ""),
            because_of=table.names.get(code, ""),
            how=how,
            support=round(orders / self.orders, 6) if self.orders else 0.0,
            confidence=round(confidence, 6),
            lift=round(confidence / share, 4) if share else 0.0,
            orders=round(orders, 3),
        )

    def popular(self, code: int) -> Association:
        """A product by itself."""
        share = round(self.share(code), 6)
        return Association(
            product_id=self.table.names.get(code, ""),
            because_of="",
            how="popular",
            support=share,
            confidence=share,
            lift=1.0,
            orders=round(self.table.items.count(code), 3),
        )

    def _neighbours(self, how: str) -> dict[int, list[tuple[int, float]]]:
        known = self._beside.get(how)
        if known is None:
            known = self._beside[how] = {}
            summary = self.table.together if how == "together" else self.table.then
            put: Callable[[int, tuple[int, float]], None] = lambda a, entry: known.setdefault(a, []).append(entry)  # noqa: E731
            for key, count in summary.counts.items():
                a, b, orders = key >> 32, key & 0xFFFFFFFF, count / summary.weight
                put(a, (b, orders))
                if how == "together":
                    put(b, (a, orders))
        return known
