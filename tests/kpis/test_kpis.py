"""The programme's figures against a plain look through everything, in any order of arrival and however the work is shared out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.config import Settings, make_settings
from stream.events import kinds
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.kpis.look import At, Counts, Look, Looking
from stream.kpis.rates import kpis
from stream.replay import Replay
from stream.rules.loader import load_rules
from stream.state.customer import Customer
from stream.state.purchases import Purchases
from stream.testing import Shop, message
from tests.kpis.oracle import Facts, counted

START_MS = parse_ms("2026-01-01T00:00:00Z")
HORIZON, PERIOD = 12, 4
DAILY = ("kpis", "experiments")
RULE = """
id: recall
version: 1
description: Writes to whoever has been silent for long.
when: {since: last_purchase, after: 13d}
then: {action: recall, channel: email, template: recall}
expires_after: 3d
holdout_percent: 30
measure: {window: 3d}
cap: false
quiet_hours: false
"""


def life(seed: int, customers: int = 60, days: int = 80) -> list[dict[str, Any]]:
    """Messages of a small shop, by time: orders, some taken back, answers, opinions, and who brought whom."""
    chance = random.Random(seed)
    lines: list[dict[str, Any]] = []

    def say(name: str, customer: str, at_ms: int, **more: Any) -> None:
        lines.append(message(name, customer, to_text(at_ms), message_id=f"m{len(lines)}", **more))

    for number in range(customers):
        customer, at_ms = f"c{number}", START_MS + chance.randrange(50 * DAY_MS)
        gap_days = chance.choice((1, 4, 9, 16, 40))
        if chance.random() < 0.4:
            say("identify", customer, at_ms + chance.randrange(9 * DAY_MS), referred_by="c0")
        while at_ms < START_MS + days * DAY_MS:
            order, minor = f"o{len(lines)}", chance.randrange(1, 20_000)
            say("Order Completed", customer, at_ms, order_id=order, revenue=minor / 100)
            later_ms = at_ms + 1 + chance.randrange(6 * DAY_MS)
            match chance.randrange(12):
                case 0:
                    say("Order Cancelled", customer, later_ms, order_id=order)
                case 1:
                    say("Order Refunded", customer, later_ms, order_id=order, revenue=minor / 200)
                case 2 | 3:
                    say(
                        f"Action {chance.choice(('Opened', 'Clicked', 'Converted', 'Delivered'))}",
                        customer,
                        later_ms,
                        action_id="a",
                    )
                case 4:
                    say("NPS Submitted", customer, later_ms, score=9)
                case 5:
                    say("Product Reviewed", customer, later_ms, rating="4", product_id="p")
            at_ms += chance.randrange(1, 2 * gap_days * DAY_MS)
    return sorted(lines, key=lambda line: line["timestamp"])


def facts_of(lines: list[dict[str, Any]], actions: list[dict[str, Any]]) -> dict[str, Facts]:
    """The same as the oracle reads it."""
    found: dict[str, list[tuple[int, str, str, int]]] = defaultdict(list)
    what = {"Order Completed": "order", "Order Refunded": "refund", "Order Cancelled": "cancel", "identify": "brought"}
    what |= dict.fromkeys(("Action Opened", "Action Clicked", "Action Converted"), "answered")
    what |= dict.fromkeys(("NPS Submitted", "Product Reviewed"), "said")
    for line in lines:
        name = line.get("event", "identify")
        if name in what:
            given_ = line.get("properties", {})
            minor = round(given_.get("revenue", 0) * 100)
            found[line["userId"]].append((parse_ms(line["timestamp"]), what[name], given_.get("order_id", ""), minor))
    for action in actions:
        found[action["customer_id"]].append((parse_ms(action["decided_at"]), "written", "", 0))
    return {customer: Facts(tuple(events)) for customer, events in found.items()}


@pytest.fixture
def shop_settings(tmp_path: Path) -> Settings:
    """A shop with short horizons and one rule."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "recall.yaml").write_text(RULE.lstrip(), encoding="utf-8")
    return make_settings(
        churn_horizon_days=HORIZON, timer_spread_ms=0, rules_dir=str(tmp_path / "rules"), churn_quiet_days=2
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_day_is_as_counted(seed: int, shop_settings: Settings) -> None:
    """Every figure of every day is that of the oracle; failed and repeated steps, restarts and repeated events change nothing."""
    shop = Shop(rules=load_rules(shop_settings.rules_dir), settings=shop_settings)
    lines = life(seed)
    chance = random.Random(seed)
    for line in lines:
        if chance.random() < 0.02:
            shop.restart()
        if chance.random() < 0.1:
            shop.fail_next()
        for _ in range(chance.choice((1, 1, 1, 2))):
            shop.send_bytes(orjson.dumps(line), line["timestamp"])
    shop.wait_until(START_MS + 100 * DAY_MS)
    told = shop.take()
    everybody = facts_of(lines, [item for item in told if item["stream"] == "actions"])
    days = [item for item in told if item["stream"] == "kpis"]
    seen: Counter[str] = Counter()

    assert len(days) > 90
    assert len(days) == len({item["kpi_id"] for item in days})
    for item in days:
        day = parse_ms(item["computed_at"]) // DAY_MS - 1
        expected = counted(everybody, day, HORIZON, PERIOD)
        assert expected == {name: item[name] for name in expected}, item["day"]
        seen.update(name for name, rate in expected.items() if name != "value_by_tier" and rate["number"])
    assert 8 == len(seen)
    assert min(seen.values()) > 5, seen


def test_processes_and_order_of_lines_change_nothing(shop_settings: Settings, tmp_path: Path) -> None:
    """One process and three, lines by time and shuffled and repeated: the same bytes, which are those of a live shop."""
    shop = Shop(rules=load_rules(shop_settings.rules_dir), settings=shop_settings)
    lines = life(7)
    for line in lines:
        shop.send_bytes(orjson.dumps(line), line["timestamp"])
    shop.wait_until(START_MS + 90 * DAY_MS)
    sent = [m for out in shop.outcomes for m in out.messages]
    live = {name: [orjson.loads(m.value or b"") for m in sent if m.stream.value == name] for name in DAILY}
    shuffled = lines + lines[::5]
    random.Random(1).shuffle(shuffled)
    found = []
    for number, (rows, processes) in enumerate(((lines, 1), (shuffled, 1), (shuffled, 3))):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
        until_ms = START_MS + 90 * DAY_MS
        with Replay(shop_settings, load_rules(shop_settings.rules_dir), until_ms=until_ms, processes=processes) as run:
            run.run([path])
            found.append({name: list(run.rows(name)) for name in DAILY})

    assert found[0] == found[1] == found[2]
    for name in DAILY:
        rows = [orjson.loads(row) for row in found[0][name]]
        assert rows
        assert _by_id(live[name]) == _by_id(rows)


def _by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {row.get("kpi_id") or row["effects_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


AT = 20_000
DAYS = st.integers(AT - 3 * HORIZON, AT + 2)
ORDER = st.tuples(DAYS, st.integers(0, DAY_MS - 1), st.integers(1, 90_000))


@given(st.lists(ORDER, min_size=1, max_size=8), st.data())
@settings(max_examples=150)
def test_a_look_is_the_same_in_any_order_of_arrival(orders: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Orders, refunds, cancellations and answers in any order and some twice give the counts of the oracle."""
    config = make_settings(churn_horizon_days=HORIZON)
    facts: list[tuple[int, str, str, int]] = []
    events: list[kinds.Event] = []
    for number, (day, rest_ms, minor) in enumerate(orders):
        at_ms, name = day * DAY_MS + rest_ms, f"o{number}"
        common: dict[str, Any] = {"customer": "c", "message_id": f"m{number}", "time_ms": at_ms}
        facts.append((at_ms, "order", name, minor))
        events.append(kinds.Purchase(**common, order_id=name, amount_minor=minor))
        if number % 3 == 1:
            common = {"customer": "c", "message_id": f"x{number}", "time_ms": at_ms}
            part = data.draw(st.integers(1, 2 * minor))
            facts.append((at_ms, "refund", name, part))
            events.append(kinds.Refund(**common, order_id=name, amount_minor=part))
        if number % 3 == 2 and at_ms < AT * DAY_MS:  # of answers only the latest is known
            common = {"customer": "c", "message_id": f"a{number}", "time_ms": at_ms}
            facts.append((at_ms, "answered", "", 0))
            events.append(kinds.Outcome(**common, action_id="a", status="opened"))
    customer = Customer()
    for event in data.draw(st.permutations([*events, *events[::2]])):
        customer.apply(event, config)
    looking = Looking(config)
    looking.look(customer, Purchases(customer.orders), AT * DAY_MS)
    # An order of the future isn't looked at.
    known = tuple((at_ms, what, name, minor) for at_ms, what, name, minor in facts if at_ms < AT * DAY_MS)
    looks = [Look(At(AT, at.tier), counts) for at, counts in looking.looks.items()]
    found = kpis(looks, AT, config)
    named = next(f"c{n}" for n in range(99) if hash64(f"c{n}") % PERIOD == AT % PERIOD)
    expected = counted({named: Facts(known)}, AT, HORIZON, PERIOD)
    if found is None:
        assert not expected["repurchase"]["of"]
    else:
        told = orjson.loads(msgspec.json.encode(found))
        assert expected == {name: told[name] for name in expected}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**61)), max_size=12), st.randoms())
def test_sums_do_not_depend_on_the_order_and_stop_at_what_readers_can_hold(
    parts: list[tuple[int, int]], chance: random.Random
) -> None:
    """Merged in any order, the sums are the same, and never past 63 bits."""
    shuffled = list(parts)
    chance.shuffle(shuffled)
    one, other = Counts(), Counts()
    for buyers, minor in parts:
        one.add(Counts(buyers=buyers, lifetime_minor=minor))
    for buyers, minor in shuffled:
        other.add(Counts(buyers=buyers, lifetime_minor=minor))

    assert one == other
    assert one.lifetime_minor == min(2**62, sum(minor for _, minor in parts))
