"""Journeys end, each in exactly one way, whatever happens on the way."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.cli import main
from stream.config import make_settings
from stream.governance.asked import Controls
from stream.processor import Partition
from stream.rules.loader import parse_rules
from stream.rules.rule import RuleSet
from stream.state.customer import decode
from stream.testing import Shop, message

SOFA = """
id: sofa
version: 3
description: Somebody looks at sofas.
when: {event: product_viewed}
if: event.category == "sofa"
expires_after: 2d
cap: false
steps:
  - {id: hello, send: {action: reminder, channel: email, template: hello}}
  - {id: looks, wait_for: [cart_added, nps], within: 3d, then: loyal, else: nudge}
  - {id: nudge, send: {action: offer, channel: email, template: nudge, offer: {kind: percent, value: 5}}, then: end}
  - {id: loyal, branch: customer.cart_items > 1, then: many, else: rest}
  - {id: many, send: {action: care, channel: email, template: many}, then: end}
  - {id: rest, wait: 2d}
  - {id: one, send: {action: reminder, channel: sms, template: one}}
"""
START = "2026-03-02T10:00:00Z"


def rules(text: str = SOFA, **more: str) -> RuleSet:
    return parse_rules({"sofa.yaml": text.lstrip(), **{f"{name}.yaml": text for name, text in more.items()}})


def shop_of(made: RuleSet | None = None, **values: Any) -> Shop:
    """A shop with a journey, and nothing spread over time."""
    return Shop(rules=made or rules(), settings=make_settings(timer_spread_ms=0, **values))


def look(shop: Shop, at: str = START, customer: str = "ann", **properties: Any) -> None:
    shop.send("Product Viewed", customer, at, **{"product_id": "s1", "category": "sofa", **properties})


def told(shop: Shop) -> list[tuple[str, str, str]]:
    """Step (or `end`), how it went and when, of all that was decided since the last time."""
    return [
        (item["occurrence"].rpartition("/")[2], item["reason"] or item["verdict"], item["decided_at"][5:16])
        for item in shop.take()
        if item["stream"] in ("actions", "suppressions")
    ]


def running(shop: Shop) -> int:
    """Journeys that the stored records have on their way."""
    plans = [decode(value).memory.plans for key, value in shop.store.items() if not key.startswith(b"\0")]
    return sum(len(p.journeys) for p in plans if p is not None)


def test_nothing_happens_and_the_other_way_is_taken() -> None:
    """The wait for an event is over in the end; the journey has gone out."""
    shop = shop_of()
    look(shop)
    shop.wait_until("2026-04-01T00:00:00Z")

    assert [
        ("hello", "publish", "03-02T10:00"),
        ("nudge", "publish", "03-05T10:00"),
        ("end", "sent", "03-05T10:00"),
    ] == told(shop)


@pytest.mark.parametrize(
    ("pieces", "then"),
    [
        (2, [("many", "publish", "03-03T08:00"), ("end", "sent", "03-03T08:00")]),
        (1, [("one", "publish", "03-05T08:00"), ("end", "sent", "03-05T08:00")]),
    ],
)
def test_the_event_comes_and_the_branch_goes_both_ways(pieces: int, then: list[tuple[str, str, str]]) -> None:
    """An event of the kind ends the wait at once; the condition of the branch tells which way it goes."""
    shop = shop_of()
    look(shop)
    shop.send("Products Searched", "ann", "2026-03-02T12:00:00Z", query="sofa")
    assert [("hello", "publish", "03-02T10:00")] == told(shop)
    shop.send("Product Added", "ann", "2026-03-03T08:00:00Z", product_id="s1", price=9.0, quantity=pieces)
    shop.wait_until("2026-04-01T00:00:00Z")

    assert then == told(shop)


def test_a_purchase_stops_it() -> None:
    """It is seen when the next step's time has come; and what is bought and cancelled stops nothing."""
    shop = shop_of()
    for name in ("ann", "bob"):
        look(shop, customer=name)
    for name in ("ann", "bob"):
        shop.send("Order Completed", name, "2026-03-03T08:00:00Z", order_id=f"o-{name}", revenue=10.0)
    shop.send("Order Cancelled", "bob", "2026-03-04T08:00:00Z", order_id="o-bob")
    shop.take()
    shop.wait_until("2026-04-01T00:00:00Z")
    last = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]

    assert [("ann", "cancelled"), ("bob", None), ("bob", "sent")] == [(i["customer_id"], i["reason"]) for i in last]
    assert last[0]["explanation"]["text"] == (
        "A journey begun 2026-03-02 under version 3 ended at step looks: the customer has bought since it began."
    )


