"""A backtest tells exactly where two sets of rules part, and nothing else shows in it."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from stream.cli import main
from stream.config import Settings
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.replay import Replay
from stream.rules.loader import load_rules
from stream.simulate import Shop, broken
from stream.state.customer import decode
from stream.testing import message

RULE = """\
id: {name}
version: 1
description: For a test.
when: {when}
{condition}then: {{action: recall, channel: {channel}, template: {name}}}
priority: 50
expires_after: 7d
cap: false
{more}"""
FILES = ("backtest.json", "differences.jsonl", "report.html")


def rules(folder: Path, **files: dict[str, str]) -> Path:
    """A folder of rules, each with what differs from an e-mail on every purchase."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, given in files.items():
        rule = {
            "name": name,
            "when": "{event: purchase}",
            "condition": "",
            "channel": "email",
            "more": "",
            **given,
        }
        (folder / f"{name}.yaml").write_text(RULE.format(**rule))
    return folder


def lapsed(after: str) -> dict[str, str]:
    """Asks after so much silence."""
    return {"when": f"{{since: last_purchase, after: {after}, spread: 1h}}"}


def order(customer: str, at: str, number: str, revenue: float = 20.0) -> bytes:
    """One order."""
    made = message("Order Completed", customer, at, message_id=f"m-{number}", order_id=number, revenue=revenue)
    return orjson.dumps(made)


def cancelled(customer: str, at: str, number: str) -> bytes:
    """That order is cancelled."""
    return orjson.dumps(message("Order Cancelled", customer, at, message_id=f"c-{number}", order_id=number))


def events(path: Path, lines: list[bytes]) -> Path:
    """A file of events."""
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def call(*arguments: object) -> Result:
    """The command as the shell would call it."""
    return CliRunner().invoke(main, ["backtest", *map(str, arguments)])


