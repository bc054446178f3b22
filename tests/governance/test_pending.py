"""What is put off is decided later, once, whatever happens in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.config import make_settings
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet
from stream.testing import Shop

LAPSED = """
id: lapsed
version: 1
description: Comes back after ten days.
when: {since: last_purchase, after: 10d}
then: {action: recall, channel: sms, template: lapsed}
expires_after: 3d
"""
VIEWED = """
id: {id}
version: 1
description: Looks at something.
when: {{event: product_viewed}}
if: event.price_minor >= {least}
then: {{action: reminder, channel: email, template: viewed}}
expires_after: 1d
priority: {priority}
contest: viewed
cap: false
"""


def rules(folder: Path, **texts: str) -> RuleSet:
    """Rules of a test's own."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text.strip() + "\n", encoding="utf-8")
    return load_rules(str(folder))


def shop_of(made: RuleSet, **settings: Any) -> Shop:
    """A shop with them, and nothing spread over time."""
    return Shop(rules=made, settings=make_settings(timer_spread_ms=0, **settings))


def told(shop: Shop) -> list[tuple[str, str | None, str]]:
    """Rule or verdict, reason and instant of what was decided since the last time."""
    return [
        (item["verdict"], item["reason"], item["decided_at"])
        for item in shop.take()
        if item["stream"] in ("actions", "suppressions")
    ]


def test_a_night_passes_and_the_message_goes_out(tmp_path: Path) -> None:
    """Under the id that it was put off with, also when the worker is killed in the night and its morning step is aborted."""
    shop = shop_of(rules(tmp_path, lapsed=LAPSED))
    shop.send("Order Completed", "ann", "2026-03-01T23:30:00Z", order_id="o1", revenue=50.0)
    shop.wait_until("2026-03-12T02:00:00Z")
    (put_off,) = [item for item in shop.take() if item["stream"] == "suppressions"]
    shop.restart()
    shop.fail_next(2)
    shop.wait_until("2026-03-12T12:00:00Z")
    (sent,) = [item for item in shop.take() if item["stream"] == "actions"]
    shop.wait_until("2026-04-12T12:00:00Z")

    assert ("deferred", "quiet_hours") == (put_off["verdict"], put_off["reason"])
    assert "2026-03-12T08:00:00Z" == put_off["not_before"] == sent["decided_at"]
    assert put_off["action_id"] == sent["action_id"]
    assert [] == told(shop)


def test_who_buys_in_the_night_is_not_asked_to_come_back(tmp_path: Path) -> None:
    """The reason is gone in the morning; the silence since the new order is another occurrence."""
    shop = shop_of(rules(tmp_path, lapsed=LAPSED))
    shop.send("Order Completed", "ann", "2026-03-01T23:30:00Z", order_id="o1", revenue=50.0)
    shop.send("Order Completed", "ann", "2026-03-12T01:00:00Z", order_id="o2", revenue=50.0)
    shop.wait_until("2026-03-13T00:00:00Z")

    assert [
        ("deferred", "quiet_hours", "2026-03-11T23:30:00Z"),
        ("suppressed", "cancelled", "2026-03-12T08:00:00Z"),
    ] == told(shop)
    shop.wait_until("2026-03-23T00:00:00Z")
    assert [
        ("deferred", "quiet_hours", "2026-03-22T01:00:00Z"),
        ("publish", None, "2026-03-22T08:00:00Z"),
    ] == told(shop)


@pytest.mark.parametrize("bought_again", [False, True])
def test_orders_and_views_on_the_way_move_nothing_that_waits(tmp_path: Path, bought_again: bool) -> None:
    """Ordinary events go short ways that must know when a pending decision is due."""
    weak, strong = (
        VIEWED.format(id=name, least=least, priority=p) for name, least, p in (("weak", 100, 10), ("strong", 900, 90))
    )
    shop = shop_of(rules(tmp_path, weak=weak, strong=strong))
    shop.send("Order Completed", "ann", "2026-03-01T10:00:00Z", order_id="o1", revenue=50.0)
    shop.send("Product Viewed", "ann", "2026-03-02T10:00:00Z", product_id="tea", price=2.0)
    shop.send("Product Viewed", "ann", "2026-03-02T10:03:00Z", product_id="pot", price=20.0)
    if bought_again:
        shop.send("Order Completed", "ann", "2026-03-02T10:05:00Z", order_id="o2", revenue=50.0)
    shop.send("Products Searched", "ann", "2026-03-02T10:06:00Z", query="cups")
    shop.wait_until("2026-03-02T11:00:00Z")

    decided = [item for item in shop.take() if item["stream"] in ("actions", "suppressions")]
    assert [("strong", None), ("weak", "outranked"), ("weak", "outranked")] == [
        (item["rule"]["id"], item["reason"]) for item in decided
    ]
    assert {"2026-03-02T10:10:00Z"} == {item["decided_at"] for item in decided}
    assert "strong goes first" in [verdict["detail"] for verdict in decided[1]["governance"]]


def test_a_place_under_the_cap_is_waited_for(tmp_path: Path) -> None:
    """The second message of a week goes out when the first is a week old, unless it is worthless by then."""
    second = (
        LAPSED.replace("id: lapsed", "id: second").replace("10d", "12d").replace("3d", "6d").replace("sms", "email")
    )
    third = second.replace("id: second", "id: third").replace("6d", "1d")
    made = rules(tmp_path, lapsed=LAPSED.replace("sms", "email"), second=second, third=third)
    shop = shop_of(made, cap_messages=1, cap_window_days=7)
    shop.send("Order Completed", "ann", "2026-03-01T10:00:00Z", order_id="o1", revenue=50.0)
    shop.wait_until("2026-03-30T00:00:00Z")

    assert [
        ("publish", None, "2026-03-11T10:00:00Z"),
        ("deferred", "frequency_cap", "2026-03-13T10:00:00Z"),
        ("suppressed", "frequency_cap", "2026-03-13T10:00:00Z"),
        ("publish", None, "2026-03-18T10:00:00Z"),
    ] == told(shop)
