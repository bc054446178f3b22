"""The purchase cases of the semantics, each as a test; eviction and bounds of the order book."""

from __future__ import annotations

from typing import Any

import pytest

from stream.config import Settings, make_settings
from stream.events import kinds
from stream.events.hashing import digest64
from stream.events.instants import day_of, parse_ms
from stream.events.kinds import Line
from stream.state.customer import Customer, encode
from stream.state.figures import MOST_SUM_MINOR, Figures
from stream.state.messages import Seen
from stream.state.orders import MOST_REFUNDS, Applied, Gone, OrderBook, Window
from stream.state.profile import Profile
from stream.testing import Shop

DAY = 86_400_000
START = parse_ms("2026-03-02T10:00:00Z")
SMALL = make_settings(memory_orders=16, memory_messages=16)


class Till:
    """Sends orders of one customer; every message has an id of its own unless told otherwise."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.customer = Customer()
        self.settings = settings or Settings()
        self.sent = 0

    def _take(self, kind: Any, order: str, at: int, message: str, **fields: Any) -> Applied | Seen:
        self.sent += 1
        event = kind(message_id=message or f"m{self.sent}", customer="c", time_ms=at, order_id=order, **fields)
        return self.customer.apply(event, self.settings)

    def buy(self, order: str, at: int, amount: int, message: str = "") -> Applied | Seen:
        return self._take(kinds.Purchase, order, at, message, amount_minor=amount)

    def update(self, order: str, at: int, amount: int, message: str = "") -> Applied | Seen:
        return self._take(kinds.OrderUpdated, order, at, message, amount_minor=amount)

    def refund(self, order: str, at: int, amount: int | None = None, message: str = "") -> Applied | Seen:
        return self._take(kinds.Refund, order, at, message, amount_minor=amount)

    def cancel(self, order: str, at: int, message: str = "") -> Applied | Seen:
        return self._take(kinds.Cancellation, order, at, message)

    def profile(self, at: int) -> Profile:
        return Profile("c", self.customer, at)

    @property
    def lifetime(self) -> tuple[int, int]:
        window = self.customer.orders.lifetime()
        return window.frequency, window.monetary_minor


# -- identity and amount


def test_client_and_server_sends_are_one_order() -> None:
    """Two messages with one ``order_id`` count once; the later time-stamp's amount stands, whichever came first."""
    for first, second in (((START, 1000), (START + 500, 1100)), ((START + 500, 1100), (START, 1000))):
        till = Till()
        till.buy("o1", *first)
        till.buy("o1", *second)

        assert (1, 1100) == till.lifetime


def test_an_update_replaces_the_earlier_send() -> None:
    """The latest ``timestamp`` wins, in the day that it names; an older update changes nothing."""
    till = Till()

    assert till.buy("o1", START, 1000) is Applied.CHANGED
    assert till.update("o1", START + DAY, 700) is Applied.UPDATED
    assert till.update("o1", START + 500, 9999) is Applied.SUPERSEDED
    assert (1, 700) == till.lifetime
    assert START + DAY == till.profile(START + DAY).last_purchase_ms


def test_an_update_of_an_unknown_order_is_that_order() -> None:
    """An update that overtakes its order counts, and the order's own send comes too late."""
    till = Till()

    assert till.update("o1", START + 500, 700) is Applied.CHANGED
    assert till.buy("o1", START, 1000) is Applied.SUPERSEDED
    assert (1, 700) == till.lifetime


def test_an_order_worth_nothing_is_remembered_but_not_counted() -> None:
    """Zero money gives no frequency, no recency and no gap, until an update gives it a price."""
    till = Till()
    till.buy("o1", START, 0)

    assert (0, 0) == till.lifetime
    assert not till.profile(START).bought
    till.update("o1", START + 1, 500)
    assert (1, 500) == till.lifetime


# -- cancellation and refunds


@pytest.mark.parametrize("whole", ["cancel", "refund"])
@pytest.mark.parametrize("early", [False, True])
def test_a_cancelled_or_fully_refunded_order_never_was(whole: str, early: bool) -> None:
    """F − 1 and M back in the order's own day, recency and cycle recomputed, in either order of arrival; it stays gone."""
    till = Till()
    till.buy("o1", START, 1000)
    till.buy("o2", START + 30 * DAY, 1000)
    if not early:
        till.buy("o3", START + 40 * DAY, 2000)
    getattr(till, whole)("o3", START + 41 * DAY)
    if early:
        till.buy("o3", START + 40 * DAY, 2000)
    till.update("o3", START + 42 * DAY, 2500)
    profile = till.profile(START + 42 * DAY)

    assert (2, 2000) == till.lifetime
    assert (12, 1, 30.0) == (profile.recency_days, profile.gaps, profile.cycle_days)
    assert (1, 1000) == (profile.frequency_30d, profile.monetary_30d_minor)
    assert 1 == profile.refunds_365d