def test_any_condition_may_stop_it_and_a_purchase_need_not() -> None:
    """`stop_if` is asked when a step's time has come; without the stop on purchase a wait may be for one."""
    text = SOFA.replace("steps:", "stop_on_purchase: false\nstop_if: customer.open_complaints > 0\nsteps:")
    shop = shop_of(rules(text.replace("[cart_added, nps]", "purchase")))
    shop.send("Order Completed", "ann", "2026-03-01T08:00:00Z", order_id="o0", revenue=10.0)
    look(shop)
    look(shop, customer="bob", at="2026-03-02T10:01:00Z")
    shop.send("Order Completed", "ann", "2026-03-03T08:00:00Z", order_id="o1", revenue=10.0)
    shop.send("Complaint Opened", "bob", "2026-03-03T08:00:00Z", complaint_id="c1")
    shop.wait_until("2026-04-01T00:00:00Z")

    assert [
        ("hello", "publish", "03-02T10:00"),
        ("hello", "publish", "03-02T10:01"),
        ("end", "cancelled", "03-05T10:01"),
        ("one", "publish", "03-05T08:00"),
        ("end", "sent", "03-05T08:00"),
    ] == sorted(told(shop), key=lambda t: (t[2] == "03-05T08:00", t[2]))


def test_what_holds_an_action_back_ends_it() -> None:
    """Each end has its own state: suppressed, held out, expired; a dry run goes through to its end all the same."""
    shop = shop_of(consent_default="opt_in")
    look(shop)
    assert [("hello", "consent_missing", "03-02T10:00"), ("end", "suppressed", "03-02T10:00")] == told(shop)

    shop = shop_of(rules(SOFA + "holdout_percent: 50\n"))
    for number in range(12):
        look(shop, customer=f"c{number}")
    ends = Counter((step, how) for step, how, _ in told(shop))
    assert ends["end", "held_out"] == ends["hello", "holdout"] == 12 - ends["hello", "publish"]
    assert 0 < ends["end", "held_out"] < 12

    shop = shop_of(rules(SOFA + "status: dry_run\n"))
    look(shop)
    shop.wait_until("2026-04-01T00:00:00Z")
    assert [("hello", "dry_run"), ("nudge", "dry_run"), ("end", "suppressed")] == [t[:2] for t in told(shop)]


def test_after_a_long_downtime_it_expires() -> None:
    """What was due too long ago isn't sent; on the wall clock nobody asks in the meantime."""
    made = rules()
    values = make_settings(timer_spread_ms=0, partitions=1)
    store: dict[bytes, bytes] = {}
    shop = shop_of(made)
    look(shop)
    store.update(shop.store)
    late = Partition(values, made, partition=0, partitions=1, store=store)
    now_ms = shop.partition.now_ms + 10 * 86_400_000
    late.recover(now_ms)
    out = late.tick(now_ms)
    decided = [orjson.loads(m.value or b"") for m in out.messages if m.stream.value == "suppressions"]

    assert [("expired", "suppressed"), ("expired", "ended")] == [(d["reason"], d["verdict"]) for d in decided]


