"""The figures kept beside a customer's orders equal what the orders say, however they come."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from statistics import median
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events.hashing import digest64
from stream.events.instants import DAY_MS
from stream.state.figures import MOMENTUM_DAYS, Figures
from stream.state.orders import Gone, OrderBook, Window
from stream.state.purchases import Purchases

encode = msgspec.msgpack.encode
MEMORY: dict[str, Any] = {"memory_days": 400, "memory_orders": 16}

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["later", "later", "later", "much later", "now", "earlier", "refund", "worthless", "next year"]
        ),
        st.integers(0, 5),
        st.integers(1, 10**6),
    ),
    max_size=40,
)
"""(what comes, how far in quarters of a day, how much)."""


@given(steps)
def test_figures_that_are_carried_on_are_those_counted_anew(plan: list[tuple[str, int, int]]) -> None:
    """After every prefix the figures equal, bit for bit, those of the same orders counted anew, and what a scan over the
    single orders says."""
    book = OrderBook()
    now_ms = 20_000 * DAY_MS
    for number, (what, far, amount) in enumerate(plan):
        now_ms += {"later": far * DAY_MS // 4, "much later": far * 7 * DAY_MS, "next year": 390 * DAY_MS}.get(what, 0)
        time_ms = now_ms - far * DAY_MS // 4 if what == "earlier" else now_ms
        key, message = digest64(f"o{number}"), digest64(f"m{number}")
        if what == "refund":
            book.refund(digest64(f"o{number + far - 3}"), message, time_ms, amount, **MEMORY)
        else:
            book.purchase(key, message, time_ms, 0 if what == "worthless" else amount, **MEMORY)

        assert counted_anew(book) == encode(book)
        day = now_ms // DAY_MS
        assert scanned(book, day) == told(Purchases(book), day)
        assert scanned(book, day - 1) == told(Purchases(book).until(day - 1), day - 1)


def counted_anew(book: OrderBook) -> bytes:
    """The book as bytes with figures that owe nothing to those it had."""
    again = copy(book)
    again.figures = Figures()
    again._count()  # noqa: SLF001
    return encode(again)


def scanned(book: OrderBook, day: int) -> tuple[object, ...]:
    """Everything that can be asked as of a day, from the single orders and day buckets."""
    days = list(book.purchase_days(day))
    gaps = [later - earlier for earlier, later in pairwise(days)]
    times_ms, nets = book.columns()
    counting = [time_ms for time_ms, net in zip(times_ms, nets, strict=True) if net]
    gone = book.gone or Gone(0, b"")
    first_ms = gone.first_ms or (counting[0] if counting else None)
    last_ms = counting[-1] if counting else gone.last_ms or None
    return (
        first_ms,
        last_ms,
        Window(gone.frequency + len(counting), gone.monetary_minor + sum(nets)),
        book.windows(day)[3],
        tuple(days),
        len(gaps),
        float(median(gaps)) if gaps else 0.0,
        days[-1] + max(1, round(median(gaps))) if len(gaps) >= 2 else None,
        sum(day - 30 < at for at in days),
        sum(day - 365 <= at < day - 275 for at in days),
        *[
            pytest.approx(sum(0.5 ** ((day - at) / half_life) for at in days[-MOMENTUM_DAYS:]), 1e-8)
            for half_life in (60, 180)
        ],
    )


def told(purchases: Purchases, day: int) -> tuple[object, ...]:
    """The same as `Purchases` tells it; the days last, for whoever has read them is answered in another way."""
    asked = (
        purchases.year(day),
        purchases.gaps,
        purchases.cycle_days,
        purchases.expected_next_day,
        purchases.recent_days(day),
        purchases.days_between(day - 365, day - 275),
        *purchases.momentum(day),
    )
    return (purchases.first_ms, purchases.last_ms, purchases.lifetime, asked[0], purchases.days, *asked[1:])


def test_an_ordinary_purchase_looks_at_no_other_order() -> None:
    """A customer who orders again and again is never counted anew, not even when orders and days leave the memory."""
    book = OrderBook()
    book.purchase(digest64("o"), digest64("m"), 20_000 * DAY_MS, 100, **MEMORY)
    figures = book.figures

    for number in range(900):
        time_ms = (20_001 + number) * DAY_MS + number
        book.purchase(digest64(f"o{number}"), digest64(f"m{number}"), time_ms, 100, **MEMORY)
        assert book.figures is figures
    assert (901, 401, 400) == (figures.frequency, figures.days, len(figures.gaps))
    assert counted_anew(book) == encode(book)
