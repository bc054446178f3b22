"""An order on its way to the learner: what was bought, and what the customer had bought shortly before."""

from __future__ import annotations

import msgspec

from stream.events.kinds import Purchase
from stream.events.sample import Sample
from stream.state.messages import basket_codes

MOST_PRODUCTS = 32
"""Products of an order that are learnt from, the first ones named. More: a wholesaler's list is a thousand pairs; fewer: a
family's groceries of a week are cut short."""
MOST_BEFORE = 12
"""Products bought before that are learnt from, the newest ones. More: every order takes longer to learn; fewer: what is
bought every other time is forgotten in between."""


class Basket(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order. Sorted by ``(time_ms, customer, drawn)``, the canonical order."""

    time_ms: int
    customer: str
    drawn: int
    """Of its message's digest: the smallest are learnt from when there are too many. The same wherever the order is seen."""
    products: tuple[str, ...]
    """Distinct, ascending."""
    before: tuple[int, ...]
    """`stream.state.messages.product_code` of what was bought in earlier orders that are remembered, the newest first."""
    category: str = ""
    """The first one named."""


class Baskets:
    """The orders of one partition that have not been contributed yet."""

    def __init__(self, orders_per_day: int) -> None:
        self.taken: list[Basket] = []
        self.sample = Sample(orders_per_day)
        self.is_on = orders_per_day > 0

    def forget(self) -> None:
        """What was taken since the last commit never happened."""
        self.taken.clear()
        self.sample.start_again()

    def add(self, event: Purchase, message: bytes, baskets: bytes) -> None:
        """Takes a new order. ``baskets``: those of the customer that are remembered, this one among them or not."""
        drawn = int.from_bytes(message[:4], "big")
        if drawn >= self.sample.admitted:
            return  # told before the products are looked at
        products = dict.fromkeys([line.product_id for line in event.lines[:MOST_PRODUCTS]])
        products.pop("", None)
        if products and self.sample.takes(drawn):
            before = basket_codes(baskets, MOST_BEFORE, message) if baskets else ()
            self.taken.append(
                Basket(event.time_ms, event.customer, drawn, tuple(sorted(products)), before, event.category)
            )