def test_a_deferred_step_delays_what_follows_also_over_a_crash() -> None:
    """An SMS waits for the morning, and the wait after it counts from then; a kill and aborted steps change nothing."""
    text = """
id: sofa
version: 1
description: Somebody looks at sofas.
when: {event: product_viewed}
expires_after: 2d
cooldown: 30d
steps:
  - {id: first, send: {action: reminder, channel: sms, template: first}}
  - {id: rest, wait: 1d}
  - {id: second, send: {action: reminder, channel: email, template: second}}
"""
    shop = shop_of(rules(text))
    look(shop, at="2026-03-02T23:00:00Z")
    shop.restart()
    shop.fail_next(2)
    shop.wait_until("2026-03-03T12:00:00Z")
    shop.restart()
    shop.fail_next(1)
    shop.wait_until("2026-03-20T12:00:00Z")
    decided = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]

    assert [
        ("first", "deferred", "2026-03-02T23:00:00Z"),
        ("first", "publish", "2026-03-03T08:00:00Z"),
        ("second", "publish", "2026-03-04T08:00:00Z"),
        ("end", "ended", "2026-03-04T08:00:00Z"),
    ] == [(d["occurrence"].rpartition("/")[2], d["verdict"], d["decided_at"]) for d in decided]
    assert 3 == len({d["action_id"] for d in decided})
    assert "Step second of a journey begun 2026-03-02 under version 1." in decided[2]["explanation"]["text"]
    assert 0 == running(shop)


def test_a_second_occurrence_ends_at_once_unless_the_first_is_over() -> None:
    """One journey of a rule at a time; one that only a purchase has ended yet makes room."""
    shop = shop_of()
    look(shop)
    look(shop, "2026-03-02T11:00:00Z")
    assert [("hello", "publish"), ("end", "suppressed")] == [t[:2] for t in told(shop)]
    shop.send("Order Completed", "ann", "2026-03-02T12:00:00Z", order_id="o1", revenue=10.0)
    look(shop, "2026-03-02T13:00:00Z")
    assert [("end", "cancelled"), ("hello", "publish")] == [t[:2] for t in told(shop)]
    assert 1 == running(shop)


def test_an_occurrence_begins_once() -> None:
    """An order that is refunded in two parts begins nothing twice, also when its journey is over; with `rearm` raised it does."""
    text = SOFA.replace("product_viewed", "refund", 1).replace('if: event.category == "sofa"\n', "")
    shop = shop_of(rules(text))
    shop.send("Order Completed", "ann", "2026-03-01T10:00:00Z", order_id="o1", revenue=10.0)
    shop.send("Order Refunded", "ann", "2026-03-02T10:00:00Z", order_id="o1", total=1.0)
    shop.wait_until("2026-03-10T00:00:00Z")
    assert [("hello", "publish"), ("nudge", "publish"), ("end", "sent")] == [t[:2] for t in told(shop)]
    shop.send("Order Refunded", "ann", "2026-03-10T10:00:00Z", order_id="o1", total=1.0)
    shop.wait_until("2026-03-20T00:00:00Z")
    assert [] == told(shop)
    shop.rules = rules(text + "rearm: 1\n")
    shop.restart()
    shop.send("Order Refunded", "ann", "2026-03-20T10:00:00Z", order_id="o1", total=1.0)
    shop.wait_until("2026-04-10T00:00:00Z")
    assert 3 == len(told(shop))


def test_under_new_rules_it_goes_on_where_its_step_is_still_there() -> None:
    """A step that is gone, or a rule that is gone, ends it with the reason."""
    kept = SOFA.replace("version: 3", "version: 4").replace("template: nudge", "template: better")
    renamed = SOFA.replace("looks,", "watch,")
    other = {"other": SOFA.lstrip().replace("id: sofa", "id: other")}
    ends = []
    for after in (rules(kept), rules(renamed), parse_rules({"other.yaml": other["other"]})):
        shop = shop_of()
        look(shop)
        shop.take()
        shop.rules = after
        shop.restart()
        shop.wait_until("2026-04-01T00:00:00Z")
        decided = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]
        ends.append([(d["reason"], d["rule"]["version"], d["template"]) for d in decided])
        texts = [d["explanation"]["text"] for d in decided]
        assert "under version 3" in texts[0]

    assert [
        [(None, 4, "better"), ("sent", 4, "")],
        [("cancelled", 3, "")],
        [("cancelled", 3, "")],
    ] == ends


