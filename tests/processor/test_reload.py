"""Other rules between two steps: every timer is found, nothing is sent twice or for what was due before, no step is mixed."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.actions.message import Stream
from stream.config import make_settings
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.governance.asked import Controls
from stream.outcome import Outcome
from stream.processor import Partition
from stream.processor import partition as processor
from stream.processor.partition import PARTITION_KEY, PartitionRecord
from stream.rules.loader import parse_rules
from stream.rules.rule import RuleSet
from stream.state.customer import head
from stream.testing import Shop, published

START = parse_ms("2026-01-01T00:00:00Z")
QUIET: dict[str, Any] = {"cap_messages": 50, "timer_spread_ms": 0}

LAPSED = """\
id: {id}
version: {version}
description: Nobody stays forgotten.
when: {{since: last_purchase, after: {after}}}
if: customer.recency_days >= 1
then: {{action: reminder, channel: email, template: back}}
priority: 50
expires_after: 3d
"""


def rules(live_from_ms: dict[str, int] | None = None, **after: str) -> RuleSet:
    """Reminders after silences of so long, by id."""
    files = {f"{id_}.yaml": LAPSED.format(id=id_, version=1, after=silence) for id_, silence in after.items()}
    found = parse_rules(files)
    return RuleSet(found.rules, live_from_ms=live_from_ms)


def shop_of(found: RuleSet) -> Shop:
    """A shop in which one purchase after the other is made by ten customers."""
    return Shop(found, make_settings(**QUIET))


def buy(shop: Shop, customer: str, at_ms: int) -> None:
    """One order."""
    shop.send("Order Completed", customer, at_ms, order_id=f"{customer}-{at_ms}", revenue=10.0, currency="USD")


def told(shop: Shop) -> list[tuple[str, str, str, str]]:
    """Rule, customer, when and the version of the rules of what was published."""
    found = []
    for item in published(shop.take()):
        found.append((item["rule"]["id"], item["customer_id"], item["decided_at"], item["rule"]["rules_version"]))
    return found


@given(st.integers(0, 2**32), st.integers(0, 30), st.booleans())
@settings(max_examples=15)
def test_a_switch_equals_the_oracle_that_knows_its_instant(seed: int, switch_day: int, crashes: bool) -> None:
    """Before the switch the old silences speak, after it the new ones, and none that was over when it came."""
    chance = random.Random(seed)
    old, new = {"early": 3, "both": 5}, {"both": 5, "late": chance.randint(1, 12), "gone": chance.randint(4, 9)}
    old_rules = rules(None, **{name: f"{days}d" for name, days in old.items()})
    switch_ms = START + switch_day * DAY_MS + 1
    live_from = {name: switch_ms for name in new if name != "both"}
    new_rules = rules(live_from, **{name: f"{days}d" for name, days in new.items()})
    orders = sorted((START + chance.randint(0, 30 * 24) * 3_600_000 + 2, f"c{chance.randint(0, 5)}") for _ in range(25))
    shop = shop_of(old_rules)
    adopted = False
    for at_ms, customer in [*orders, (START + 60 * DAY_MS, "")]:
        if not adopted and at_ms >= switch_ms:
            shop.wait_until(switch_ms)
            adopted, shop.rules = True, new_rules
            shop.partition.adopt_rules(new_rules)
        if crashes and chance.random() < 0.3:
            shop.restart()
        if crashes and chance.random() < 0.3:
            shop.fail_next()
        if customer:
            buy(shop, customer, at_ms)
    shop.wait_until(START + 60 * DAY_MS)

    assert sorted(_expected(orders, old, new, switch_ms)) == sorted((r, c, at) for r, c, at, _ in told(shop))


def _expected(
    orders: list[tuple[int, str]], old: dict[str, int], new: dict[str, int], switch_ms: int
) -> set[tuple[str, str, str]]:
    found = set()
    for customer in {name for _, name in orders}:
        bought = sorted({at for at, name in orders if name == customer})
        for at_ms, next_ms in zip(bought, [*bought[1:], 1 << 60], strict=True):
            for live, since, until in ((old, 0, switch_ms), (new, switch_ms, 1 << 60)):
                for rule, days in live.items():
                    due_ms = at_ms + days * DAY_MS
                    if since <= due_ms <= until and due_ms <= next_ms and due_ms <= START + 60 * DAY_MS:
                        found.add((rule, customer, to_text(due_ms)))
    return found


class Live:
    """One partition on the wall clock."""

    def __init__(self, found: RuleSet) -> None:
        self.settings = make_settings(partitions=1, **QUIET)
        self.store: dict[bytes, bytes] = {}
        self.sent: list[Any] = []
        self.start(found)
        self.partition.recover(START)

    def start(self, found: RuleSet) -> None:
        """Another process on the same records."""
        self.partition = Partition(self.settings, found, partition=0, partitions=1, store=self.store)

    def done(self, out: Outcome) -> Outcome:
        """The step is durable."""
        self.store.update((key, value) for key, value in out.changed.items() if value is not None)
        self.partition.commit()
        self.sent += out.messages
        return out

    def tick(self, now_ms: int) -> Outcome:
        """One step of time."""
        return self.done(self.partition.tick(now_ms))

    def fill(self, customers: int) -> None:
        """Customers who have bought at the start, one a second."""
        shop = Shop(self.partition.rules, self.settings)
        for number in range(customers):
            buy(shop, f"c{number}", START + number * 1000)
        self.store.update(shop.store)
        del self.store[PARTITION_KEY]
        self.start(self.partition.rules)
        self.partition.recover(START + DAY_MS)
        self.settle(START + DAY_MS)

    def settle(self, now_ms: int) -> int:
        """Ticks until nothing is due; returns how often."""
        ticks = 0
        while (due_ms := self.partition.next_due_ms()) is not None and due_ms <= now_ms:
            self.tick(now_ms)
            ticks += 1
        return ticks


@pytest.mark.parametrize("restarts", [True, False])
def test_customers_are_found_without_an_event_in_slices(monkeypatch: pytest.MonkeyPatch, restarts: bool) -> None:
    """After a switch each tick looks at no more than a slice; an aborted one and a restart in the middle leave nobody out."""
    monkeypatch.setattr(processor, "STALE_CUSTOMERS", 7)
    live = Live(rules(slow="40d"))
    live.fill(30)
    before = {key: head(value).next_due_ms for key, value in live.store.items() if key != PARTITION_KEY}
    faster = rules({"fast": START + DAY_MS}, slow="40d", fast="2d")
    live.partition.adopt_rules(faster)
    now_ms = START + DAY_MS
    looked = [len(live.tick(now_ms).changed.keys() - {PARTITION_KEY})]
    live.partition.tick(now_ms)
    live.partition.rollback()
    looked.append(len(live.tick(now_ms).changed.keys() - {PARTITION_KEY}))
    if restarts:
        live.start(faster)
        live.partition.recover(now_ms)
    live.settle(now_ms)
    after = {key: head(value).next_due_ms for key, value in live.store.items() if key != PARTITION_KEY}

    assert max(looked) <= 7
    expected = {key: min(due, START + int(key[1:]) * 1000 + 2 * DAY_MS) for key, due in before.items()}
    assert expected == after != before
    assert not live.partition.tick(now_ms).changed
    live.partition.commit()
    live.start(faster)
    live.partition.recover(now_ms)
    assert live.partition.next_due_ms() > now_ms  # type: ignore[operator]


def test_what_was_due_before_a_rule_was_published_stays_silent() -> None:
    """A new rule about ten days of silence writes to nobody who has been silent for eleven, but to who will be."""
    shop = shop_of(rules(other="60d"))
    buy(shop, "ann", START)
    buy(shop, "bob", START + 5 * DAY_MS)
    published_ms = START + 11 * DAY_MS
    shop.wait_until(published_ms)
    shop.partition.adopt_rules(rules({"lapsed": published_ms}, lapsed="10d"))
    shop.wait_until(START + 30 * DAY_MS)

    decisions = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]
    assert [("bob", "publish")] == [(item["customer_id"], item["verdict"]) for item in decisions]


@pytest.mark.parametrize("crash", ["none", "abort", "restart"])
def test_history_that_is_played_takes_rules_over_where_it_has_got_to(crash: str) -> None:
    """Published today, while the partition plays a year long ago: the timers begin there, and begin there still after a restart."""
    shop = shop_of(rules(other="60d"))
    buy(shop, "ann", START)
    buy(shop, "bob", START + 5 * DAY_MS)
    shop.wait_until(START + 11 * DAY_MS)
    today = rules({"lapsed": START + 9000 * DAY_MS}, lapsed="10d")
    shop.partition.adopt_rules(today, by_event_time=True)
    assert shop.partition.rules is today
    if crash == "abort":
        shop.fail_next()
    shop.wait_until(START + 13 * DAY_MS)
    if crash == "restart":
        epoch, own = shop.epoch, shop.rules
        shop.partition = Partition(shop.settings, own, partition=0, partitions=1, store=shop.store)
        shop.partition.adopt_rules(today, by_event_time=True)
        shop.partition.recover(0)
        assert epoch is not None
        shop.partition.adopt(epoch)
    buy(shop, "cat", START + 14 * DAY_MS)
    shop.wait_until(START + 30 * DAY_MS)

    decisions = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]
    assert [("bob", "publish"), ("cat", "publish")] == [(d["customer_id"], d["verdict"]) for d in decisions]
    begun = msgspec.msgpack.decode(shop.store[PARTITION_KEY], type=PartitionRecord).begun
    assert {"lapsed": (START + 9000 * DAY_MS, START + 11 * DAY_MS)} == begun


def test_what_a_gone_rule_has_left_is_called_off_aloud() -> None:
    """A decision that waits when its rule is removed is published as suppressed, with the reason that it was cancelled."""
    first = rules(lapsed="10d")
    for retired in (first.rules, ()):
        shop = shop_of(first)
        buy(shop, "ann", START)
        shop.partition.control(Controls(paused_by="eve"))
        shop.wait_until(START + 10 * DAY_MS + 1)
        assert ["paused"] == [item["reason"] for item in published(shop.take(), "suppressions")]
        other = rules(other="60d")
        shop.partition.adopt_rules(RuleSet(other.rules, retired=retired))
        shop.wait_until(START + 11 * DAY_MS)

        (left,) = published(shop.take(), "suppressions")
        assert ("lapsed", "cancelled", "suppressed") == (left["rule"]["id"], left["reason"], left["verdict"])
        assert other.version == left["rule"]["rules_version"]


def test_a_pause_puts_off_and_resuming_lets_go() -> None:
    """While everything is paused nothing goes out; afterwards what was put off is judged again and goes out once."""
    shop = shop_of(rules(lapsed="10d"))
    buy(shop, "ann", START)
    shop.partition.control(Controls(paused_by="eve"))
    shop.wait_until(START + 10 * DAY_MS + 3_600_000)
    assert [] == told(shop)
    shop.partition.control(Controls())
    shop.wait_until(START + 20 * DAY_MS)

    assert ["ann"] == [customer for _, customer, _, _ in told(shop)]


@given(st.integers(0, 2**32), st.integers(1, 40), st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_end_of_a_pause_lets_everything_go_at_that_instant(seed: int, hours: int, aborts: bool) -> None:
    """Whatever was held back goes out once, at the instant at which its rule's pause ends, also if the step is aborted."""
    chance = random.Random(seed)
    shop = shop_of(rules(lapsed="10d", other="10d"))
    bought = {f"c{n}": START + chance.randint(0, 30) * 3_600_000 for n in range(8)}
    for customer, at_ms in sorted(bought.items(), key=lambda item: item[1]):
        buy(shop, customer, at_ms)
    paused = Controls(stopped_rules=frozenset(("lapsed", "other")))
    pause_ms, half_ms = START + 10 * DAY_MS, START + 10 * DAY_MS + hours * 3_600_000
    whole_ms = half_ms + 7_200_000
    for at_ms, controls in (
        (pause_ms, paused),
        (half_ms, Controls(stopped_rules=frozenset(("other",)))),
        (whole_ms, Controls()),
        (START + 30 * DAY_MS, Controls()),
    ):
        shop.wait_until(at_ms)
        shop.partition.control(controls)
        if aborts and chance.random() < 0.5:
            shop.fail_next(chance.randint(1, 3))

    expected = set()
    for customer, at_ms in bought.items():
        due_ms = at_ms + 10 * DAY_MS
        expected |= {("lapsed", customer, to_text(half_ms if pause_ms < due_ms <= half_ms else due_ms))}
        expected |= {("other", customer, to_text(whole_ms if pause_ms < due_ms <= whole_ms else due_ms))}
    assert sorted(expected) == sorted((rule, customer, at) for rule, customer, at, _ in told(shop))


