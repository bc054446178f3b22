"""Views, carts and repeats, read off the log of messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings, make_settings
from stream.events import kinds
from stream.events.hashing import digest64
from stream.events.instants import parse_ms
from stream.events.kinds import Event, Line
from stream.state.customer import Customer, encode
from stream.state.messages import (
    MOST_BASKETS,
    MOST_LINES,
    MessageLog,
    Seen,
    Trace,
    basket_codes,
    kept_lines,
    product_code,
)
from stream.state.orders import Applied

DAY = 86_400_000
START = parse_ms("2026-03-02T10:00:00Z")
SETTINGS = Settings()


def told(*steps: tuple[str, int, Any], settings: Settings = SETTINGS) -> Customer:
    """A customer who did these things: (what, minutes after the start, of what)."""
    customer = Customer()
    for number, (what, minutes, of) in enumerate(steps):
        customer.apply(made(what, number, START + minutes * 60_000, of), settings)
    return customer


def made(what: str, number: int, at: int, of: Any) -> Event:
    """One event; ``of`` is a product or lines."""
    common: dict[str, Any] = {"message_id": f"m{number}", "customer": "c", "time_ms": at}
    match what:
        case "view":
            return kinds.ProductViewed(**common, product_id=of)
        case "add":
            return kinds.CartAdded(**common, line=of)
        case "remove":
            return kinds.CartRemoved(**common, line=of)
        case "set":
            return kinds.CartViewed(**common, lines=of)
        case "checkout":
            return kinds.CheckoutStarted(**common, lines=of)
        case "buy":
            return kinds.Purchase(**common, order_id=f"o{number}", amount_minor=100, lines=of)
        case _:
            return kinds.OrderUpdated(**common, order_id=f"o{number}", amount_minor=100, lines=of)


TEA, CUP = Line("tea", 2, 300), Line("cup", 1, 900)


@pytest.mark.parametrize(
    ("steps", "items", "value"),
    [
        ([("add", 0, TEA), ("add", 1, CUP)], 3, 1500),
        ([("add", 0, TEA), ("add", 1, Line("tea", 1, 0))], 3, 900),
        ([("add", 0, TEA), ("add", 1, Line("tea", 1, 200))], 3, 600),
        ([("add", 0, TEA), ("remove", 1, Line("tea", 1))], 1, 300),
        ([("add", 0, TEA), ("remove", 1, Line("tea", 2))], 0, 0),
        ([("add", 0, TEA), ("remove", 1, Line("tea", 9))], 0, 0),
        ([("remove", 0, TEA), ("add", 1, TEA)], 2, 600),
        ([("add", 0, TEA), ("set", 1, (CUP,))], 1, 900),
        ([("add", 0, TEA), ("set", 1, ())], 0, 0),
        ([("set", 0, (TEA, CUP)), ("remove", 1, CUP)], 2, 600),
        ([("set", 0, (TEA, Line("tea", 1, 300)))], 3, 900),
        ([("set", 0, (Line("tea", 0, 300),))], 0, 0),
        ([("add", 0, TEA), ("checkout", 1, (TEA, CUP))], 3, 1500),
        ([("add", 0, TEA), ("buy", 1, (TEA,))], 0, 0),
        ([("add", 0, TEA), ("buy", 1, ())], 0, 0),
        ([("add", 0, TEA), ("buy", 1, ()), ("add", 2, CUP)], 1, 900),
        ([("add", 0, TEA), ("update", 1, ())], 2, 600),
        ([("buy", 1, ()), ("add", 0, TEA)], 0, 0),
        ([("set", 2, (CUP,)), ("add", 1, TEA), ("set", 0, (TEA,))], 1, 900),
    ],
)
def test_the_open_cart(steps: list[Any], items: int, value: int) -> None:
    """Adds and removes build a cart, a view of the whole cart replaces it, a purchase empties it, in event time."""
    cart = told(*steps).messages.cart(START + DAY)

    assert (items, value) == (cart.items, cart.value_minor)


def test_the_cart_of_an_instant_knows_nothing_of_later() -> None:
    """Read as of an instant between two adds, the cart has only the first; it changed when that came."""
    customer = told(("add", 0, TEA), ("add", 10, CUP))
    cart = customer.messages.cart(START + 5 * 60_000)

    assert (2, 600, START) == (cart.items, cart.value_minor, cart.changed_ms)


def test_views_of_a_product_since_it_was_bought() -> None:
    """Buying a product starts its count anew; views of 30 days and more ago don't count."""
    minutes = 24 * 60
    customer = told(
        ("view", 0, "tea"),
        ("view", 2 * minutes, "tea"),
        ("view", 3 * minutes, "cup"),
        ("buy", 4 * minutes, (CUP,)),
        ("view", 5 * minutes, "cup"),
    )
    log = customer.messages

    assert (2, 1, 4) == (
        log.views_of("tea", START + 5 * DAY),
        log.views_of("cup", START + 5 * DAY),
        log.views(START + 5 * DAY),
    )
    assert 1 == log.views_of("tea", START + 30 * DAY)
    assert 1 == log.views_of("cup", START + 3 * DAY)
    assert 0 == log.views_of("pot", START + 5 * DAY)