NAMES = ("Product Viewed", "Product Added", "Order Completed", "NPS Submitted", "Products Searched")
events = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.integers(0, 60)), min_size=1, max_size=40)


def _lines(drawn: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    lines, hour = [], 0
    for number, (name, customer, hours) in enumerate(drawn):
        hour += hours
        at = 1_772_445_600_000 + hour * 3_600_000 + number * 1_000
        details: dict[str, Any] = {
            "product_id": "s1",
            "category": "sofa",
            "price": 9.0,
            "quantity": 1 + number % 3,
            "score": 5,
        }
        details |= {"order_id": f"o{number}", "revenue": 10.0} if name == "Order Completed" else {}
        lines.append(message(name, f"c{customer}", at, message_id=f"m{number}", **details))
    return lines


def _checked(decided: list[dict[str, Any]]) -> None:
    """Exactly one end of each occurrence, after everything else of it; ids of actions unique."""
    parts: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for d in decided:
        parts.setdefault((d["rule"]["id"], d["customer_id"], d["occurrence"].rpartition("/")[0]), []).append(d)
    for of_one in parts.values():
        assert ["ended"] == [d["verdict"] for d in of_one if d["verdict"] == "ended"]
        assert "ended" == of_one[-1]["verdict"]
    sent = [d["action_id"] for d in decided if d["verdict"] == "publish"]
    assert len(sent) == len(set(sent))


@given(events, st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_every_occurrence_ends_once_whatever_happens(drawn: list[tuple[str, int, int]], seed: int) -> None:
    """Also with crashes and aborted steps in between; at most one journey of a rule is on its way, and none in the end."""
    made = rules()
    calm, rough, chance = shop_of(made), shop_of(made), random.Random(seed)
    for line in _lines(drawn):
        for shop in (calm, rough):
            if shop is rough and chance.random() < 0.3:
                shop.restart()
                shop.fail_next(chance.randint(0, 2))
            at = line["timestamp"]
            shop.send_bytes(orjson.dumps(line), at)
        assert running(calm) <= len({item["userId"] for item in _lines(drawn)})
    for shop in (calm, rough):
        shop.wait_until("2027-01-01T00:00:00Z")
    told = [item for item in calm.take() if item["stream"] in ("actions", "suppressions")]

    assert told == [item for item in rough.take() if item["stream"] in ("actions", "suppressions")]
    assert calm.store == rough.store
    assert 0 == running(calm)
    looked = {(e["userId"], e["messageId"]) for e in _lines(drawn) if e["event"] == "Product Viewed"}
    ended = {(d["customer_id"], d["occurrence"].removesuffix("/end")) for d in told if d["verdict"] == "ended"}
    assert looked == ended
    _checked(told)


def test_orders_short_ways_and_processes_agree(tmp_path: Path) -> None:
    """A replay of 300 customers' mixed events, by one process or two and in any order of lines, says what a shop says live."""
    chance = random.Random(5)
    drawn = [(chance.choice(NAMES), chance.randrange(300), chance.randrange(2)) for _ in range(3_000)]
    lines = _lines(drawn)
    lines.append(message("Products Searched", "last", "2026-06-30T00:00:00Z", message_id="last", query="sofa"))
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "sofa.yaml").write_text(SOFA.lstrip(), encoding="utf-8")
    shop, long = Shop(rules=rules()), Shop(rules=rules())
    long.partition._browsing.ways = {}
    long.partition._buying.is_open = False
    for line in lines:
        for each in (shop, long):
            each.send_bytes(orjson.dumps(line), line["timestamp"])
    assert shop.store == long.store
    live = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]
    _checked(live)
    chance.shuffle(lines)
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    outs = []
    for processes in ("1", "2"):
        out = tmp_path / f"out{processes}"
        flags = ["--rules", str(folder), "--out", str(out), "--processes", processes, "--json"]
        result = CliRunner().invoke(main, ["replay", str(source), *flags])
        assert 0 == result.exit_code, result.output
        outs.append([(out / name).read_bytes() for name in ("actions.jsonl", "suppressions.jsonl", "summary.json")])

    assert outs[0] == outs[1]
    summary = orjson.loads(outs[0][2])
    ended = Counter(f"sofa: {d['reason']}" for d in live if d["verdict"] == "ended")
    assert dict(ended) == summary["journeys"]
    assert {"sofa: sent", "sofa: cancelled", "sofa: suppressed"} == set(ended)
    replayed = [orjson.loads(row) for rows in outs[0][:2] for row in rows.splitlines()]
    keys = ("action_id", "verdict", "reason", "decided_at", "occurrence")
    assert sorted(tuple(str(d[k]) for k in keys) for d in live) == sorted(
        tuple(str(d[k]) for k in keys) for d in replayed
    )