@pytest.mark.parametrize("restarts", [True, False])
def test_on_the_wall_clock_waiting_customers_are_found_in_slices(
    monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    """No tick after the end of a pause looks at more than a slice; an aborted one and a restart in the middle leave nobody out."""
    monkeypatch.setattr(processor, "STALE_CUSTOMERS", 7)
    found = rules(lapsed="10d")
    live = Live(found)
    live.fill(30)
    live.partition.control(Controls(paused_by="eve"))
    now_ms = START + 10 * DAY_MS + 60_000
    live.settle(now_ms)
    assert [] == _went(live)
    live.partition.control(Controls())
    live.tick(now_ms)
    live.partition.tick(now_ms)
    live.partition.rollback()
    live.tick(now_ms)
    went = len(_went(live))
    if restarts:
        live.start(found)
        live.partition.control(Controls())
        live.partition.recover(now_ms)
    live.settle(now_ms)

    assert 14 == went
    assert sorted(f"c{n}" for n in range(30)) == sorted(_went(live))
    due_ms = live.partition.next_due_ms()
    assert due_ms is not None
    assert due_ms > now_ms


def _went(live: Live) -> list[str]:
    return [orjson.loads(m.value)["customer_id"] for m in live.sent if m.stream is Stream.ACTIONS]


def test_a_pause_that_outlasts_an_action_says_so() -> None:
    """It waits until it is worthless, is told of once an hour, and is suppressed then because of the pause."""
    shop = shop_of(rules(lapsed="10d"))
    buy(shop, "ann", START)
    shop.partition.control(Controls(paused_by="eve"))
    shop.wait_until(START + 20 * DAY_MS)
    held = published(shop.take(), "suppressions")

    assert ["deferred"] * 72 + ["suppressed"] == [item["verdict"] for item in held]
    assert {"paused"} == {item["reason"] for item in held}
    assert 1 == len({item["action_id"] for item in held})
