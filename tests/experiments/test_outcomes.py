"""What a rule's groups bought afterwards, counted by the stream and by a plain recount."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from stream.config import make_settings
from stream.events.instants import DAY_MS, parse_ms
from stream.experiments.tally import Key, Sums, Tally, merged
from stream.rules.loader import load_rules
from stream.testing import Shop

RULE = """
id: lapsed
version: 2
description: Comes back after ten days.
when: {since: last_purchase, after: 10d}
then: {action: recall, channel: email, template: lapsed}
variants:
  - {id: plain, weight: 1}
  - {id: gift, weight: 3, template: lapsed-gift, offer: {kind: percent, value: 10}, cost_minor: 250}
holdout_percent: 40
measure: {window: 5d}
expires_after: 3d
cooldown: 20d
cap: false
"""
START_MS = parse_ms("2026-03-01T00:00:00Z")


def test_outcomes_are_those_of_a_recount(tmp_path: Path) -> None:
    """Per version, arm and channel: who was met, who bought within five days, for how much; whatever fails or is restarted."""
    (tmp_path / "lapsed.yaml").write_text(RULE.strip() + "\n", encoding="utf-8")
    shop = Shop(rules=load_rules(str(tmp_path)), settings=make_settings(timer_spread_ms=3_600_000))
    chance = random.Random(4)
    orders = sorted(
        (START_MS + chance.randrange(60 * DAY_MS), f"c{chance.randrange(120)}", 100 * chance.randrange(1, 90), number)
        for number in range(500)
    )
    for at_ms, customer, amount_minor, number in orders:
        if not number % 7:
            shop.fail_next()
        if not number % 50:
            shop.restart()
        shop.send("Order Completed", customer, at_ms, order_id=f"o{number}", revenue=amount_minor / 100)
    shop.wait_until(START_MS + 100 * DAY_MS)
    decided = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]
    met = [item for item in decided if item["reason"] in (None, "holdout")]

    exposed: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    converted: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    for item in met:
        arm, at_ms = item["experiment"]["arm"], parse_ms(item["decided_at"])
        bought = [a for t, c, a, _ in orders if c == item["customer_id"] and at_ms < t <= at_ms + 5 * DAY_MS]
        exposed[arm] += 1
        revenue[arm] += sum(bought)
        converted[arm] += bool(bought)
        actions[arm] += item["verdict"] == "publish"
        assert (arm == "control") == item["experiment"]["holdout"] == (item["reason"] == "holdout")
        assert ("lapsed-gift" if arm == "gift" else "lapsed") == item["template"]
    assert shop.epoch is not None
    found = _by_arm(shop.epoch.tallies)
    assert {"plain", "gift", "control"} == found.keys()
    assert exposed == {arm: sums.exposed for arm, sums in found.items()}
    assert revenue == {arm: sums.revenue_minor for arm, sums in found.items()}
    assert converted == {arm: sums.converted for arm, sums in found.items()}
    assert {**actions, "control": 0} == {arm: sums.actions for arm, sums in found.items()}
    assert 250 * actions["gift"] == found["gift"].cost_minor
    assert sum(converted.values()) > 10
    assert len({item["customer_id"] for item in met}) == len({(i["customer_id"], i["experiment"]["arm"]) for i in met})


def _by_arm(tallies: Iterable[Tally]) -> dict[str, Sums]:
    """Whatever the channel and the tier."""
    found = merged(Tally(Key(*tally.key)._replace(channel="", tier=""), tally.sums) for tally in tallies)
    return {Key(*tally.key).arm: tally.sums for tally in found}