def run(out: Path, *arguments: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures and the differences."""
    result = call("--out", out, *arguments)
    assert result.exit_code == 0, result.output
    lines = (out / "differences.jsonl").read_bytes().splitlines()
    return orjson.loads((out / "backtest.json").read_bytes()), [orjson.loads(line) for line in lines]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight weeks of a simulated shop in no order, with repeats, refunds, cancellations and nonsense."""
    rng = random.Random(5)
    start_ms = parse_ms("2026-01-01")
    messages = [
        m for _, m in Shop(seed=8, customers=40, start_ms=start_ms, join_days=20).events(start_ms + 56 * DAY_MS)
    ]
    lines = [orjson.dumps(m) for m in messages]
    lines += [broken(rng.choice(messages), which)[1] for which in range(24)]
    orders = [m for m in messages if m.get("event") == "Order Completed"]
    for m in rng.sample(orders, 12):
        lines.append(orjson.dumps({**m, "properties": {**m["properties"], "revenue": 1.0}}))
    for m in rng.sample(orders, 15):
        number = m["properties"]["order_id"]
        lines.append(cancelled(m["userId"], m["timestamp"], number))
    for m in rng.sample(orders, 10):  # the same message with its time corrected is a repeat, not an order of that day
        later = to_text(parse_ms(m["timestamp"]) + 9 * DAY_MS)
        lines.append(orjson.dumps({**m, "timestamp": later}))
    lines += rng.choices(lines, k=100)
    rng.shuffle(lines)
    return events(tmp_path_factory.mktemp("shop") / "events.jsonl", lines)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped rules with a few changes."""
    folder = tmp_path_factory.mktemp("rules")
    library = Path(main.__module__.replace(".", "/")).parent / "rules" / "library"
    for file in sorted(library.glob("*.yaml")):
        text = file.read_text()
        if file.stem == "lapsed-60":
            text = text.replace("after: 60d", "after: 45d")
        if file.stem != "welcome":
            (folder / file.name).write_text(text)
    rules(folder, often={"more": "cooldown: 10d\n"}, quiet=lapsed("20d"))
    return folder


def test_every_way_in_which_decisions_differ(tmp_path: Path) -> None:
    """Golden scenario: each customer has one difference, and it is told as what it is."""
    old = rules(
        tmp_path / "old",
        lapsed=lapsed("60d"),
        gone={"when": "{event: complaint_opened}"},
        worded={"when": "{event: nps}"},
        often={"when": "{event: csat}"},
        refused={"when": "{event: reviewed}", "more": "cooldown: 30d\n"},
        same={"when": "{event: product_viewed}"},
    )
    new = rules(
        tmp_path / "new",
        lapsed=lapsed("45d"),
        fresh={"when": "{event: searched}"},
        worded={"when": "{event: nps}", "channel": "sms"},
        often={"when": "{event: csat}", "more": "cooldown: 30d\n"},
        refused={"when": "{event: reviewed}", "channel": "sms", "more": "cooldown: 30d\n"},
        same={"when": "{event: product_viewed}"},
    )
    lines = [
        order("moved", "2026-01-01T08:00:00Z", "o1"),
        order("early", "2026-01-01T08:00:00Z", "o2"),
        order("early", "2026-02-20T08:00:00Z", "o3"),
        order("end", "2026-03-10T08:00:00Z", "o4"),
    ]
    said: list[tuple[str, str, dict[str, Any]]] = [
        ("Complaint Opened", "gone", {"complaint_id": "k"}),
        ("Products Searched", "fresh", {"query": "tea"}),
        ("NPS Submitted", "worded", {"score": 9}),
        ("CSAT Submitted", "often", {"score": 3}),
        ("CSAT Submitted", "often", {"score": 4}),
        ("Product Viewed", "same", {"product_id": "p"}),
    ]
    for number, (name, who, facts) in enumerate(said):
        at = f"2026-02-0{1 + number}T08:00:00Z"
        lines.append(orjson.dumps(message(name, who, at, message_id=f"n{number}", **facts)))
    refusal = message(
        "Consent Changed", "refused", "2026-02-01T07:00:00Z", message_id="x", consent_channel="sms", granted=False
    )
    lines.append(orjson.dumps(refusal))
    for day in (1, 2):
        facts = {"product_id": "p", "rating": "4"}
        lines.append(
            orjson.dumps(
                message("Product Reviewed", "refused", f"2026-02-0{day}T09:00:00Z", message_id=f"v{day}", **facts)
            )
        )

    figures, found = run(
        tmp_path / "out",
        "--rules",
        new,
        "--against",
        old,
        "--until",
        "2026-03-10T12:00:00Z",
        events(tmp_path / "e", lines),
    )

    told = {
        (
            row["customer_id"],
            row["change"],
            *row["what"],
            *[row[side] and row[side]["reason"] for side in ("old", "new")],
        )
        for row in found
    }
    assert {
        ("moved", "moves", "time", None, None),
        ("early", "appears", None, None),
        ("fresh", "appears", None, None),
        ("gone", "vanishes", None, None),
        ("worded", "moves", "channel", None, None),
        ("often", "moves", "verdict", "reason", None, "cooldown"),
        ("refused", "moves", "verdict", "reason", "channel", None, "consent_missing"),
        ("refused", "moves", "reason", "channel", "cooldown", "consent_missing"),
    } == told
    assert len(told) == len(found)
    total = figures["total"]
    assert {"appears": 2, "moves": 5, "same": 2, "vanishes": 1} == total["changes"]
    assert ({"cooldown": 1}, {"consent_missing": 2, "cooldown": 1}) == (total["old_held"], total["new_held"])
    # Sent: moved, gone, worded, often twice, refused and same; then moved, early, fresh, worded, often once, same.
    assert (7, 6, 2, 3) == tuple(total[name]["messages"] for name in ("old", "new", "added", "removed"))
    assert (6, 6) == (total["old"]["customers"], total["new"]["customers"])
    assert {"low", "medium", "prospect"} >= figures["by"]["tier"].keys()
    assert ["email", "sms"] == list(figures["by"]["channel"])
    assert all(parse_ms(week) // DAY_MS % 7 == 4 for week in figures["by"]["week"])  # 1970-01-05 was a Monday


def test_who_bought_anyway_is_told_of_orders_that_count(tmp_path: Path) -> None:
    """Within the window, after the decision, not cancelled in the end; nothing is said where the window isn't over."""
    new = rules(tmp_path / "new", asked={"when": "{event: nps}"})
    old = rules(tmp_path / "old", other={"when": "{event: csat}"})
    at = "2026-02-01T08:00:00Z"
    orders = {
        "bought": ["2026-02-15T08:00:00Z"],
        "at-once": [at],
        "last-moment": ["2026-03-03T08:00:00Z"],
        "too-late": ["2026-03-03T08:00:00.001Z"],
        "before": ["2026-01-20T08:00:00Z"],
        "cancelled": ["2026-02-15T08:00:00Z"],
        "still-one": ["2026-02-15T08:00:00Z", "2026-02-16T08:00:00Z"],
    }
    lines = [
        order(who, when, f"{who}-{number}") for who, instants in orders.items() for number, when in enumerate(instants)
    ]
    lines += [cancelled("cancelled", "2026-05-01T00:00:00Z", "cancelled-0")]
    lines += [cancelled("still-one", "2026-02-17T00:00:00Z", "still-one-0")]
    lines += [
        orjson.dumps(message("NPS Submitted", who, at, message_id=f"n-{who}", score=9)) for who in (*orders, "never")
    ]
    lines += [orjson.dumps(message("NPS Submitted", "open", "2026-05-20T08:00:00Z", message_id="n-open", score=9))]
    lines += [order("open", "2026-05-21T08:00:00Z", "open")]

    figures, found = run(
        tmp_path / "out", "--rules", new, "--against", old, events(tmp_path / "e", lines), "--until", "2026-06-01"
    )

    bought = {row["customer_id"]: row["new"]["bought_within_window"] for row in found}
    yes = dict.fromkeys(("bought", "last-moment", "still-one"), True)
    no = dict.fromkeys(("at-once", "too-late", "before", "cancelled", "never"), False)
    assert yes | no | {"open": None} == bought
    assert {"messages": 9, "customers": 9, "settled": 8, "bought": 3, "cost_minor": 0} == figures["total"]["added"]


def test_orders_are_remembered_longer_than_customers_remember_them(tmp_path: Path) -> None:
    """What was bought after a decision years ago is known, although no order book goes back so far."""
    new = rules(tmp_path / "new", asked={"when": "{event: nps}"})
    old = rules(tmp_path / "old", other={"when": "{event: csat}"})
    lines = [
        orjson.dumps(message("NPS Submitted", "a", "2020-02-01T08:00:00Z", message_id="n", score=9)),
        order("a", "2020-02-10T08:00:00Z", "o1"),
        order("a", "2025-02-10T08:00:00Z", "o2"),
    ]

    _, (row,) = run(tmp_path / "out", "--rules", new, "--against", old, events(tmp_path / "e", lines))

    assert row["new"]["bought_within_window"] is True


def test_rules_differ_from_themselves_in_nothing(tmp_path: Path, shop: Path, changed: Path) -> None:
    """Any set of rules against itself: no difference, no line, the same figures on both sides."""
    figures, found = run(tmp_path / "out", "--rules", changed, "--against", changed, shop, "--processes", 1)

    assert [] == found
    for part in (figures["total"], *[part for parts in figures["by"].values() for part in parts.values()]):
        assert part["old"] == part["new"] and part["old_held"] == part["new_held"]
        assert {"same"} >= part["changes"].keys() and not part["moved_by"]
        assert not part["added"]["messages"] and not part["removed"]["messages"]
    assert figures["total"]["changes"]["same"] > 100
    assert "Both sets of rules decide the same" in (tmp_path / "out" / "report.html").read_text()


def test_counts_are_those_of_two_replays(tmp_path: Path, shop: Path, changed: Path) -> None:
    """What is sent and held back, and every difference, as two runs of `winback replay` tell it on their own."""
    figures, found = run(tmp_path / "out", "--rules", changed, shop, "--processes", 1)

    ids: list[dict[str, tuple[Any, ...]]] = []
    for side, flags in (("old", ()), ("new", ("--rules", str(changed)))):
        out = tmp_path / side
        result = CliRunner().invoke(main, ["replay", str(shop), "--out", str(out), *flags])
        assert result.exit_code == 0, result.output
        rows = [
            [orjson.loads(line) for line in (out / f"{name}.jsonl").read_bytes().splitlines()]
            for name in ("actions", "suppressions")
        ]
        sent = Counter(row["rule"]["id"] for row in rows[0])
        held = Counter(row["reason"] for row in rows[1])
        tiers = Counter(row["state"]["tier"] for row in rows[0])
        reached = {row["customer_id"] for row in rows[0]}
        summary = orjson.loads((out / "summary.json").read_bytes())
        assert sent == Counter({rule: part[side]["messages"] for rule, part in figures["by"]["rule"].items()})
        assert tiers == Counter({tier: part[side]["messages"] for tier, part in figures["by"]["tier"].items()})
        assert held == Counter(figures["total"][f"{side}_held"])
        assert (len(rows[0]), len(reached)) == tuple(figures["total"][side][name] for name in ("messages", "customers"))
        assert (summary["customers"], sum(summary["events"].values())) == (figures["customers"], figures["events"])
        assert sum(summary["dead_letters"].values()) == figures["dead_letters"]
        assert summary["as_of"] == figures["until"]
        last = {row["action_id"]: row for row in sorted(rows[0] + rows[1], key=lambda row: parse_ms(row["decided_at"]))}
        ids.append(
            {one: (row["decided_at"], row["reason"], row["channel"], row["template"]) for one, row in last.items()}
        )
    old, new = ids
    assert {one for one in old.keys() & new.keys() if old[one] != new[one]} == {
        row["new"]["action_id"]
        for row in found
        if row["change"] == "moves" and row["old"]["action_id"] == row["new"]["action_id"]
    }
    lone = [
        {row[side]["action_id"] for row in found if row[side] and row["change"] != "moves"} for side in ("old", "new")
    ]
    assert lone == [old.keys() - new.keys(), new.keys() - old.keys()]
    assert all(lone)


def test_who_bought_anyway_is_told_as_the_order_books_have_it(tmp_path: Path, shop: Path, changed: Path) -> None:
    """Each outcome is what the customer's order book says at the end, of orders with refunds, repeats and corrections."""
    _, found = run(tmp_path / "out", "--rules", changed, shop, "--processes", 1, "--window-days", 9)
    with Replay(Settings(), load_rules(), work=tmp_path, states=True) as replay:
        replay.run([shop])
        books = {key.decode(): decode(value).orders for key, value in replay.states().items() if key[:1] != b"\0"}
        until_ms = parse_ms(replay.summary()["as_of"])

    told: Counter[bool | None] = Counter()
    for row in found:
        times, nets = books[row["customer_id"]].columns()
        for side in filter(None, (row["old"], row["new"])):
            at_ms = parse_ms(side["decided_at"])
            last_ms = at_ms + 9 * DAY_MS
            bought = any(net and at_ms < time_ms <= last_ms for time_ms, net in zip(times, nets, strict=True))
            assert (bought if last_ms <= until_ms else None) is side["bought_within_window"], row
            told[side["bought_within_window"]] += 1
    assert all(told[outcome] > 5 for outcome in (True, False, None))


def test_neither_a_second_run_nor_the_number_of_processes_shows(tmp_path: Path, shop: Path, changed: Path) -> None:
    """The same bytes in every file, with one process, again with one, and with two and three."""
    outs = [tmp_path / str(turn) for turn in range(4)]
    for out, processes in zip(outs, (1, 1, 2, 3), strict=True):
        run(out, "--rules", changed, shop, "--processes", processes)

    first = {name: (outs[0] / name).read_bytes() for name in FILES}
    assert all(first.values()) and first["differences.jsonl"].count(b"\n") > 10
    for out in outs[1:]:
        assert first == {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_limit_that_customers_share_is_used_up_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a daily budget for one message, the first customer of the day has it, however many processes there are. A message costs
    what its rule says and what its channel does."""
    monkeypatch.setenv("WINBACK_BUDGET_DAILY_MINOR", "29")
    monkeypatch.setenv("WINBACK_CHANNEL_COSTS", "email=5, sms=1")
    monkeypatch.setenv("WINBACK_BUDGET_RESERVED_SHARE", "0")
    old = rules(tmp_path / "old", asked={"when": "{event: csat}", "more": "cost_minor: 10\n"})
    new = rules(tmp_path / "new", asked={"more": "cost_minor: 10\n"})
    who = [f"customer-{number}" for number in range(12)]
    lines = [order(name, f"2026-01-01T08:00:{number:02d}Z", name) for number, name in enumerate(who)]

    _, found = run(
        tmp_path / "out", "--rules", new, "--against", old, events(tmp_path / "e", lines[::-1]), "--processes", 2
    )

    assert who[:1] == [row["customer_id"] for row in found if row["new"]["verdict"] == "publish"]
    assert {"budget"} == {row["new"]["reason"] for row in found if row["new"]["verdict"] != "publish"}


def test_budget_used_is_what_the_sent_actions_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the price in each version's rule files, variants at their own, and the channel's; what is held back costs nothing."""
    monkeypatch.setenv("WINBACK_CHANNEL_COSTS", "email=100, sms=1000")
    old = rules(tmp_path / "old", asked={"more": "cost_minor: 10\ncooldown: 10d\n"}, free={})
    variants = "variants: [{id: a, weight: 1, cost_minor: 7}, {id: b, weight: 1, cost_minor: 7}]\n"
    new = rules(tmp_path / "new", asked={"more": f"cost_minor: 25\n{variants}"}, free={})
    lines = [order("a", "2026-01-01T08:00:00Z", "o1"), order("a", "2026-01-02T08:00:00Z", "o2")]

    figures, _ = run(tmp_path / "out", "--rules", new, "--against", old, events(tmp_path / "e", lines))

    assert [310, 414] == [figures["total"][side]["cost_minor"] for side in ("old", "new")]
    assert [110, 214] == [figures["by"]["rule"]["asked"][side]["cost_minor"] for side in ("old", "new")]
    assert 107 == figures["total"]["added"]["cost_minor"]
    assert "Budget" in (tmp_path / "out" / "report.html").read_text()


def test_no_events_at_all(tmp_path: Path) -> None:
    """An empty file is an answer too: nothing was decided."""
    new = rules(tmp_path / "new", asked={})
    empty = events(tmp_path / "e", [])

    figures, found = run(tmp_path / "out", "--rules", new, empty)

    assert ([], None, None, 0, {}) == (
        found,
        figures["since"],
        figures["until"],
        figures["events"],
        figures["by"]["rule"],
    )
    assert "no event" in (tmp_path / "out" / "report.html").read_text()


def test_history_older_than_any_rule(tmp_path: Path) -> None:
    """Rules of today judge orders of 1997 as if they had been there."""
    new = rules(tmp_path / "new", lapsed=lapsed("45d"))
    old = rules(tmp_path / "old", lapsed=lapsed("60d"))
    lines = [order("a", "1997-01-01T08:00:00Z", "o1"), order("b", "1997-04-01T08:00:00Z", "o2")]

    figures, (row,) = run(tmp_path / "out", "--rules", new, "--against", old, events(tmp_path / "e", lines))

    assert ("1997-01-01", "1997-04-01T08:00:00Z") == (figures["since"], figures["until"])
    assert ["1997-03-02", "1997-02-15"] == [row[side]["decided_at"][:10] for side in ("old", "new")]


def test_every_mistake_in_both_folders_is_told_at_once(tmp_path: Path) -> None:
    """Nothing is read or written before all rule files are right."""
    new = rules(tmp_path / "new", first={"condition": "if: customer.recencydays > 3\n"}, second={"channel": "pigeon"})
    old = rules(tmp_path / "old", third={"when": "{event: purchased}"})

    result = call("--rules", new, "--against", old, "--out", tmp_path / "out", events(tmp_path / "e", []))

    assert 1 == result.exit_code
    assert result.stderr.startswith("winback: 3 problems in the rule files")
    assert all(f"{name}.yaml:" in result.stderr for name in ("new/first", "new/second", "old/third"))
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """With the others that are missing, and without a trace of a run."""
    result = call("--rules", rules(tmp_path / "new", one={}), "--out", tmp_path / "out", tmp_path / "a", tmp_path / "b")

    assert 1 == result.exit_code
    assert all(f"{tmp_path / name}: no such file" in result.stderr for name in ("a", "b"))
    assert not list((tmp_path / "out").iterdir())


def test_the_data_set_is_events_too(tmp_path: Path) -> None:
    """The README's example, with a few of the customers."""
    new = rules(tmp_path / "new", lapsed=lapsed("45d"))

    figures, found = run(tmp_path / "out", "--rules", new, "--against", new, "--dataset", "cdnow", "--customers", 20)

    assert (20, "1997-01-01", []) == (figures["customers"], figures["since"], found)
    assert figures["total"]["new"]["messages"] > 20
    for wrong in ([], ["--dataset", "cdnow", "events.jsonl"], ["events.jsonl", "--customers", 3]):
        assert 2 == call("--rules", new, *wrong).exit_code


def test_json_is_the_figures_and_nothing_else(tmp_path: Path) -> None:
    """For programs."""
    new = rules(tmp_path / "new", asked={})
    file = events(tmp_path / "e", [order("a", "2026-01-01T08:00:00Z", "o1")])

    result = call("--rules", new, "--out", tmp_path / "out", file, "--json")

    assert orjson.loads(result.stdout) == orjson.loads((tmp_path / "out" / "backtest.json").read_bytes())
    assert "" == result.stderr
