"""What is kept of a customer's orders equals what the order book says, however the orders come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.events.hashing import digest64
from stream.events.instants import DAY_MS
from stream.state.orders import Applied, OrderBook
from stream.state.purchases import Purchases

MEMORY = {"memory_days": 400, "memory_orders": 16}

steps = st.lists(
    st.tuples(
        st.sampled_from(["later", "later", "later", "now", "earlier", "refund", "worthless", "next year"]),
        st.integers(0, 5),
        st.integers(1, 10**6),
    ),
    max_size=40,
)
"""(what comes, how far in quarters of a day, how much)."""


@given(steps)
def test_an_ordinary_purchase_is_carried_on_to_what_the_book_says(plan: list[tuple[str, int, int]]) -> None:
    """After every prefix all figures equal those read anew, whenever a purchase says that it could be taken over."""
    book = OrderBook()
    kept = Purchases(book)
    now_ms = 20_000 * DAY_MS
    for number, (what, far, amount) in enumerate(plan):
        now_ms += {"later": far * DAY_MS // 4, "next year": 390 * DAY_MS}.get(what, 0)
        time_ms = now_ms - far * DAY_MS // 4 if what == "earlier" else now_ms
        key, message = digest64(f"o{number}"), digest64(f"m{number}")
        if what == "refund":
            book.refund(digest64(f"o{number + far - 3}"), message, time_ms, amount, **MEMORY)
            kept = Purchases(book)
            continue
        worth = 0 if what == "worthless" else amount
        applied = book.purchase(key, message, time_ms, worth, **MEMORY)
        if applied is not Applied.CHANGED or not kept.bought_again(time_ms, MEMORY["memory_days"]):
            kept = Purchases(book)

        day = now_ms // DAY_MS
        assert figures(Purchases(book), day) == figures(kept, day)
        assert book.windows(day)[3] == kept.year(day)
        assert (book.first_ms(), book.last_ms(), book.lifetime()) == (kept.first_ms, kept.last_ms, kept.lifetime)
        assert tuple(book.purchase_days(day)) == kept.until(day).days


def figures(purchases: Purchases, day: int) -> tuple[object, ...]:
    """Everything that can be asked."""
    return (
        purchases.first_ms,
        purchases.last_ms,
        purchases.days,
        purchases.lifetime,
        purchases.cycle_days,
        purchases.cycle_spread_days,
        purchases.expected_next_day,
        purchases.last_order_name,
        purchases.until(day - 1).days,
        purchases.year(day),
    )


def test_ordinary_purchases_are_taken_over() -> None:
    """A customer who orders again and again is never read anew, not even when orders leave the memory."""
    book = OrderBook()
    book.purchase(digest64("o"), digest64("m"), 20_000 * DAY_MS, 100, **MEMORY)
    kept = Purchases(book)

    for number in range(60):
        time_ms = (20_001 + number // 2) * DAY_MS + number
        book.purchase(digest64(f"o{number}"), digest64(f"m{number}"), time_ms, 100, **MEMORY)
        assert kept.bought_again(time_ms, MEMORY["memory_days"])
