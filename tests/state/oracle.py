"""A plain full scan over all events: the meaning of the words, with no memory of its own and no code of the product."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

DAY = 86_400_000


class Ev(NamedTuple):
    """An event as the oracle sees it."""

    id: str
    kind: str
    at: int
    order: str = ""
    amount: int | None = None
    product: str = ""
    quantity: int = 1
    price: int = 0


def unique(events: Sequence[Ev], tie: Any) -> list[Ev]:
    """Every id once, by time; ``tie`` orders what happened at one instant."""
    return sorted({e.id: e for e in events}.values(), key=lambda e: (e.at, tie(e.id)))


def orders(events: Sequence[Ev], tie: Any) -> list[tuple[int, int]]:
    """(time, net amount) of every order that counts, ascending. ``tie`` orders sends of one order at one instant."""
    found = []
    for order in {e.order for e in events if e.order}:
        mine = [e for e in events if e.order == order]
        sends = [e for e in mine if e.kind == "purchase"]
        if not sends or any(e.kind == "cancel" for e in mine):
            continue
        last = max(sends, key=lambda e: (e.at, tie(e.id)))
        refunds = [e.amount for e in mine if e.kind == "refund"]
        if any(amount is None for amount in refunds):
            continue
        net = (last.amount or 0) - sum(amount or 0 for amount in refunds)
        if net > 0:
            found.append((last.at, net))
    return sorted(found)


def figures(events: Sequence[Ev], now: int, tie: Any) -> dict[str, Any]:
    """Everything rolling, as of ``now``, from scratch."""
    events = unique(events, tie)
    bought = orders(events, tie)
    today = now // DAY
    windows = {}
    for days in (7, 30, 90, 365):
        inside = [net for at, net in bought if today - days < at // DAY <= today]
        windows[str(days)] = {"frequency": len(inside), "monetary_minor": sum(inside)}
    buying_days = sorted({at // DAY for at, _ in bought})
    gaps = [b - a for a, b in zip(buying_days, buying_days[1:], strict=False)]
    expected = None
    if len(gaps) >= 2:
        expected = (buying_days[-1] + max(1, round(median(gaps)))) * DAY
    return {
        "windows": windows,
        "lifetime": {"frequency": len(bought), "monetary_minor": sum(net for _, net in bought)},
        "recency_days": today - buying_days[-1] if buying_days else None,
        "tenure_days": today - buying_days[0] if buying_days else 0,
        "cycle_days": float(median(gaps)) if gaps else None,
        "expected": expected,
        "views_30d": sum(1 for e in events if e.kind == "view" and now - 30 * DAY < e.at <= now),
        "cart": cart(events),
        "last_activity": max((e.at for e in events if e.kind not in ("refund", "cancel")), default=None),
    }


def cart(events: Sequence[Ev]) -> dict[str, int]:
    """The open cart, replayed from the beginning."""
    content: dict[str, list[int]] = {}
    for e in events:
        if e.kind == "purchase":
            content = {}
        elif e.kind == "add":
            quantity, price = content.get(e.product, [0, 0])
            content[e.product] = [quantity + e.quantity, e.price or price]
        elif e.kind == "remove" and e.product in content:
            content[e.product][0] -= e.quantity
            if content[e.product][0] <= 0:
                del content[e.product]
    return {
        "items": sum(quantity for quantity, _ in content.values()),
        "value_minor": sum(quantity * price for quantity, price in content.values()),
    }