@given(st.lists(st.tuples(st.sampled_from(["view", "buy"]), st.integers(0, 40)), max_size=30))
def test_a_look_never_sees_fewer_views_than_there_are(steps: list[tuple[str, int]]) -> None:
    """It is a bound from above, and close: one more view than the log has rows of the product is out of the question."""
    customer = told(*((what, at * 60, f"p{at % 5}" if what == "view" else (TEA,)) for what, at in steps))
    log = customer.messages

    for product in ("p0", "p1", "p2", "p3", "p4"):
        views = log.views_of(product, START + DAY)
        viewed = sum(what == "view" and f"p{at % 5}" == product for what, at in steps)
        assert log.may_have_views_of(product, views)
        assert not log.may_have_views_of(product, viewed + 1)


def test_lines_that_mean_nothing_any_more_are_dropped() -> None:
    """After a set or a purchase, in whatever order it arrives, earlier lines are gone from the record."""
    steps: list[Any] = [("add", n, Line(f"p{n}", 1, 100)) for n in range(50)]
    reset = ("set", 60, (TEA,))

    assert told(reset).messages.carts
    assert len(told(reset).messages.carts) == len(told(*steps, reset).messages.carts)
    assert len(told(reset).messages.carts) == len(told(reset, *steps).messages.carts)
    assert b"" == told(*steps, ("buy", 60, (TEA,))).messages.carts


def test_only_the_newest_baskets_are_kept() -> None:
    """A bot's big orders leave the products of a few; each is at most so many lines."""
    lines = tuple(Line(f"p{n}", 1, n) for n in range(MOST_LINES + 40))
    every = told(*(("buy", n, lines) for n in range(40))).messages
    newest = told(*(("buy", n, lines if n >= 40 - MOST_BASKETS else ()) for n in range(40))).messages

    assert MOST_BASKETS * (8 + 1 + 4 * MOST_LINES) == len(every.baskets)
    assert newest.baskets == every.baskets


def test_lines_of_most_value_are_kept_whatever_their_order() -> None:
    """Of a basket too big, the same lines stay for every order of the lines."""
    lines = [Line(f"p{n}", 1 + n % 3, n % 7) for n in range(200)]

    assert kept_lines(lines) == kept_lines(lines[::-1])
    assert MOST_LINES == len(kept_lines(lines))


@pytest.mark.parametrize("which", [0, 20, 23])
def test_a_forgotten_message_is_beyond_memory(which: int) -> None:
    """A repeat of what has left the log, the very last of it included, is not taken for new."""
    small = make_settings(memory_messages=16)
    steps = [("view", n, "tea") for n in range(40)]
    customer = told(*steps, settings=small)
    before = encode(customer)

    assert customer.apply(made("view", which, START + which * 60_000, "tea"), small) is Seen.BEYOND_MEMORY
    assert before == encode(customer)
    assert customer.apply(made("view", 24, START + 24 * 60_000, "tea"), small) is Seen.DUPLICATE


def test_a_repeat_with_another_time_is_a_repeat() -> None:
    """A sender that corrects its clock when it sends again is understood."""
    customer = told(("view", 0, "tea"))

    assert customer.apply(made("view", 0, START + 1234, "tea"), SETTINGS) is Seen.DUPLICATE
    assert customer.apply(made("view", 0, START, "cup"), SETTINGS) is Seen.OTHER_BODY


def test_the_same_fields_under_another_kind_are_another_body() -> None:
    """An NPS answer of 5 and a CSAT answer of 5 with one id are not a repeat, nor is a complaint's end its beginning."""
    common: dict[str, Any] = {"message_id": "m", "customer": "c", "time_ms": START}
    for first, second in (
        (kinds.NpsGiven(**common, score=5), kinds.CsatGiven(**common, score=5)),
        (kinds.ComplaintOpened(**common, complaint_id="x"), kinds.ComplaintResolved(**common, complaint_id="x")),
    ):
        customer = Customer()

        assert customer.apply(first, SETTINGS) is Applied.CHANGED
        assert customer.apply(second, SETTINGS) is Seen.OTHER_BODY


# -- against a plain list

MOST = 24


