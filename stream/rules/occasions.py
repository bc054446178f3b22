"""When calendars and complaints make a rule due for a customer: days of the customer's own, festivals, months, open complaints.

An anchor's silence ends once; a calendar comes round again and again. So what is due next is the first occurrence after an
instant up to which everything has been decided (`decided_until_ms`), and never one from before the customer was known or from
imported history. Days are the customer's own: a time of day on their clock, or on the shop's while their zone isn't known.

Everybody has birthdays and Christmas. What keeps the work small is that an occurrence at which the rule's condition can't hold
is not waited for: how long ago the last purchase may be, and what is said of the person, are known beforehand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from stream.config import Settings
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS
from stream.rules.condition import ConditionError
from stream.rules.festivals import FIRST_YEAR, LAST_YEAR, days_of
from stream.rules.rule import Calendar, Every, OnDate, OnFestival, Rule, RuleSet, Since, spread_default
from stream.rules.vocabulary import OF_TRAITS
from stream.state.person import Person
from stream.state.profile import NEVER_DAYS
from stream.state.traits import Traits, birthday, day_named
from stream.zones import instant_ms, local, zone

NEVER_MS = 1 << 62
"""Stands for "never" where the earliest of several instants is wanted."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MIDNIGHT = datetime(1970, 1, 1)  # noqa: DTZ001  a wall clock's, wherever it hangs
_RECENCY = "customer.recency_days"
_YEAR_MS = 31_556_952_000
"""The Gregorian calendar's mean year."""
_UNSURE_MS = 4 * DAY_MS
"""How far an anniversary may lie from so many mean years, and its hour from the first one's. Less would miss some in leap years."""
_LAST_YEAR = 9_990
"""No day after it is named: a calendar ends with the year 9999."""

_Fired = Mapping[str, tuple[str, int]]
_Table = tuple[list[int], list[tuple[str, int]]]
"""Instants, ascending; and beside each the occurrence's name and the number of its rule."""
_Found = tuple[int, str, str]
"""Due instant, rule id and name of an occurrence."""
_ZONE_MS = 15 * 3_600_000
"""No clock on Earth is farther from UTC than this. Less: somebody's midnight is overlooked."""
_BLOCK_DAYS = 128
"""Days that a table covers. More: the first customer of a zone waits longer for it; fewer: more tables are looked into."""
Days = Iterator[tuple[int, str]]
"""Days since 1970 with the names of what occurs on them, ascending."""


class Due(msgspec.Struct, frozen=True, order=True, gc=False):
    """A timer of one rule for one customer; ordered by (due, rule) as SEMANTICS orders what is due together."""

    due_ms: int
    rule_id: str
    occurrence: str


class Fired(Protocol):
    """What the schedule needs of the decisions about a customer; see `stream.state.memory.Memory`."""

    @property
    def fired(self) -> dict[str, tuple[str, int]]:
        """Timer rule id → (last occurrence decided, when it was due)."""

    @property
    def history_until_ms(self) -> int:
        """Up to when timers never fire."""


class Known(Traits):
    """What occasions hang on, of one customer. Instants are 0 when there is none."""

    __slots__ = ("_shop_zone", "_zone", "created_ms", "customer_hash", "customer_id", "first_ms", "last_ms", "person")

    def __init__(
        self,
        customer_id: str,
        customer_hash: int,
        person: Person,
        first_ms: int | None,
        last_ms: int | None,
        shop_zone: ZoneInfo,
    ) -> None:
        self.customer_id = customer_id
        self.customer_hash = customer_hash
        self.person = person
        self.created_ms = person.created_ms
        self.first_ms = first_ms or 0
        self.last_ms = last_ms or 0
        self._shop_zone = shop_zone
        self._zone: ZoneInfo | None = None

    @property
    def zone(self) -> ZoneInfo:
        """Whose clock counts: the customer's, or the shop's."""
        if self._zone is None:
            self._zone = zone(self.person.trait("timezone")) or self._shop_zone
        return self._zone

    def day_of(self, at_ms: int) -> date:
        """The day that an instant falls on there."""
        return local(at_ms, self.zone).date()


def decided_until_ms(rest_due_ms: int, next_due_ms: int, as_of_ms: int) -> int:
    """Up to when everything about a customer has been decided, by when something was due next (without the cart's; −1: not
    known) and when something was due at all.

    What has been due for a while waits for a worker that was away: nothing from then on has been looked at.

    >>> decided_until_ms(50, 20, 30), decided_until_ms(-1, 20, 30), decided_until_ms(0, 0, 30)
    (30, 19, 30)
    """
    waiting_ms = next_due_ms if rest_due_ms < 0 else rest_due_ms
    return waiting_ms - 1 if 0 < waiting_ms <= as_of_ms else as_of_ms


