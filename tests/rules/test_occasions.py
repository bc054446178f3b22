"""Calendars and complaints: due when they are, once each, whatever happens to the worker meanwhile."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.config import Settings, make_settings
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.events.record import BACKFILL_HEADER, Record
from stream.processor import Partition
from stream.rules.loader import parse_rules
from stream.rules.occasions import NEVER_MS, Known, Occasions, decided_until_ms
from stream.rules.rule import RuleSet
from stream.state.memory import Memory
from stream.state.person import Person
from stream.testing import Shop, message
from stream.zones import instant_ms, zone

START = parse_ms("2026-03-01T00:00:00Z")
AT_ONCE = make_settings(timer_spread_ms=0)


def rules_of(*whens: str, condition: str = "") -> RuleSet:
    """Rules of which each does no more than to be asked."""
    texts = {}
    for number, when in enumerate(whens):
        texts[f"r{number}.yaml"] = (
            f"id: r{number}\nversion: 1\ndescription: A test.\nwhen: {{{when}}}\n"
            + (f"if: {condition}\n" if condition else "")
            + "then: {action: care, channel: none, template: t}\nexpires_after: 1d\ncap: false\n"
        )
    return parse_rules(texts)


def known(traits: dict[str, str], created_ms: int = 1, first_ms: int = 0, last_ms: int = 0) -> Known:
    """Somebody of whom this is said."""
    person = Person(created_ms=created_ms)
    for name, value in traits.items():
        person.set_trait(name, 1, value)
    utc = zone("UTC")
    assert utc is not None
    return Known("ann", hash64("ann"), person, first_ms, last_ms, utc)


def first(rules: RuleSet, who: Known, after: str, settings: Settings = AT_ONCE) -> str:
    """When something is due next."""
    due_ms = Occasions(rules, settings).next_ms(who, Memory(), parse_ms(after))
    return "never" if due_ms == NEVER_MS else to_text(due_ms)


@pytest.mark.parametrize(
    ("when", "traits", "after", "due"),
    [
        ("date: birthday", {"birthday": "1990-05-17"}, "2026-05-17T09:59:59.999Z", "2026-05-17T10:00:00Z"),
        ("date: birthday", {"birthday": "1990-05-17"}, "2026-05-17T10:00:00Z", "2027-05-17T10:00:00Z"),
        ("date: birthday", {"birthday": "soon"}, "2026-05-17T10:00:00Z", "never"),
        # New York keeps summer time from March 8 on, Berlin from March 29 on; Kiritimati is a day ahead of Honolulu.
        ("date: birthday", {"birthday": "03-07", "timezone": "America/New_York"}, "2026-03-01T00:00:00Z", "2026-03-07T15:00:00Z"),
        ("date: birthday", {"birthday": "03-08", "timezone": "America/New_York"}, "2026-03-01T00:00:00Z", "2026-03-08T14:00:00Z"),
        ("date: birthday", {"birthday": "05-17", "timezone": "Pacific/Kiritimati"}, "2026-03-01T00:00:00Z", "2026-05-16T20:00:00Z"),
        ("date: birthday", {"birthday": "05-17", "timezone": "Pacific/Honolulu"}, "2026-05-17T19:59:59Z", "2026-05-17T20:00:00Z"),
        # A time that the clocks leave out, and one that they show twice.
        ("date: birthday, at: 02:30", {"birthday": "03-29", "timezone": "Europe/Berlin"}, "2026-03-01T00:00:00Z", "2026-03-29T01:30:00Z"),
        ("date: birthday, at: 02:30", {"birthday": "10-25", "timezone": "Europe/Berlin"}, "2026-03-01T00:00:00Z", "2026-10-25T00:30:00Z"),
        ("date: birthday, before: 3d", {"birthday": "01-02"}, "2026-03-01T00:00:00Z", "2026-12-30T10:00:00Z"),
        ("date: birthday, before: 3d", {"birthday": "02-29"}, "2028-01-01T00:00:00Z", "2028-02-26T10:00:00Z"),
        ("date: birthday", {"birthday": "02-29"}, "2096-03-01T00:00:00Z", "2097-02-28T10:00:00Z"),
        ("date: membership_expiry, before: 30d", {"membership_expires": "2026-12-31"}, "2026-03-01T00:00:00Z", "2026-12-01T10:00:00Z"),
        ("date: membership_expiry", {"membership_expires": "9999-12-31"}, "2026-03-01T00:00:00Z", "never"),
        ("festival: spring-festival, before: 7d", {"timezone": "Asia/Shanghai"}, "2026-03-01T00:00:00Z", "2027-01-30T02:00:00Z"),
        ("festival: [christmas, new-year]", {}, "2026-12-25T10:00:00Z", "2027-01-01T10:00:00Z"),
        ("festival: christmas", {}, "2099-12-25T10:00:00Z", "never"),
        ("every: month, day: 28", {}, "2026-02-28T10:00:00Z", "2026-03-28T10:00:00Z"),
        ("every: quarter", {"timezone": "Europe/Berlin"}, "2026-03-01T00:00:00Z", "2026-04-01T08:00:00Z"),
    ],
)  # fmt: skip
def test_what_is_due_next(when: str, traits: dict[str, str], after: str, due: str) -> None:
    """On the customer's own calendar and clock."""
    assert due == first(rules_of(when), known(traits), after)


