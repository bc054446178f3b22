"""The processor as the shell drives it: crashes leave no trace, history mails nobody, strays find their way."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from typing import Any

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import simulate
from stream.actions.message import Stream
from stream.config import Settings
from stream.datasets import cdnow_events
from stream.events.hashing import owner_partition
from stream.events.instants import DAY_MS, parse_ms
from stream.events.record import BACKFILL_END_HEADER, BACKFILL_HEADER, Record
from stream.outcome import Outcome
from stream.processor import EpochOwner, Partition
from stream.processor.epochs import Epoch, decode_contribution
from stream.processor.partition import PARTITION_KEY
from stream.rules.loader import load_rules
from stream.state.customer import Customer, decode, encode, head
from stream.testing import Shop, message, published

RULES = load_rules()
NOW = parse_ms("2026-11-22T12:00:00Z")
HISTORY = ((BACKFILL_HEADER, b"1"),)


def _orders(customers: int) -> list[dict[str, Any]]:
    return [event for event in cdnow_events() if event["userId"] <= f"{customers:05d}"]


def _play(shop: Shop, events: list[dict[str, Any]], chance: random.Random | None) -> list[dict[str, Any]]:
    for event in events:
        if chance is not None:
            dice = chance.random()
            if dice < 0.05:
                shop.restart()
            elif dice < 0.15:
                shop.fail_next(chance.randint(1, 2))
        shop.send_bytes(orjson.dumps(event), event["timestamp"])
    shop.wait_until("1998-07-01")
    return shop.take()


@cache
def _undisturbed() -> tuple[dict[bytes, bytes], list[dict[str, Any]]]:
    """Real orders of 25 customers, played without a crash."""
    shop = Shop(RULES)
    told = _play(shop, _orders(25), None)
    return shop.store, told


@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_crashes_and_aborted_transactions_leave_no_trace(seed: int) -> None:
    """Restarts and rolled back steps at random places end in the same bytes and publish the same messages."""
    store, told = _undisturbed()
    shop = Shop(RULES)

    assert told == _play(shop, _orders(25), random.Random(seed))
    assert store == shop.store
    assert published(told)


class Wall:
    """One partition on the wall clock, with its records made durable step by step."""

    def __init__(self, *, number: int = 0, partitions: int = 1, **values: Any) -> None:
        self.settings = Settings(partitions=partitions, **values)
        self.store: dict[bytes, bytes] = {}
        self.partition = Partition(self.settings, RULES, partition=number, partitions=partitions, store=self.store)
        self.partition.recover(NOW)
        self.offset = 0
        self.told: list[Outcome] = []

    def record(self, body: dict[str, Any], headers: Any = ()) -> Record:
        """A record as it would lie on the purchases topic."""
        self.offset += 1
        value = orjson.dumps(body) if body else None
        return Record(self.settings.topic_purchases, 0, self.offset, NOW, None, value, headers)

    def sink(self, out: Outcome) -> Outcome:
        """Commits a step."""
        self.store.update({k: v for k, v in out.changed.items() if v is not None})
        self.partition.commit()
        self.told.append(out)
        return out

    def tick_until(self, at_ms: int) -> None:
        """Lets the wall clock reach an instant, waking only when something is due."""
        while (due := self.partition.next_due_ms()) is not None and due <= at_ms:
            self.sink(self.partition.tick(max(due, NOW)))

    def count(self, name: str) -> Counter[Any]:
        """A telemetry counter over all steps."""
        return sum((getattr(out.telemetry, name) for out in self.told), Counter())


def _weeks(*, forgetful: bool) -> tuple[dict[bytes, Any], list[bytes | None], Counter[Any]]:
    """Ten weeks of a simulated shop, event by event as they arrive: some late, some twice, some dated ahead of the clock.

    A forgetful partition has nobody at hand, and finds everything out anew with each event.
    """
    wall = Wall(churn_horizon_days=14, churn_min_labels=20, memory_messages=16, memory_orders=16)
    chance = random.Random(3)
    start = NOW - 70 * DAY_MS
    arriving = []
    for _, event in simulate.Shop(seed=3, customers=25, start_ms=start, join_days=14).events(NOW):
        at_ms = parse_ms(event["timestamp"]) + chance.choice((0, 0, 0, 60_000, -DAY_MS // 3, 2 * DAY_MS))
        arriving += [(at_ms, event)] * (2 if chance.random() < 0.05 else 1)
    arriving.sort(key=lambda pair: pair[0])
    owner = EpochOwner(wall.settings, 1)
    epoch = passed_on = None
    now_ms = start
    wall.partition.recover(now_ms)
    for at_ms, event in arriving:
        now_ms = max(at_ms, now_ms)
        while (due_ms := wall.partition.next_due_ms()) is not None and due_ms <= now_ms:
            wall.sink(wall.partition.tick(due_ms))
        wall.sink(wall.partition.apply([wall.record(event)], now_ms))
        fresh = [m for out in wall.told[passed_on:] for m in out.messages if m.stream is Stream.CONTRIBUTIONS]
        passed_on = len(wall.told)
        made = owner.apply([Record("c", 0, -1, -1, None, m.value) for m in fresh]).messages
        versions = [m for m in made if m.stream is Stream.EPOCHS]
        epoch = versions[-1].value if versions else epoch
        if forgetful:
            wall.store.update(
                (key, encode(_untimed(value))) for key, value in wall.store.items() if key != PARTITION_KEY
            )
            wall.partition.recover(now_ms)
        if epoch:
            wall.partition.follow(epoch)
    customers = {key: _untimed(value) for key, value in wall.store.items() if key != PARTITION_KEY}
    told = [m.value for out in wall.told for m in out.messages if m.stream is not Stream.CONTRIBUTIONS]
    return customers, told, wall.count("actions")


def _untimed(value: bytes) -> Customer:
    customer = decode(value)
    customer.timed_by, customer.rest_due_ms = 0, -1
    return customer


def test_what_is_known_of_customers_from_before_changes_nothing() -> None:
    """A partition that keeps what it has found out, and one that forgets it after every event, tell and remember the same."""
    customers, told, actions = _weeks(forgetful=False)

    assert (customers, told, actions) == _weeks(forgetful=True)
    assert actions.keys() > {("cart-abandoned", "reminder"), ("welcome", "care"), ("review-request", "request")}


def test_nothing_waits_for_a_cart_that_is_forgotten() -> None:
    """When so much else happens that the cart leaves the memory, its reminder is due no more."""
    wall = Wall(memory_messages=16)
    add = message("Product Added", "ann", "2026-11-22T11:00:00Z", message_id="a", product_id="p", price=9.0)
    wall.sink(wall.partition.apply([wall.record(add)], NOW))
    wall.tick_until(NOW)
    assert parse_ms("2026-11-22T13:00:00Z") == head(wall.store[b"ann"]).next_due_ms

    for number in range(16):
        view = message("Products Searched", "ann", "2026-11-22T11:30:00Z", message_id=f"v{number}", query="q")
        wall.sink(wall.partition.apply([wall.record(view)], NOW + number))
    assert parse_ms("2026-11-25T11:00:00Z") <= head(wall.store[b"ann"]).next_due_ms  # the usage reminder


def test_what_is_dated_ahead_of_the_clock_waits_for_it_whatever_comes_late() -> None:
    """A worker whose clock is behind still reminds of the cart, though the last it heard of the customer was older."""
    wall = Wall()
    for name, at in (("Product Added", "2026-11-23T06:00:00Z"), ("Product Viewed", "2026-11-21T10:00:00Z")):
        event = message(name, "ann", at, message_id=at, product_id="p", price=90.0)
        wall.sink(wall.partition.apply([wall.record(event)], NOW))
    wall.tick_until(NOW + 2 * DAY_MS)

    assert 1 == wall.count("actions")[("cart-abandoned", "reminder")]


def test_history_mails_nobody_and_still_teaches() -> None:
    """Imported orders of 60 customers become state and labels, never an action, not even when their timers are past."""
    wall = Wall()
    wall.sink(wall.partition.apply([wall.record(event, HISTORY) for event in _orders(60)], NOW))
    wall.sink(wall.partition.apply([wall.record({}, ((BACKFILL_END_HEADER, b"1"),))], NOW + 1_000))
    wall.tick_until(NOW + 3 * DAY_MS)

    assert 60 == len(wall.store) - 1
    assert Counter() == wall.count("actions") + wall.count("suppressed") + wall.count("alerts")
    assert wall.count("labels")[("churned",)] > wall.count("labels")[("bought",)] > 0


def test_a_customer_of_history_is_served_like_any_other_from_then_on() -> None:
    """A live order of an imported customer arms timers again."""
    wall = Wall()
    old = message("Order Completed", "ann", "2026-05-01T00:00:00Z", message_id="h1", order_id="h1", revenue=10.0)
    new = message("Order Completed", "ann", "2026-11-22T11:59:00Z", message_id="l1", order_id="l1", revenue=10.0)
    wall.sink(wall.partition.apply([wall.record(old, HISTORY)], NOW))
    wall.sink(wall.partition.apply([wall.record(new)], NOW))
    wall.tick_until(NOW + 12 * DAY_MS)

    assert [("review-request", "request")] == list(wall.count("actions"))


def test_offsets_that_come_again_change_nothing() -> None:
    """The same batch delivered twice publishes nothing the second time and leaves the same bytes."""
    wall = Wall()
    order = message("Order Completed", "ann", "2026-11-22T11:00:00Z", message_id="m", order_id="o", revenue=5.0)
    batch = [wall.record(order), wall.record({**order, "messageId": "m2"})]
    wall.sink(wall.partition.apply(batch, NOW))
    wall.tick_until(NOW)
    before = dict(wall.store)
    again = wall.sink(wall.partition.apply(batch, NOW + 5))

    assert before == wall.store
    assert [] == again.messages
    assert {("crm.purchases.v1", "already_applied"): 2} == again.telemetry.ignored


def test_strays_go_to_the_partition_that_owns_them() -> None:
    """A record on the wrong partition is passed on with its bytes and headers, and touches no state here."""
    owner = owner_partition(b"ann", 4)
    wall = Wall(number=(owner + 1) % 4, partitions=4)
    order = message("Order Completed", "ann", "2026-11-22T11:00:00Z", message_id="m", order_id="o", revenue=5.0)
    record = wall.record(order, (("trace", b"7"),))
    out = wall.sink(wall.partition.apply([record], NOW))

    (stray,) = [m for m in out.messages if m.stream is Stream.REPARTITION]
    assert (owner, b"ann", record.value, (("trace", b"7"),)) == (
        stray.partition,
        stray.key,
        stray.value,
        stray.headers,
    )
    assert b"ann" not in wall.store


def test_silence_is_noticed_when_it_is_due_and_at_no_other_time() -> None:
    """The due index wakes for the timers of one customer among 2,000 and for nobody else; after a restart as well."""
    wall = Wall(timer_spread_ms=0)
    batch = [
        wall.record(message("Product Viewed", f"c{n}", "2026-11-22T11:00:00Z", message_id=f"v{n}", product_id="p"))
        for n in range(2_000)
    ]
    wall.sink(wall.partition.apply(batch, NOW))
    cart = message(
        "Product Added", "ann", "2026-11-22T12:00:00Z", message_id="a", product_id="p", price=30.0, quantity=2
    )
    wall.sink(wall.partition.apply([wall.record(cart)], NOW))
    wall.partition = Partition(wall.settings, RULES, partition=0, partitions=1, store=wall.store)
    wall.partition.recover(NOW)
    wall.tick_until(NOW + 2 * 3_600_000)

    fired = [m for out in wall.told for m in out.messages if m.stream is Stream.ACTIONS]
    (action,) = [orjson.loads(m.value or b"") for m in fired if b"cart-abandoned" in (m.value or b"")]
    assert "2026-11-22T14:00:00Z" == action["decided_at"] == action["cause"]["at"]
    assert ("ann", "publish") == (action["customer_id"], action["verdict"])


def test_all_partitions_share_one_version_a_day() -> None:
    """Four partitions' populations make the thresholds that one partition's would, in any order of reporting."""
    events = [e for e in _orders(80) if e["timestamp"] < "1997-04-01"]
    versions = []
    for partitions, seed in ((1, 0), (4, 1), (4, 2)):
        config = Settings(partitions=partitions, clock="event")
        owner = EpochOwner(config, partitions)
        contributions: list[bytes] = []
        for number in range(partitions):
            mine = [e for e in events if owner_partition(e["userId"].encode(), partitions) == number]
            partition = Partition(config, RULES, partition=number, partitions=partitions, store={})
            partition.adopt(Epoch(day=1_000_000, thresholds=None, model=None))
            records = [Record("crm.purchases.v1", number, -1, -1, None, orjson.dumps(e)) for e in mine]
            until = parse_ms("1997-04-01")
            for out in (partition.apply(records, until), *_ticks(partition, until)):
                contributions += [m.value or b"" for m in out.messages if m.stream is Stream.CONTRIBUTIONS]
        random.Random(seed).shuffle(contributions)
        records = [Record("c", 0, offset, 0, None, value) for offset, value in enumerate(contributions)]
        (epoch,) = [m for m in owner.apply(records).messages if m.stream is Stream.EPOCHS]
        versions.append(msgspec.msgpack.decode(epoch.value or b"")["thresholds"])
        days = [decode_contribution(value).day for value in contributions]
        assert days.index(until // DAY_MS) == owner.safe_offset()  # what belongs to the day that is open is read again

    assert versions[0] == versions[1] == versions[2]
    assert 80 >= versions[0]["buyers"] > 0


def _ticks(partition: Partition, until: int) -> list[Outcome]:
    found = []
    while (due := partition.next_due_ms()) is not None and due <= until:
        found.append(partition.tick(until))
    return found
