"""Where, when and for what a customer comes: channels, hour, categories, price band; read off what is remembered anyway.

Orders say it for 365 days (`stream.state.notes`), other visits for the 30 days of the log of messages, answers to messages for
ever. Everything is the same for any order of arrival, because what it is read off is. Source: MISSION B5, B6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

from stream.events.instants import DAY_MS
from stream.state.customer import Customer
from stream.state.lazy import lazy
from stream.state.messages import Trace
from stream.state.notes import CHANNELS, Note
from stream.state.orders import OrderBook
from stream.zones import local, zone

HOUR_MS = 3_600_000
LEAST_VISITS = 3
"""Visits before there is a preferred hour. Fewer: a single late evening is a habit; more: few customers have one."""
SHOP_ZONE = "UTC"
YEAR_DAYS = 365


class Interests:
    """The figures of whoever has a `Customer`, the day and the instant that it is looked at."""

    customer: Customer
    day: int
    as_of_ms: int
    shop_zone: str = SHOP_ZONE
    """IANA name of the zone for customers whose own isn't known."""
    category_name: Callable[[int], str] = staticmethod(lambda code: "")
    """What a category's code stands for, empty when nobody has told yet; set by whoever knows."""

    @lazy
    def noted_365d(self) -> list[Note]:
        """Notes of the orders of the last 365 days that count."""
        return self.customer.orders.noted(self.day - YEAR_DAYS + 1, self.day)

    @property
    def discount_share_365d(self) -> float:
        """Share of the orders of the last 365 days that were bought on discount or with a coupon; 0.0 without an order."""
        notes = self.noted_365d
        return sum([note.discounted for note in notes]) / len(notes) if notes else 0.0

    @property
    def buys_on(self) -> str:
        """The channel of most orders of the last 365 days, empty when none is told."""
        return _most(note.channel for note in self.noted_365d)

    @property
    def browses_on(self) -> str:
        """The channel of most other visits of the last 30 days, empty when none is told."""
        return _most(CHANNELS[channel] for _, channel, trace in self._visits if trace != Trace.BOUGHT)

    @property
    def answers_on(self) -> str:
        """The channel on which most messages were opened, clicked or followed, empty when none was."""
        voice = self.customer.person.voice
        answers = {} if voice is None else {channel: each[2] for channel, each in voice.reach.items() if each[2]}
        return max(answers, key=lambda channel: (answers[channel], channel), default="")

    @property
    def preferred_hour(self) -> int:
        """The hour of the customer's own clock at which they come most, with the hours beside it; −1 before `LEAST_VISITS` visits.

        Orders of the last 365 days, and views and carts of the last 30; of an hour's visits each counts once.
        """
        times = {time_ms // HOUR_MS for time_ms, _, trace in self._visits if trace}
        book = self.customer.orders
        times.update(time_ms // HOUR_MS for time_ms in _times(book, self.day))
        if len(times) < LEAST_VISITS:
            return -1
        own = self.customer.person.trait("timezone")
        where = own if own and zone(own) is not None else self.shop_zone
        hours = Counter((hour + _ahead_ms(hour // 24, where) // HOUR_MS) % 24 for hour in times)
        around = {hour: 2 * hours[hour] + hours[(hour - 1) % 24] + hours[(hour + 1) % 24] for hour in hours}
        return max(around, key=lambda hour: (around[hour], -hour))

    @property
    def favourite_categories(self) -> list[str]:
        """The first categories of most orders of the last 365 days, at most three, the most frequent first."""
        codes = Counter(note.category for note in self.noted_365d if note.category)
        ranked = sorted(codes, key=lambda code: (-codes[code], code))[:3]
        return [name for name in map(self.category_name, ranked) if name]

    @property
    def favourite_category(self) -> str:
        """The first of them, empty when there is none or its name isn't known yet."""
        return next(iter(self.favourite_categories), "")

    @lazy
    def price_band(self) -> tuple[int, int]:
        """Own price band: between which worths, minor units, the middle half of the orders of the last 365 days lies; (0, 0) without."""
        worths = sorted(_worths(self.customer.orders, self.day))
        if not worths:
            return 0, 0
        return worths[(len(worths) - 1) // 4], worths[-1 - (len(worths) - 1) // 4]

    @property
    def order_low_minor(self) -> int:
        """Lower end of the price band."""
        return self.price_band[0]

    @property
    def order_high_minor(self) -> int:
        """Upper end of the price band."""
        return self.price_band[1]

    @lazy
    def _visits(self) -> list[tuple[int, int, int]]:
        return self.customer.messages.visits(self.as_of_ms)


def _most(names: Iterable[str]) -> str:
    """The most frequent of names; of equals the first in the alphabet.

    >>> _most(["web", "app", "", "", "", "web", "app"]), _most([])
    ('app', '')
    """
    counts = Counter(filter(None, names))
    return min(counts, key=lambda name: (-counts[name], name), default="")


@lru_cache(maxsize=65_536)
def _ahead_ms(day: int, where: str) -> int:
    """How far the clocks of a zone are ahead of UTC at noon of a UTC day."""
    known = zone(where)
    assert known is not None, "asked before"
    ahead = local(day * DAY_MS + DAY_MS // 2, known).utcoffset()
    return 0 if ahead is None else int(ahead.total_seconds() * 1000)


def _rows(book: OrderBook, day: int) -> list[tuple[int, int]]:
    since_ms, until_ms = (day - YEAR_DAYS + 1) * DAY_MS, (day + 1) * DAY_MS
    return [(at, net) for at, net in zip(*book.columns(), strict=True) if net and since_ms <= at < until_ms]


def _times(book: OrderBook, day: int) -> list[int]:
    return [at for at, _ in _rows(book, day)]


def _worths(book: OrderBook, day: int) -> list[int]:
    return [net for _, net in _rows(book, day)]