STATES = {"sent", "suppressed", "expired", "cancelled", "held_out"}
"""The only ways for a journey to end."""
OTHERS = (
    rules(SOFA.replace("version: 3", "version: 4").replace("template: nudge", "template: better")),
    rules(SOFA.replace("version: 3", "version: 5").replace("looks,", "watch,")),
    rules(SOFA.replace("version: 3", "version: 6").replace("[cart_added, nps]", "[nps, csat]") + "holdout_percent: 30\n"),
    rules(SOFA.replace("version: 3", "version: 7").partition("steps:")[0]
          + "then: {action: reminder, channel: [push, email], template: plain}\n"),
    parse_rules({"other.yaml": SOFA.lstrip().replace("id: sofa", "id: other")}),
)  # fmt: skip
"""Another wording; a renamed step; another wait, with a hold-out; no journey at all; the rule is gone."""


@given(events, st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_versions_that_change_under_way_leave_no_journey_behind(drawn: list[tuple[str, int, int]], seed: int) -> None:
    """Whatever is published when, and whatever is aborted: each occurrence that has begun ends once, in one of five states, and
    after its end nothing of it is decided any more."""
    chance, shop = random.Random(seed), shop_of()
    for line in _lines(drawn):
        if chance.random() < 0.3:
            shop.rules = chance.choice((rules(), *OTHERS))
            shop.partition.adopt_rules(shop.rules)
        if chance.random() < 0.3:
            shop.fail_next(chance.randint(1, 2))
        shop.send_bytes(orjson.dumps(line), line["timestamp"])
    shop.wait_until("2027-01-01T00:00:00Z")
    decided = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]

    assert 0 == running(shop)
    _checked([d for d in decided if "/" in d["occurrence"]])
    plain = [d for d in decided if "/" not in d["occurrence"]]
    last = {d["action_id"]: d["verdict"] for d in plain}
    assert {"plain"} >= {d["template"] for d in plain if d["verdict"] == "publish"}
    assert "deferred" not in last.values()
    assert {d["reason"] for d in decided if d["verdict"] == "ended"} <= STATES


def test_a_pause_holds_a_journey_at_its_action_until_it_ends() -> None:
    """It goes on at the instant at which the pause ends, and the wait after its action counts from then."""
    shop = shop_of()
    shop.partition.control(Controls(stopped_rules=frozenset(("sofa",))))
    look(shop)
    shop.wait_until("2026-03-02T12:30:00Z")
    assert {("hello", "paused")} == {t[:2] for t in told(shop)}
    shop.partition.control(Controls())
    shop.fail_next()
    shop.wait_until("2026-04-01T00:00:00Z")

    assert [
        ("hello", "publish", "03-02T12:30"),
        ("nudge", "publish", "03-05T12:30"),
        ("end", "sent", "03-05T12:30"),
    ] == told(shop)
