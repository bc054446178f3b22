"""One look at one buyer, and sums of looks that can be merged in any order.

Every buyer is looked at once a period on a midnight of their own, by the calendar of churn snapshots, which visits them anyway: so the
looks of one period together are a count of all buyers, each once, and nothing is paid per event. A look is a function of what is
remembered of the customer and of its midnight: late orders and refunds are in it, the order of arrival isn't.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import msgspec

from stream.churn.calendar import period_ms
from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.events.money import EXPONENT_OF
from stream.segments.tiers import LOST, LOST_DAYS, tier_of
from stream.state.customer import Customer
from stream.state.figures import MOST_SUM_MINOR
from stream.state.person import Person
from stream.state.purchases import Purchases

_EVER_MS = 1 << 60


class Counts(msgspec.Struct, array_like=True, gc=False):
    """Looks that add up. ``then`` is a horizon before the look; a customer is silent who hasn't bought for a horizon."""

    buyers: int = 0
    """Looked at: bought before the look, and not given up by the calendar yet."""
    again: int = 0
    """Of them, with at least two orders that count, ever."""
    active: int = 0
    """Weren't silent then."""
    retained: int = 0
    """Of them, bought since."""
    silent: int = 0
    """Were customers, and silent then."""
    recalled: int = 0
    """Of them, bought since."""
    written: int = 0
    """Of the silent, who were sent an action since and before they bought."""
    written_recalled: int = 0
    """Of these, bought since."""
    shopping: int = 0
    """Bought since then."""
    engaged: int = 0
    """Of them, who answered a message, or gave feedback, since then."""
    new: int = 0
    """Bought for the first time since the look before."""
    referred: int = 0
    """Of them, whom somebody brought."""
    lifetime_minor: int = 0
    """All orders of the buyers, ever."""
    before: int = 0
    """Were in the tier a period ago (not only now)."""
    spent_minor: int = 0
    """What those have spent in that period."""
    valued: int = 0
    """Of the buyers, those of whom it was known what they are worth in the year after the look."""
    ahead_minor: int = 0
    """That, of all of them."""

    def add(self, other: Counts) -> None:
        """Adds the looks of others."""
        for name in _FIELDS:
            setattr(self, name, min(MOST_SUM_MINOR, getattr(self, name) + getattr(other, name)))


_FIELDS = tuple(Counts.__struct_fields__)


class At(NamedTuple):
    """Which looks are counted together."""

    day: int
    """UTC day whose beginning is the look."""
    tier: str


class Look(msgspec.Struct, array_like=True, gc=False):
    """Counts with what they are of."""

    at: At
    counts: Counts


Looks = dict[At, Counts]


def add_to(looks: Looks, at: At, counts: Counts) -> None:
    """Adds to the counts of a day and tier."""
    _of(looks, at).add(counts)


def _of(looks: Looks, at: At) -> Counts:
    known = looks.get(at)
    if known is None:
        looks[at] = known = Counts()
    return known


def listed(looks: Looks) -> list[Look]:
    """As they travel: ascending, so that the same looks are the same bytes."""
    return [Look(at, looks[at]) for at in sorted(looks)]


class Looking:
    """Looks at customers under one shop's settings."""

    def __init__(self, settings: Settings) -> None:
        self.period_days = period_ms(settings.churn_horizon_days) // DAY_MS
        # Two horizons back, every order has to be remembered still.
        self.horizon_days = max(1, min(settings.churn_horizon_days, (settings.memory_days - self.period_days) // 2))
        self._major = 10 ** EXPONENT_OF.get(settings.currency, 2)
        self.looks: Looks = {}
        """Not contributed yet."""

    def look(self, customer: Customer, purchases: Purchases, at_ms: int, ahead_minor: int | None = None) -> None:
        """Counts a customer as of a midnight UTC; what is dated later isn't looked at. ``ahead_minor``: what they are expected to be
        worth in the year to come."""
        first_ms, last_ms = purchases.first_ms, purchases.last_ms
        if first_ms is None or last_ms is None or first_ms >= at_ms:
            return
        day, book, looks = at_ms // DAY_MS, customer.orders, self.looks
        then, ago, first_day = day - self.horizon_days, day - self.period_days, first_ms // DAY_MS
        frequency, minor = purchases.lifetime.frequency, purchases.lifetime.monetary_minor
        if last_ms >= at_ms:
            later = book.after(at_ms - 1, _EVER_MS)
            frequency, minor = frequency - later.frequency, max(0, minor - later.monetary_minor)
        last_day = _last_before(purchases, day)
        bought = last_day >= then
        counts = _of(looks, At(day, self._tier(purchases, customer, day, last_day)))
        counts.buyers += 1
        counts.again += frequency > 1
        counts.lifetime_minor = min(MOST_SUM_MINOR, counts.lifetime_minor + minor)
        if ahead_minor is not None:
            counts.valued += 1
            counts.ahead_minor = min(MOST_SUM_MINOR, counts.ahead_minor + ahead_minor)
        if first_day < then:
            if purchases.days_between(then - self.horizon_days, then):
                counts.active += 1
                counts.retained += bought
            else:
                counts.silent += 1
                counts.recalled += bought
                if _was_written_to(customer, then, at_ms):
                    counts.written += 1
                    counts.written_recalled += bought
        if bought:
            counts.shopping += 1
            counts.engaged += _is_engaged(customer.person, then * DAY_MS)
        if first_day >= ago:
            counts.new += 1
            counts.referred += bool(customer.person.trait("referred_by"))
            return
        counts = _of(looks, At(day, self._tier(purchases, customer, ago, _last_before(purchases, ago))))
        counts.before += 1
        if last_day >= ago:
            spent_minor = book.window(day - 1, self.period_days).monetary_minor
            counts.spent_minor = min(MOST_SUM_MINOR, counts.spent_minor + spent_minor)

    def _tier(self, purchases: Purchases, customer: Customer, day: int, last_day: int) -> str:
        """At the beginning of a UTC day."""
        if day - last_day >= LOST_DAYS:
            return LOST
        year = customer.orders.window(day - 1, 364)
        return tier_of(day - last_day, year.frequency, year.monetary_minor / self._major)


def _last_before(purchases: Purchases, day: int) -> int:
    """The last UTC day before another on which the customer bought; there is one, but it may be forgotten: then the first ever."""
    last_day = (purchases.last_ms or 0) // DAY_MS
    if last_day < day:
        return last_day
    days = purchases.days
    at = bisect_left(days, day)
    return days[at - 1] if at else (purchases.first_ms or 0) // DAY_MS


def _was_written_to(customer: Customer, then: int, at_ms: int) -> bool:
    """Whether somebody was sent something while silent. Who has bought since is silent again a horizon later at the earliest."""
    plans = customer.memory.plans
    return plans is not None and then * DAY_MS <= plans.written_ms < at_ms


def _is_engaged(person: Person, since_ms: int) -> bool:
    voice = person.voice
    if voice is None:
        return False
    if voice.engaged_ms >= since_ms:
        return True
    return any(answers and answers[-1].time_ms >= since_ms for answers in (voice.nps, voice.csat, voice.ratings))
