"""To play what happens once for both versions gives the same as to play it for each of them on its own."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from stream.backtest import Backtest
from stream.backtest.job import read_both
from stream.config import Settings
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.rules.loader import load_rules
from stream.simulate import Shop, broken
from stream.testing import message
from tests.kpis.test_kpis import HORIZON, life

SHIPPED = Path(load_rules.__code__.co_filename).parent / "library"
MORE = {
    "tested": """\
when: {event: purchase}
variants: [{id: a, weight: 1, channel: sms, cost_minor: 3}, {id: b, weight: 2, template: other}]
holdout_percent: 20
choose: bandit
measure: {window: 5d, pause_without_effect: true}
then: {action: care, channel: email, template: tested}
cap: false
""",
    "accompanied": """\
when: {event: product_viewed}
cooldown: 6d
stop_if: customer.open_complaints > 0
steps:
  - {id: hello, send: {action: reminder, channel: email, template: hello}}
  - {id: looks, wait_for: [cart_added, nps], within: 3d, then: fork, else: nudge}
  - {id: fork, branch: customer.cart_open, then: rest, else: nudge}
  - {id: rest, wait: 1d}
  - {id: carry, send: {action: reminder, channel: email, template: carry}, then: end}
  - {id: nudge, send: {action: reminder, channel: push, template: nudge}}