def test_a_partial_refund_takes_money_in_the_orders_own_day() -> None:
    """M only: the order still counts, and the refund's own day has nothing to do with it."""
    till = Till()
    till.buy("o1", START, 1000)
    till.refund("o1", START + 20 * DAY, 300)
    till.refund("o1", START + 21 * DAY, 200)
    profile = till.profile(START + 21 * DAY)

    assert (1, 500) == till.lifetime
    assert (0, 0) == (profile.frequency_7d, profile.monetary_7d_minor)
    assert (1, 500) == (profile.frequency_30d, profile.monetary_30d_minor)
    assert 21 == profile.recency_days


@pytest.mark.parametrize("order", [("buy", "back"), ("back", "buy")])
def test_a_refund_of_more_than_the_order_is_clamped_and_flagged(order: tuple[str, str]) -> None:
    """Money never goes below zero; the customer says that there is something to look at."""
    till = Till()
    for step in order:
        if step == "buy":
            till.buy("o1", START, 1000)
        else:
            till.refund("o1", START + DAY, 1500)

    assert (0, 0) == till.lifetime
    assert 1 == till.profile(START + DAY).clamped_refunds
    till.update("o1", START + DAY, 1600)
    assert (1, 100) == till.lifetime
    assert 0 == till.profile(START + DAY).clamped_refunds


def test_a_clamped_refund_is_shown_by_the_engine() -> None:
    """The customer's view says it; a refund that still waits for its order is none."""
    shop = Shop()
    shop.send("Order Completed", "c", START, order_id="o1", revenue=10)
    shop.send("Order Refunded", "c", START + DAY, order_id="o1", revenue=10.01)
    shop.send("Order Refunded", "c", START + DAY, order_id="o2", revenue=5)

    assert 1 == shop.customer("c")["clamped_refunds"]


def test_a_refund_may_come_before_its_order() -> None:
    """It waits, counts nothing by itself, and is taken off when the order comes."""
    till = Till()
    till.refund("o1", START + DAY, 300)

    assert (0, 0) == till.lifetime
    assert not till.profile(START + DAY).bought
    assert till.buy("o1", START, 1000) is Applied.CHANGED
    assert (1, 700) == till.lifetime
    assert START == till.profile(START + DAY).last_purchase_ms


def test_a_repeated_refund_counts_once() -> None:
    """The same message again takes nothing off again, also when the log of messages has forgotten it."""
    till = Till(SMALL)
    till.buy("o1", START, 1000)
    till.refund("o1", START, 300, "r1")
    for number in range(40):
        till.customer.apply(
            kinds.Activity(message_id=f"s{number}", customer="c", time_ms=START + 1 + number), till.settings
        )

    assert till.refund("o1", START, 300, "r1") is Applied.DUPLICATE
    assert (1, 700) == till.lifetime


def test_too_many_partial_refunds_are_beyond_memory() -> None:
    """One order can't grow a record without bound: what can't be remembered isn't taken."""
    till = Till()
    till.buy("o1", START, 1000)
    answers = [till.refund("o1", START + number, 1) for number in range(MOST_REFUNDS + 3)]

    assert [Applied.CHANGED] * MOST_REFUNDS + [Applied.BEYOND_MEMORY] * 3 == answers
    assert (1, 1000 - MOST_REFUNDS) == till.lifetime


# -- days


def test_frequency_counts_orders_and_gaps_are_between_days() -> None:
    """Three orders on one day and one later: F is 4, and there is one gap."""
    till = Till()
    for number in range(3):
        till.buy(f"a{number}", START + number * 1000, 100)
    till.buy("b", START + 10 * DAY, 100)
    profile = till.profile(START + 10 * DAY)

    assert (4, 1, 10.0) == (profile.lifetime_frequency, profile.gaps, profile.cycle_days)
    assert ((day_of(START), day_of(START) + 10), (300, 100)) == (profile.purchase_days, profile.purchase_amounts_minor)


@pytest.mark.parametrize("days", [7, 30, 90, 365])
def test_a_window_is_of_utc_days(days: int) -> None:
    """W days at t: days d with day(t) − W < d ≤ day(t); the first millisecond of the first day counts, not the one before."""
    midnight = day_of(START) * DAY
    till = Till()
    till.buy("outside", midnight - (days - 1) * DAY - 1, 1)
    till.buy("first", midnight - (days - 1) * DAY, 10)
    till.buy("last", midnight + DAY - 1, 100)
    till.buy("tomorrow", midnight + DAY, 1000)
    windows = dict(zip((7, 30, 90, 365), till.customer.orders.windows(day_of(START)), strict=True))

    assert Window(2, 110) == windows[days]


# -- memory