def test_an_anniversary_is_of_the_day_on_the_customer_s_calendar() -> None:
    """Half an hour before midnight in London it is the next day in Shanghai. The first year has none."""
    when = rules_of("date: first_purchase_anniversary")
    bought_ms = parse_ms("2026-02-28T23:30:00Z")

    assert "2027-02-28T10:00:00Z" == first(when, known({}, 1, bought_ms, bought_ms), "2026-02-28T23:30:00Z")
    shanghai = known({"timezone": "Asia/Shanghai"}, 1, bought_ms, bought_ms)
    assert "2027-03-01T02:00:00Z" == first(when, shanghai, "2026-02-28T23:30:00Z")
    assert "never" == first(when, known({}), "2026-02-28T23:30:00Z")


_ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin", "x/y")
_WHENS = (
    "date: birthday", "date: birthday, before: 3d, at: 00:00", "every: month, day: 3", "every: quarter, at: 23:59",
    "festival: [christmas, spring-festival], before: 2d", "date: first_purchase_anniversary",
)  # fmt: skip


@given(
    st.sets(st.sampled_from(_WHENS), min_size=1),
    st.sampled_from(_ZONES),
    st.dates(date(1980, 1, 1), date(2000, 12, 31)),
    st.integers(0, 900 * DAY_MS),
    st.integers(0, 400),
    st.sampled_from(("", "customer.recency_days <= 45", "customer.recency_days > 30 && customer.recency_days < 90")),
    st.sampled_from((0, 3_600_000)),
)
@settings(max_examples=200, deadline=None)
def test_the_next_is_the_first_of_all(
    whens: set[str], where: str, born: date, after_ms: int, silent_days: int, condition: str, spread_ms: int
) -> None:
    """Of a plain list of all days, each kept if the condition's bounds hold there: the table and its short cuts miss none."""
    rules = rules_of(*sorted(whens), condition=condition)
    at_ms = START + after_ms
    last_ms = at_ms - silent_days * DAY_MS
    first_ms = START - 200 * DAY_MS
    who = known({"birthday": born.isoformat(), "timezone": where}, 1, min(first_ms, last_ms), last_ms)
    shop = make_settings(timer_spread_ms=spread_ms)

    expected = NEVER_MS
    for number, when in enumerate(sorted(whens)):
        own_ms = (hash64("ann") ^ hash64(f"r{number}")) % spread_ms if spread_ms else 0
        for day_ms in range(at_ms - 3 * DAY_MS, at_ms + 800 * DAY_MS, DAY_MS):
            day = datetime(1970, 1, 1) + timedelta(milliseconds=day_ms // DAY_MS * DAY_MS)  # noqa: DTZ001
            if not _falls_on(when, day.date(), born, who):
                continue
            before = int(when.partition("before: ")[2][:1] or 0)
            at = when.partition("at: ")[2] or "10:00"
            shown = day - timedelta(days=before) + timedelta(hours=int(at[:2]), minutes=int(at[3:]))
            due_ms = instant_ms(shown.replace(tzinfo=who.zone)) + own_ms
            recency = due_ms // DAY_MS - last_ms // DAY_MS
            holds = {"": True}.get(condition, recency <= 45 if "<= 45" in condition else 30 < recency < 90)
            if due_ms > at_ms and holds:
                expected = min(expected, due_ms)
                break

    found = Occasions(rules, shop).next_ms(who, Memory(), at_ms)
    assert expected == (found if found < at_ms + 790 * DAY_MS else NEVER_MS if expected == NEVER_MS else found)


def _falls_on(when: str, day: date, born: date, who: Known) -> bool:
    if when.startswith("date: birthday"):
        leap_day = (born.month, born.day) == (2, 29)
        is_leap = day.year % 4 == 0
        return (day.month, day.day) == ((2, 28) if leap_day and not is_leap else (born.month, born.day))
    if when.startswith("every: month"):
        return day.day == 3
    if when.startswith("every: quarter"):
        return day.day == 1 and day.month in (1, 4, 7, 10)
    if when.startswith("festival"):
        return (day.month, day.day) == (12, 25) or day.isoformat() in (
            "2026-02-17", "2027-02-06", "2028-01-26", "2029-02-13", "2030-02-03", "2031-01-23",
        )  # fmt: skip
    began = who.day_of(who.first_ms)
    leap_day = (began.month, began.day) == (2, 29) and day.year % 4 != 0
    return day.year > began.year and (day.month, day.day) == ((2, 28) if leap_day else (began.month, began.day))


def test_what_is_said_of_the_person_rules_a_calendar_out() -> None:
    """Whoever does not read Chinese is never woken for the Spring Festival."""
    rules = rules_of("festival: spring-festival", condition='customer.language.startsWith("zh") && customer.bought')

    assert "never" == first(rules, known({"language": "de"}), "2026-03-01T00:00:00Z")
    assert "never" != first(rules, known({"language": "zh"}), "2026-03-01T00:00:00Z")


def test_decided_until_is_what_waits_or_now() -> None:
    """The cart's timer does not count: it may be overdue for reasons of its own."""
    assert [30, 30, 30, 19, 19] == [
        decided_until_ms(NEVER_MS, 20, 30),
        decided_until_ms(0, 20, 30),
        decided_until_ms(31, 20, 30),
        decided_until_ms(20, 20, 30),
        decided_until_ms(-1, 20, 30),
    ]


# -- in a shop


def _told(shop: Shop) -> list[tuple[str, str, str]]:
    """Rule, occurrence and fate of every decision."""
    return [
        (item["rule"]["id"], item["occurrence"], item.get("reason") or "sent")
        for item in shop.take()
        if item["stream"] in ("actions", "suppressions")
    ]


def _introduced(rules: RuleSet, **traits: Any) -> Shop:
    shop = Shop(rules=rules, settings=AT_ONCE)
    shop.send("identify", "ann", START, **traits)
    return shop


def test_a_restart_and_an_aborted_transaction_change_nothing() -> None:
    """The occurrence is decided once, from the committed state."""
    shop = _introduced(rules_of("date: birthday"), birthday="1990-05-17")
    shop.wait_until("2026-05-17T09:00:00Z")
    shop.restart()
    shop.fail_next()
    shop.wait_until("2026-05-17T11:00:00Z")
    shop.restart()
    shop.wait_until("2026-05-20T11:00:00Z")

    assert [("r0", "birthday-2026", "sent")] == _told(shop)


def test_imported_history_has_no_occasions() -> None:
    """Years of birthdays come in with an import, and nobody is congratulated on them; the next one counts."""
    wall = Wall(rules_of("date: birthday", "every: month", "date: profile_created_anniversary"))
    for year in (2020, 2021, 2022, 2023):
        at = f"{year}-06-01T00:00:00Z"
        wall.send("identify", at, now="2026-03-01T12:00:00Z", backfill=True, birthday="1990-03-17")
    wall.tick("2026-03-17T09:59:59Z")
    assert [] == wall.told

    wall.tick("2026-03-17T10:00:00Z")
    assert [("r0", "birthday-2026", "sent")] == wall.told


def test_rules_that_come_later_answer_for_nothing_that_was_before_them() -> None:
    """A new rule is not asked about birthdays and months of the years without it."""
    shop = _introduced(rules_of("date: birthday"), birthday="1990-05-17")
    shop.wait_until("2027-05-18T00:00:00Z")
    shop.take()
    shop.rules = rules_of("date: birthday", "every: month", "festival: christmas", "date: profile_created_anniversary")
    shop.restart()
    shop.send("Session Started", "ann", "2027-05-18T12:00:00Z")
    shop.wait_until("2027-06-02T00:00:00Z")

    assert [("r1", "2027-06", "sent")] == _told(shop)


class Wall:
    """A worker on the wall clock that may be away for a while."""

    def __init__(self, rules: RuleSet) -> None:
        self.store: dict[bytes, bytes] = {}
        self.settings = make_settings(timer_spread_ms=0, clock="wall")
        self.partition = Partition(self.settings, rules, partition=0, partitions=1, store=self.store)
        self.partition.recover(START)
        self.told: list[tuple[str, str, str]] = []
        self.messages = 0

    def sink(self, out: Any) -> None:
        self.store.update(out.changed)
        self.partition.commit()
        for told in out.messages:
            if told.stream.value in ("actions", "suppressions"):
                decision = orjson.loads(told.value)
                self.told.append((decision["rule"]["id"], decision["occurrence"], decision["reason"] or "sent"))

    def send(self, name: str, at: str, now: str | None = None, *, backfill: bool = False, **properties: Any) -> None:
        """An event that arrives when it happens, or later."""
        self.messages += 1
        body = message(name, "ann", at, message_id=f"m{self.messages}", **properties)
        headers = ((BACKFILL_HEADER, b"1"),) if backfill else ()
        at_ms, topic = parse_ms(now or at), self.settings.topic_profiles
        record = Record(topic, 0, self.messages, at_ms, None, orjson.dumps(body), headers)
        self.sink(self.partition.apply([record], parse_ms(now or at)))

    def tick(self, now: str) -> None:
        """What a worker does that is back."""
        now_ms = parse_ms(now)
        while (due_ms := self.partition.next_due_ms()) is not None and due_ms <= now_ms:
            self.sink(self.partition.tick(now_ms))


def test_what_waited_for_a_worker_that_was_away_is_not_lost() -> None:
    """The customer signs in again before the worker looks at its timers; what is still worth something is sent."""
    wall = Wall(rules_of("date: birthday", "every: month"))
    wall.send("identify", "2026-03-01T12:00:00Z", birthday="1990-05-17")
    wall.send("identify", "2026-05-17T18:00:00Z", birthday="1990-05-17")
    wall.tick("2026-05-17T19:00:00Z")

    assert [
        ("r1", "2026-04", "expired"),
        ("r1", "2026-05", "expired"),
        ("r0", "birthday-2026", "sent"),
    ] == wall.told


def test_a_clock_that_is_ahead_takes_no_birthday_away() -> None:
    """An event is dated two hours ahead of the worker, after the hour of the birthday that is still to come."""
    wall = Wall(rules_of("date: birthday"))
    wall.send("identify", "2026-05-16T12:00:00Z", birthday="1990-05-17")
    wall.send("Session Started", "2026-05-17T10:30:00Z", now="2026-05-17T08:30:00Z")
    wall.tick("2026-05-17T10:00:00Z")

    assert [("r0", "birthday-2026", "sent")] == wall.told


def test_who_moves_west_is_not_congratulated_twice() -> None:
    """Ten o'clock in Shanghai has passed; ten o'clock in New York is the same birthday."""
    shop = _introduced(rules_of("date: birthday", "every: month"), birthday="1990-05-01", timezone="Asia/Shanghai")
    shop.wait_until("2026-05-01T03:00:00Z")
    shop.send("identify", "ann", "2026-05-01T04:00:00Z", timezone="America/New_York")
    shop.wait_until("2026-05-20T00:00:00Z")

    assert [
        ("r1", "2026-03", "sent"),
        ("r1", "2026-04", "sent"),
        ("r0", "birthday-2026", "sent"),
        ("r1", "2026-05", "sent"),
    ] == _told(shop)


def test_replay_decides_what_a_shop_decided_live() -> None:
    """Every event in time and every tick in time: the wall clock and the events' own come to the same occurrences."""
    rules = rules_of(
        "date: birthday", "every: month", "since: complaint_opened, after: 24h, spread: 1s", "festival: easter"
    )
    events: list[tuple[str, str, dict[str, Any]]] = [
        ("identify", "2026-03-01T12:00:00Z", {"birthday": "1990-04-17", "timezone": "Asia/Shanghai"}),
        ("Complaint Opened", "2026-03-20T12:00:00Z", {"complaint_id": "c1"}),
        ("Complaint Opened", "2026-03-21T01:00:00Z", {"complaint_id": "c2"}),
        ("Complaint Resolved", "2026-03-21T11:00:00Z", {"complaint_id": "c1"}),
        ("identify", "2026-04-17T01:59:00Z", {"birthday": "1990-04-16", "timezone": "Europe/Berlin"}),
    ]
    shop, wall = Shop(rules=rules, settings=AT_ONCE), Wall(rules)
    for name, at, properties in events:
        wall.tick(at)
        wall.send(name, at, **properties)
        shop.send(name, "ann", at, **properties)
    wall.tick("2027-06-01T00:00:00Z")
    shop.wait_until("2027-06-01T00:00:00Z")

    told = _told(shop)
    assert [row[:2] for row in told if row[1] < "2026-04-30" or row[0] == "r0"] == [
        row[:2] for row in wall.told if row[1] < "2026-04-30" or row[0] == "r0"
    ]
    assert ("r2", f"complaint-{parse_ms('2026-03-21T01:00:00Z')}", "sent") in told