""",
    "rival-one": "when: {event: reviewed}\nthen: {action: care, channel: email, template: one}\ncontest: voices\n",
    "rival-two": "when: {event: nps}\nthen: {action: care, channel: sms, template: two}\ncontest: voices\npriority: 70\n",
    "away": "when: {since: last_activity, after: 4d}\nthen: {action: recall, channel: push, template: away}\n",
    "quick": "when: {since: last_purchase, after: 1d, spread: 1h}\n"
    "then: {action: care, channel: [app, sms, email], template: quick}\n",
    "monthly": "when: {every: month, day: 3}\nif: customer.recency_days <= 9\nthen: {action: care, channel: email, template: m}\n",
    "early": "when: {before: 9d, until: expected_purchase}\nthen: {action: reminder, channel: email, template: early}\n",
    "leaving": "when: {alert: churn}\nthen: {action: recall, channel: email, template: leaving}\n",
}
"""Rules of kinds that the shipped ones are few of."""


def folder_of_rules(path: Path, rng: random.Random, names: list[str]) -> str:
    """Some of the shipped rules and of `MORE`, of the latter each in one of a few ways."""
    path.mkdir(parents=True)
    for name in names:
        if name in MORE:
            text = MORE[name] if "priority" in MORE[name] else MORE[name] + f"priority: {rng.choice((20, 60))}\n"
            text += f"expires_after: {rng.choice(('2h', '3d'))}\n"
            (path / f"{name}.yaml").write_text(f"id: {name}\nversion: 1\ndescription: For a test.\n{text}")
        else:
            text = (SHIPPED / f"{name}.yaml").read_text()
            (path / f"{name}.yaml").write_text(text.replace("after: 60d", f"after: {rng.choice((8, 60))}d"))
    return str(path)


def history(path: Path, rng: random.Random, days: int) -> Path:
    """A simulated shop's events in no order, with repeats, nonsense, corrected orders and corrected times."""
    start_ms = parse_ms(rng.choice(("2026-01-20", "2025-11-10", "2026-03-25")))
    shop = Shop(seed=rng.randrange(1_000), customers=12, start_ms=start_ms, join_days=days / 3)
    told = [made for _, made in shop.events(start_ms + days * DAY_MS)]
    lines = [orjson.dumps(made) for made in told]
    lines += [broken(rng.choice(told), which)[1] for which in range(4)]
    orders = [made for made in told if made.get("event") == "Order Completed"]
    for made in rng.sample(orders, min(8, len(orders))):
        lines.append(orjson.dumps({**made, "properties": {**made["properties"], "revenue": 1.0}}))
    for made in rng.sample(orders, min(8, len(orders))):
        number = made["properties"]["order_id"]
        gone = message("Order Cancelled", made["userId"], made["timestamp"], message_id=f"c-{number}", order_id=number)
        lines.append(orjson.dumps(gone))
    for made in rng.sample(told, 10):
        later = to_text(parse_ms(made["timestamp"]) + 9 * DAY_MS)
        lines.append(orjson.dumps({**made, "timestamp": later}))
    for made in rng.sample(orders, min(5, len(orders))):  # several at the same instant, and daily ones
        for number in range(4):
            at = to_text(parse_ms(made["timestamp"]) + (number // 2) * DAY_MS)
            again = {"messageId": f"{made['messageId']}-{number}", "timestamp": at}
            facts = {**made["properties"], "order_id": f"{made['properties']['order_id']}-{number}"}
            lines.append(orjson.dumps({**made, **again, "properties": facts}))
    lines += rng.choices(lines, k=30)
    rng.shuffle(lines)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def compared(work: Path, settings: Settings, folders: tuple[str, str], file: Path, **how: Any) -> tuple[bytes, bytes]:
    """All figures, and every difference."""
    with Backtest(settings, read_both(*folders), folders, work=work, **how) as run:
        result = run.run([file])
        return msgspec.json.encode(result), b"".join(run.differences())


@pytest.mark.parametrize("seed", range(4))
def test_both_at_once_is_each_on_its_own(tmp_path: Path, seed: int) -> None:
    """Random histories, rules and settings: the same decisions, figures and differences; also when there is no room in memory."""
    rng = random.Random(seed)
    names = [path.stem for path in sorted(SHIPPED.glob("*.yaml"))]
    picked = [[*rng.sample(names, rng.choice((3, 15, 29))), *rng.sample(sorted(MORE), 5)] for _ in range(2)]
    folders = [folder_of_rules(tmp_path / str(number), rng, each) for number, each in enumerate(picked)]
    # Against one rule that never answers every decision is a difference, so that each is compared and not only counted.
    silent = tmp_path / "silent"
    silent.mkdir()
    (silent / "silent.yaml").write_text(
        "id: silent\nversion: 1\ndescription: Never.\nwhen: {event: session}\nif: 'event.name == \"never\"'\n"
        "then: {action: care, channel: email, template: silent}\npriority: 1\nexpires_after: 1d\n"
    )
    file = history(tmp_path / "events", rng, rng.choice((35, 60)))
    settings = Settings(
        churn_horizon_days=rng.choice((7, 30)),
        memory_messages=rng.choice((16, 256)),
        cap_messages=rng.choice((1, 3)),
        quiet_hours=rng.choice(("", "21:00-08:00")),
        decision_window_ms=rng.choice((0, 3_600_000)),
        time_zone=rng.choice(("UTC", "Asia/Shanghai", "America/New_York")),
    )
    # A limit of the whole shop has every version played in a partition of its own, in order of time. This one is never reached.
    apart = msgspec.structs.replace(settings, breaker_actions_per_minute=10**9)

    for old, new in ((folders[0], folders[1]), (str(silent), folders[0]), (folders[1], str(silent))):
        figures, differences = compared(tmp_path, settings, (old, new), file)

        assert (figures, differences) == compared(tmp_path, apart, (old, new), file)
        assert (figures, differences) == compared(tmp_path, settings, (old, new), file, room_bytes=20_000)
        assert len(differences.splitlines()) > 10


def test_classes_and_clusters_are_those_of_a_run_on_its_own(tmp_path: Path) -> None:
    """Rules that ask for the primary tier, another scheme's, a cluster or a tag decide the same in a backtest; here the second
    version's, which keeps a memory of its own."""
    asked = {
        "tier": 'customer.tier in ["passive_loyal", "drop_out"]',
        "share": 'customer.share_tier in ["high", "low"]',
        "cluster": 'customer.cluster in ["cluster_1", "cluster_4"]',
        "tag": '"regular" in customer.personas',
        "silent": 'event.channel == "never"',
    }
    for name, condition in asked.items():
        folder = tmp_path / ("silent" if name == "silent" else "asking")
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(
            f"id: {name}\nversion: 1\ndescription: Asks.\nwhen: {{event: [purchase, reviewed, nps, csat, outcome, identified]}}\nif: '{condition}'\n"
            f"then: {{action: care, channel: none, template: {name}}}\nexpires_after: 1d\ncap: false\n"
        )
    file = tmp_path / "events"
    file.write_bytes(b"\n".join(map(orjson.dumps, life(5, days=60))))
    settings = Settings(churn_horizon_days=HORIZON, tier_scheme="loyalty")
    apart = msgspec.structs.replace(settings, breaker_actions_per_minute=10**9)
    folders = str(tmp_path / "silent"), str(tmp_path / "asking")
    figures, differences = compared(tmp_path, settings, folders, file)

    assert (figures, differences) == compared(tmp_path, apart, folders, file)
    assert {"tier", "share", "cluster", "tag"} == {name for name in asked if f'"{name}"'.encode() in differences} - {
        "silent"
    }


def test_what_an_order_makes_overdue_is_looked_at_in_its_own_version(tmp_path: Path) -> None:
    """A reminder that an order has made due days ago has calendars looked at from then on; only where there is such a rule."""
    rng = random.Random(1)
    both = folder_of_rules(tmp_path / "both", rng, ["early", "monthly"])
    one = folder_of_rules(tmp_path / "one", rng, ["monthly", "quick"])
    days = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-02-05", "2026-02-20")
    lines = [
        orjson.dumps(message("Order Completed", "a", f"{day}T08:00:00Z", message_id=day, order_id=day, revenue=9.0))
        for day in days
    ]
    file = tmp_path / "events"
    file.write_bytes(b"\n".join(lines) + b"\n")
    settings = Settings(quiet_hours="")
    apart = msgspec.structs.replace(settings, breaker_actions_per_minute=10**9)

    for folders in ((both, one), (one, both)):
        figures, differences = compared(tmp_path, settings, folders, file)

        assert (figures, differences) == compared(tmp_path, apart, folders, file)
        february = [row for row in map(orjson.loads, differences.splitlines()) if row["rule"] == "monthly"]
        assert [{"appears"}, {"vanishes"}][folders == (both, one)] == {row["change"] for row in february}