def test_what_leaves_for_lack_of_room_still_counts() -> None:
    """Windows and totals stay exact when single orders are forgotten; recency and tenure as well."""
    till = Till(SMALL)
    for number in range(100):
        till.buy(f"o{number}", START + number * DAY // 2, 100)
    now = START + 99 * DAY // 2
    profile = till.profile(now)

    assert 16 == len(till.customer.orders.columns()[0])
    assert (100, 10_000) == till.lifetime
    assert (14, 60, 100) == (profile.frequency_7d, profile.frequency_30d, profile.frequency_90d)
    assert (0, 49) == (profile.recency_days, profile.tenure_days)


@pytest.mark.parametrize("number", [0, 50, 83])
def test_an_order_that_has_left_is_not_taken_again(number: int) -> None:
    """A re-sent order that memory has let go of, the very last of those included, is beyond memory."""
    till = Till(SMALL)
    for at in range(100):
        till.buy(f"o{at}", START + at * DAY // 2, 100)

    assert till.buy(f"o{number}", START + number * DAY // 2, 100, "again") is Applied.BEYOND_MEMORY
    assert (100, 10_000) == till.lifetime


def test_a_late_refund_does_not_let_its_order_in_again() -> None:
    """A refund of a forgotten order waits in vain: the order's own send can't be told from a repeat."""
    till = Till(SMALL)
    for at in range(100):
        till.buy(f"o{at}", START + at * DAY // 2, 100)

    assert till.refund("o7", START + 60 * DAY, 100) is Applied.CHANGED
    assert till.buy("o7", START + 7 * DAY // 2, 100, "again") is Applied.BEYOND_MEMORY
    assert (100, 10_000) == till.lifetime


def test_a_refund_that_waits_leaves_with_the_scope() -> None:
    """A pending refund whose order never comes goes without a trace in the figures."""
    till = Till()
    till.refund("ghost", START, 300)
    till.buy("o1", START + 401 * DAY, 100)

    assert till.customer.orders.marks is None
    assert (1, 100) == till.lifetime
    assert till.buy("ghost", START, 1000) is Applied.BEYOND_MEMORY


def test_a_refund_older_than_everything_remembered_is_refused() -> None:
    """When the book is full, a refund from before it could only be forgotten at once: it is told so instead."""
    till = Till(SMALL)
    for at in range(16):
        till.buy(f"o{at}", START + at * DAY, 100)
    before = encode(till.customer)

    assert till.refund("early", START - DAY, 100) is Applied.BEYOND_MEMORY
    assert before == encode(till.customer)


def test_an_event_older_than_the_memory_is_refused() -> None:
    """An order more than ``memory_days`` before the newest one can't be told from a repeat."""
    till = Till()
    till.buy("new", START, 100)

    assert till.buy("old", START - 400 * DAY - 1, 100) is Applied.BEYOND_MEMORY
    assert till.buy("just", START - 400 * DAY, 100) is Applied.CHANGED
    assert till.refund("older", START - 400 * DAY - 1) is Applied.BEYOND_MEMORY
    assert till.cancel("oldest", START - 400 * DAY - 1) is Applied.BEYOND_MEMORY


def test_sums_stay_numbers_that_others_can_read() -> None:
    """Millions of the largest orders stop at a sum that fits 64 bits, in state and in the figures."""
    gone = Gone(START - 1, digest64("o"), monetary_minor=MOST_SUM_MINOR - 5)
    book = OrderBook(gone=gone, figures=Figures(monetary_minor=MOST_SUM_MINOR - 5))
    for number in range(20):
        order = digest64(f"o{number}")
        book.purchase(order, order, START + number, 10**12, memory_days=400, memory_orders=16)

    assert MOST_SUM_MINOR == gone.monetary_minor
    assert MOST_SUM_MINOR == book.lifetime().monetary_minor
    assert gone.frozen[day_of(START)] == (4, 4 * 10**12)


def test_the_hardest_customer_stays_small() -> None:
    """Every field at its longest, in every list, for as long as it takes: the record stays below what a broker takes."""
    customer = Customer()
    settings = Settings()
    long_id = "\U0001f375" * 250
    lines = tuple(Line(f"{long_id}{n}", 1_000_000, 10**12) for n in range(200))
    for number in range(600):
        at = START + number * 60_000
        common: dict[str, Any] = {"customer": long_id, "time_ms": at}
        order = f"{long_id}{number}"
        for event in (
            kinds.Purchase(message_id=f"a{number}", order_id=order, amount_minor=10**12, lines=lines, **common),
            kinds.CartViewed(message_id=f"b{number}", lines=lines, **common),
            kinds.CartAdded(message_id=f"c{number}", line=lines[number % 200], **common),
            kinds.ProductViewed(message_id=f"d{number}", product_id=lines[0].product_id, **common),
            kinds.Identified(message_id=f"e{number}", consent=((f"{number:064d}", False),), region="r" * 64, **common),
            kinds.ComplaintOpened(message_id=f"f{number}", complaint_id=order, **common),
            kinds.NpsGiven(message_id=f"g{number}", score=1, **common),
        ):
            customer.apply(event, settings)
        for back in range(MOST_REFUNDS if number > 340 else 0):
            customer.apply(
                kinds.Refund(message_id=f"r{number}-{back}", order_id=order, amount_minor=10**10, **common), settings
            )

    assert len(encode(customer)) < 160 * 1024
