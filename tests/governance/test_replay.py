"""Limits that all customers share, over history: first come, first served, as live."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import orjson

from stream.config import make_settings
from stream.replay import Replay
from stream.rules.loader import load_rules
from stream.testing import message

RULE = """
id: thanks
version: 1
description: Thanks for an order.
when: {event: purchase}
then: {action: care, channel: email, template: thanks}
expires_after: 30d
cap: false
cost_minor: 10
"""


def test_a_days_money_goes_to_the_first_and_the_others_wait_for_tomorrow(tmp_path: Path) -> None:
    """35 orders of a day at ten each, on a budget of 200 with nothing reserved: twenty that day, the rest the day after."""
    (tmp_path / "thanks.yaml").write_text(RULE.strip() + "\n", encoding="utf-8")
    lines = [
        orjson.dumps(message("Order Completed", f"c{n}", f"2026-03-0{1 + n // 35}T{n % 24:02}:{n % 60:02}:00Z",
                             message_id=f"m{n}", order_id=f"o{n}", revenue=5.0))
        for n in range(40)
    ]  # fmt: skip
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(lines))
    settings = make_settings(budget_daily_minor=200, budget_reserved_share=0, rules_dir=str(tmp_path))
    found = []
    for processes in (1, 2):
        with Replay(settings, load_rules(str(tmp_path)), processes=processes, work=tmp_path / "work") as replay:
            replay.run([events])
            found.append([orjson.loads(row) for row in replay.rows("actions")])
    actions = found[0]

    assert found[0] == found[1]
    assert Counter({"2026-03-01": 20, "2026-03-02": 20}) == Counter(action["decided_at"][:10] for action in actions)
    first = sorted((n % 24, n % 60, f"c{n}") for n in range(35))[:20]
    assert {customer for _, _, customer in first} == {
        a["customer_id"] for a in actions if a["decided_at"] < "2026-03-02"
    }