class _Occasion:
    """One rule that a calendar triggers."""

    __slots__ = (
        "_hash", "_live_ms", "_may_hold", "_since_first", "_spread_ms", "before", "dates", "id", "least", "minute", "most", "trait"
    )  # fmt: skip

    def __init__(self, rule: Rule, trigger: Calendar, settings: Settings, live_ms: int) -> None:
        self.id = rule.id
        self._live_ms = live_ms
        self._hash = hash64(rule.id)
        self._spread_ms = spread_default(trigger, settings.timer_spread_ms)
        self.before = 0 if isinstance(trigger, Every) else trigger.before_days
        self.minute = trigger.minute
        self.dates = _DATES[trigger.date] if isinstance(trigger, OnDate) else None
        self.trait = _TRAIT_OF.get(trigger.date, "") if isinstance(trigger, OnDate) else ""
        """The trait without which there is no such date; empty: it hangs on no trait."""
        self._since_first = isinstance(trigger, OnDate) and trigger.date == "first_purchase_anniversary"
        condition = rule.condition
        self.least = condition.at_least.get(_RECENCY, 0)
        self.most = condition.at_most.get(_RECENCY, NEVER_DAYS)
        """Days since the last purchase between which the condition may hold."""
        self._may_hold = condition.part(OF_TRAITS)

    def _soonest_ms(self, known: Known, at_ms: int) -> int:
        """No occurrence after an instant is due sooner: told with little work."""
        if self.trait:
            return at_ms
        since_ms = known.first_ms if self._since_first else known.created_ms
        if not since_ms:
            return NEVER_MS
        # Of so many years after it, and of so many days that zones, leap years and `before` may make of it.
        years = max(1, -(-(at_ms - since_ms - _UNSURE_MS) // _YEAR_MS))
        return since_ms + years * _YEAR_MS - _UNSURE_MS - self.before * DAY_MS

    def own_ms(self, known: Known) -> int:
        """The customer's share of the spread."""
        return (known.customer_hash ^ self._hash) % self._spread_ms if self._spread_ms else 0

    def latest_ms(self, known: Known) -> int:
        """From when on the condition can't hold any more, as things are; 0: it never can."""
        if self._may_hold is not None:
            try:
                if not self._may_hold(known, None, None):
                    return 0
            except ConditionError:
                pass  # the whole condition is asked then, and tells
        if self.most >= NEVER_DAYS:
            return NEVER_MS
        return (known.last_ms // DAY_MS + self.most + 1) * DAY_MS if known.last_ms else 0

    def earliest_ms(self, known: Known) -> int:
        """From when on the condition may hold."""
        return (known.last_ms // DAY_MS + self.least) * DAY_MS if self.least and known.last_ms else 0

    def is_decided(self, due_ms: int, name: str, known: Known, fired: _Fired) -> bool:
        """Whether an occurrence, or one after it, has been decided; or the rule was not in use, or can't hold there yet."""
        done = fired.get(self.id)
        if done is not None and (due_ms <= done[1] or name == done[0]):
            return True
        return due_ms < self._live_ms or due_ms < self.earliest_ms(known)

    def first_after(self, at_ms: int, known: Known, fired: _Fired, before_ms: int) -> tuple[int, str] | None:
        """Of a date of the customer's own, whose ``trait`` is known: the first occurrence after an instant and before another, that
        may hold."""
        if self.dates is None or self._soonest_ms(known, at_ms) >= before_ms:
            return None  # most
        latest_ms = min(before_ms, self.latest_ms(known))
        if latest_ms <= at_ms:
            return None
        own_ms = self.own_ms(known)
        # A day ahead, because somewhere it is a day later already.
        first = (at_ms - own_ms) // DAY_MS - 1 + self.before
        for day, name in self.dates(known, first):
            due_ms = _instant(known.zone, day - self.before, self.minute) + own_ms
            if due_ms >= latest_ms:
                return None
            if due_ms > at_ms and not self.is_decided(due_ms, name, known, fired):
                return due_ms, name
        return None


class _Complaint:
    """One rule that counts from complaints."""

    __slots__ = ("_after_ms", "_hash", "_live_ms", "_spread_ms", "id")

    def __init__(self, rule: Rule, trigger: Since, settings: Settings, live_ms: int) -> None:
        self.id = rule.id
        self._live_ms = live_ms
        self._hash = hash64(rule.id)
        self._spread_ms = spread_default(trigger, settings.timer_spread_ms)
        self._after_ms = trigger.after_ms

    def all(self, opened: Sequence[int], known: Known, done: tuple[str, int] | None) -> list[tuple[int, str]]:
        """Due instant and name of every complaint that is open and not decided, ascending."""
        own_ms = (known.customer_hash ^ self._hash) % self._spread_ms if self._spread_ms else 0
        found = []
        for opened_ms in opened:
            due_ms, name = opened_ms + self._after_ms + own_ms, complaint_name(opened_ms)
            if due_ms >= self._live_ms and (done is None or (due_ms > done[1] and name != done[0])):
                found.append((due_ms, name))
        return found


class Occasions:
    """The rules of a set that calendars and complaints trigger."""

    def __init__(self, rules: RuleSet, settings: Settings) -> None:
        shop_zone = zone(settings.time_zone)
        assert shop_zone is not None, "settings are checked"
        self.shop_zone = shop_zone
        self._dates: list[_Occasion] = []
        self._complaints: list[_Complaint] = []
        self._everybodys: list[_Occasion] = []
        named: list[tuple[int, str, int]] = []
        for rule in rules.rules:
            trigger, live_ms = rule.trigger, rules.live_from_ms.get(rule.id, 0)
            if isinstance(trigger, OnDate):
                self._dates.append(_Occasion(rule, trigger, settings, live_ms))
            elif isinstance(trigger, OnFestival | Every):
                named += [(day, name, len(self._everybodys)) for day, name in _days_of_everybody(trigger)]
                self._everybodys.append(_Occasion(rule, trigger, settings, live_ms))
            elif isinstance(trigger, Since) and trigger.anchor == "complaint_opened":
                self._complaints.append(_Complaint(rule, trigger, settings, live_ms))
        self._named: dict[int, list[tuple[int, str, int]]] = {}
        """What occurs on the days of a block: day that rules ask on, name, number of the rule."""
        for day, name, number in named:
            asked = day - self._everybodys[number].before
            self._named.setdefault(asked // _BLOCK_DAYS, []).append((asked, name, number))
        self._blocks = max(self._named, default=-1) + 1
        self._soonest = sorted(
            (day - self._everybodys[number].before) * DAY_MS + self._everybodys[number].minute * 60_000 - _ZONE_MS
            for day, _, number in named
        )
        """When each of these is due where clocks are farthest ahead, ascending."""
        self._tables: dict[tuple[ZoneInfo, int], _Table] = {}
        self._most_spread_ms = settings.timer_spread_ms
        for rule in rules.rules:
            if isinstance(rule.trigger, OnFestival | Every):
                self._most_spread_ms = max(self._most_spread_ms, rule.trigger.spread_ms or 0)
        self.by_traits = bool(self._dates or self._everybodys)
        """What is said of a person may move something."""
        self.by_complaints = bool(self._complaints)
        """So may a complaint."""
        self.any = self.by_traits or self.by_complaints

    def next_ms(self, known: Known, memory: Fired, decided_ms: int, before_ms: int = NEVER_MS) -> int:
        """When the earliest occurrence that is still to be decided is due, if before an instant; else that instant."""
        return self._first(known, memory.fired, memory.history_until_ms, decided_ms, before_ms)[0]

    def due(
        self, known: Known, memory: Fired, decided_ms: int, until_ms: int, before_ms: int = NEVER_MS
    ) -> tuple[list[Due], int]:
        """Every occurrence that is still to be decided and due by an instant; and when the next one after these is due, if before
        another, later one; else that one."""
        fired: _Fired = memory.fired
        dues: list[Due] = []
        while True:
            due_ms, rule_id, name = self._first(known, fired, memory.history_until_ms, decided_ms, before_ms)
            if due_ms > until_ms:
                return dues, due_ms
            dues.append(Due(due_ms, rule_id, name))
            fired = {**fired, rule_id: (name, due_ms)}

    def _first(
        self, known: Known, fired: _Fired, history_ms: int, decided_ms: int, before_ms: int = NEVER_MS
    ) -> _Found:
        """Due instant, rule id and name of the earliest occurrence that is still to be decided and due before an instant."""
        after_ms = max(decided_ms, known.created_ms, history_ms)
        best = (before_ms, "", "")
        if self._everybodys and self._may_be_between(after_ms, before_ms):
            best = self._first_of_everybody(known, fired, after_ms, best)
        if self._dates:
            traits = known.person.traits
            for occasion in self._dates:
                if occasion.trait and occasion.trait not in traits:
                    continue  # most
                found = occasion.first_after(after_ms, known, fired, best[0])
                if found is not None:
                    best = found[0], occasion.id, found[1]
        opened = known.person.open_complaints() if self._complaints else ()
        if opened:
            for complaint in self._complaints:
                for due_ms, name in complaint.all(opened, known, fired.get(complaint.id)):
                    if history_ms < due_ms < best[0]:
                        best = due_ms, complaint.id, name
        return best

    def _may_be_between(self, after_ms: int, before_ms: int) -> bool:
        """Whether a festival or a month may be due between two instants for anybody, wherever they live."""
        soonest = self._soonest
        at = bisect_right(soonest, after_ms - self._most_spread_ms - 2 * _ZONE_MS)
        return at < len(soonest) and soonest[at] < before_ms

    def _first_of_everybody(self, known: Known, fired: _Fired, after_ms: int, best: _Found) -> _Found:
        """The same of festivals and months. All rules have one table, because the next day in it mostly is the answer."""
        where = known.zone
        latest: dict[int, int] = {}
        waiting = len(self._everybodys)
        # A day earlier, because somewhere it is a day later already.
        for block in range(((after_ms - self._most_spread_ms) // DAY_MS - 1) // _BLOCK_DAYS, self._blocks):
            instants, names = self._tables.get((where, block)) or self._table(where, block)
            for at in range(bisect_right(instants, after_ms - self._most_spread_ms), len(instants)):
                at_ms = instants[at]
                if at_ms >= best[0]:
                    return best
                name, number = names[at]
                occasion = self._everybodys[number]
                due_ms = at_ms + occasion.own_ms(known)
                latest_ms = latest.get(number)
                if latest_ms is None:
                    latest_ms = latest[number] = occasion.latest_ms(known)
                if due_ms >= latest_ms:
                    if latest_ms >= 0:
                        latest[number] = -1
                        waiting -= 1
                        if not waiting:
                            return best
                elif after_ms < due_ms < best[0] and not occasion.is_decided(due_ms, name, known, fired):
                    best = due_ms, occasion.id, name
        return best

    def _table(self, where: ZoneInfo, block: int) -> _Table:
        rows = sorted(
            (_at(where, day, self._everybodys[number].minute), number, name)
            for day, name, number in self._named.get(block, ())
        )
        table = self._tables[where, block] = [row[0] for row in rows], [(row[2], row[1]) for row in rows]
        return table


def complaint_name(opened_ms: int) -> str:
    """What an open complaint is named by in occurrences."""
    return f"complaint-{opened_ms}"


def _at(where: ZoneInfo, day: int, minute: int) -> int:
    return instant_ms((_MIDNIGHT + timedelta(days=day, minutes=minute)).replace(tzinfo=where))


_instant = lru_cache(maxsize=16_384)(_at)


# -- which days


def _days_of_everybody(trigger: OnFestival | Every) -> list[tuple[int, str]]:
    if isinstance(trigger, OnFestival):
        return sorted((day, f"{name}-{_year_of(day)}") for name in trigger.festivals for day in days_of(name))
    return [
        (date(year, month, trigger.day).toordinal() - _EPOCH_DAY, f"{year}-{month:02}")
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
        for month in range(1, 13, 1 if trigger.period == "month" else 3)
    ]


_MOST_LOOKED_AT = 6
"""Years that are looked at: those already decided, those before the instant in their zone."""


def _yearly(what: str, month: int, day: int, first: int, since_year: int = 0) -> Days:
    year = _year_of(first)
    for of_year in range(max(year, since_year), max(year, since_year) + _MOST_LOOKED_AT):
        leap = of_year % 4 == 0 and (of_year % 100 != 0 or of_year % 400 == 0)
        in_year = 28 if (month, day) == (2, 29) and not leap else day
        named = date(of_year, month, in_year).toordinal() - _EPOCH_DAY
        if named >= first:
            yield named, f"{what}-{of_year}"


def _birthday(known: Known, first: int) -> Days:
    born = birthday(known.person.trait("birthday"))
    return iter(()) if born is None else _yearly("birthday", born.month, born.day, first)


def _anniversary(since_ms: int, known: Known, first: int) -> Days:
    if not since_ms:
        return iter(())
    began = known.day_of(since_ms)
    return _yearly("anniversary", began.month, began.day, first, began.year + 1)


def _membership(known: Known, first: int) -> Days:
    day = day_named(known.person.trait("membership_expires"))
    if day is None or day < first or _year_of(day) > _LAST_YEAR:
        return iter(())
    return iter(((day, f"membership-{date.fromordinal(day + _EPOCH_DAY)}"),))


def _year_of(day: int) -> int:
    return date.fromordinal(day + _EPOCH_DAY).year


_TRAIT_OF = {"birthday": "birthday", "membership_expiry": "membership_expires"}
"""Date → the trait that says it, where one does."""
_DATES: dict[str, Callable[[Known, int], Days]] = {
    "birthday": _birthday,
    "first_purchase_anniversary": lambda known, first: _anniversary(known.first_ms, known, first),
    "profile_created_anniversary": lambda known, first: _anniversary(known.created_ms, known, first),
    "membership_expiry": _membership,
}