class PlainLog:
    """The log as its words say it: a sorted list of everything, looked through from the beginning each time."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes, Trace, tuple[Line, ...]]] = []
        self.floor: tuple[int, bytes] = (0, b"")
        self.bought: list[tuple[int, bytes, tuple[Line, ...]]] = []

    def look_up(self, at: int, message: bytes) -> Seen:
        if any(message == known for _, known, _, _ in self.entries):
            return Seen.DUPLICATE
        too_old = self.entries and at < self.entries[-1][0] - 30 * DAY
        return Seen.BEYOND_MEMORY if too_old or (at, message) <= self.floor else Seen.NEW

    def add(self, entry: tuple[int, bytes, Trace, tuple[Line, ...]]) -> None:
        self.entries = sorted([*self.entries, entry])
        if entry[2] is Trace.BOUGHT and entry[3]:
            self.bought = sorted([*self.bought, (*entry[:2], entry[3])])[-MOST_BASKETS:]
        newest = self.entries[-1][0]
        kept = [e for e in self.entries if e[0] >= newest - 30 * DAY][-MOST:]
        gone = self.entries[: len(self.entries) - len(kept)]
        self.floor = gone[-1][:2] if gone else self.floor
        self.entries = kept

    def products(self, most: int) -> list[int]:
        codes = [product_code(line.product_id) for _, _, lines in reversed(self.bought) for line in lines]
        return list(dict.fromkeys(codes))[:most]

    def views(self, now: int) -> int:
        return sum(1 for at, _, trace, _ in self.entries if now - 30 * DAY < at <= now and trace is Trace.VIEWED)

    def views_of(self, product: str, now: int) -> int:
        baskets = [e for e in self.entries if e[2] is Trace.BOUGHT and e[3]][-MOST_BASKETS:]
        bought = [e for e in baskets if e[0] <= now and product in (line.product_id for line in e[3])]
        return sum(
            1
            for e in self.entries
            if now - 30 * DAY < e[0] <= now
            and e[2] is Trace.VIEWED
            and e[3][0].product_id == product
            and (not bought or e[:2] > bought[-1][:2])
        )

    def cart(self, now: int) -> tuple[int, int, int]:
        resets = [number for number, e in enumerate(self.entries) if e[2] in (Trace.CART_SET, Trace.BOUGHT)]
        content: dict[str, tuple[int, int]] = {}
        for at, _, trace, lines in self.entries[resets[-1] if resets else 0 :]:
            if at > now or trace not in (Trace.CART_ADDED, Trace.CART_REMOVED, Trace.CART_SET):
                continue
            for line in lines:
                pieces, price = content.pop(line.product_id, (0, 0))
                if trace is not Trace.CART_REMOVED:
                    content[line.product_id] = (pieces + line.quantity, line.price_minor or price)
                elif pieces > line.quantity:
                    content[line.product_id] = (pieces - line.quantity, price)
        changed = [at for at, _, trace, _ in self.entries if at <= now and trace >= Trace.CART_ADDED]
        worth = sum(pieces * price for pieces, price in content.values())
        return sum(pieces for pieces, _ in content.values()), worth, changed[-1] if changed else 0


lines_of_some = st.lists(
    st.builds(Line, st.sampled_from(["tea", "cup", "pot"]), st.integers(1, 3), st.sampled_from([0, 100, 250])),
    max_size=3,
).map(tuple)
messages_of_some = st.tuples(
    st.integers(0, 45 * 24).map(lambda hours: START + hours * 3_600_000),
    st.integers(0, 60).map(lambda number: digest64(f"m{number}")),
    st.sampled_from(list(Trace)),
    lines_of_some,
)


@given(st.lists(messages_of_some, max_size=70), st.integers(0, 45 * 24))
def test_the_packed_log_is_a_sorted_list(arriving: list[Any], hours: int) -> None:
    """Whatever comes in whatever order, also much more than fits: answers, views and carts are those of a plain list."""
    log, plain = MessageLog(), PlainLog()
    for at, message, trace, lines in arriving:
        if trace in (Trace.CART_ADDED, Trace.CART_REMOVED, Trace.VIEWED):
            lines = lines[:1] or (TEA,)  # noqa: PLW2901 - these have one line
        elif trace is Trace.NONE:
            lines = ()  # noqa: PLW2901
        seen = log.look_up(message, 7, at, 30)

        assert plain.look_up(at, message) is seen
        if seen is not Seen.NEW:
            continue
        product = product_code(lines[0].product_id) if trace is Trace.VIEWED else 0
        log.add(message, 7, at, int(trace), product, () if trace is Trace.VIEWED else lines, 30, MOST)
        plain.add((at, message, trace, lines))
        assert [plain.products(most) for most in (2, 99)] == [list(basket_codes(log.baskets, m)) for m in (2, 99)]
        for now in (START + hours * 3_600_000, plain.entries[-1][0]):
            cart = log.cart(now)
            assert plain.views(now) == log.views(now)
            assert [plain.views_of(p, now) for p in ("tea", "cup", "pot")] == [
                log.views_of(p, now) for p in ("tea", "cup", "pot")
            ]
            assert plain.cart(now) == (cart.items, cart.value_minor, cart.changed_ms)
