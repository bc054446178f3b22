"""The programme's figures by a plain look through all events, as slow and as short as possible."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from stream.events.hashing import hash64
from stream.events.instants import DAY_MS


class Facts(NamedTuple):
    """What happened to one customer: (instant, what, number of the order or minor units…), in any order, perhaps twice."""

    events: tuple[tuple[int, str, str, int], ...]

    def orders(self, until_ms: int) -> list[tuple[int, int]]:
        """(UTC day, what is left) of the orders before an instant that count, as known then."""
        left: dict[str, tuple[int, int]] = {}
        back: Counter[str] = Counter()
        known = sorted({event for event in self.events if event[0] < until_ms})
        for at_ms, what, name, minor in known:
            if what == "order":
                left[name] = (at_ms // DAY_MS, minor)
            elif what == "refund":
                back[name] += minor
            elif what == "cancel":
                back[name] = 10**15
        found = [(day, max(0, minor - back[name])) for name, (day, minor) in left.items()]
        return sorted((day, minor) for day, minor in found if minor)

    def any(self, what: str, first_ms: int, end_ms: int) -> bool:
        """Whether something happened from one instant up to before another."""
        return any(event[1] == what and first_ms <= event[0] < end_ms for event in self.events)


def tier(orders: Iterable[tuple[int, int]], day: int) -> str:
    """At the beginning of a UTC day."""
    before = [order for order in orders if order[0] < day]
    year = [minor for at, minor in before if at > day - 365]
    recency = day - before[-1][0]
    if recency >= 90:
        return "lost"
    if recency <= 7 and len(year) >= 12 and sum(year) >= 50_000:
        return "high"
    return "medium" if recency <= 30 and len(year) >= 6 else "low"


def counted(everybody: Mapping[str, Facts], day: int, horizon: int, period: int) -> dict[str, Any]:
    """All figures as of the end of a UTC day, as the published message has them."""
    sums: Counter[str] = Counter()
    tiers: dict[str, Counter[str]] = defaultdict(Counter)
    for customer, facts in everybody.items():
        look = next(d for d in range(day - period + 1, day + 1) if d % period == hash64(customer) % period)
        then, ago = look - horizon, look - period
        orders = facts.orders(look * DAY_MS)
        if not orders:
            continue
        days = [at for at, _ in orders]
        bought = days[-1] >= then
        sums["buyers"] += 1
        sums["again"] += len(orders) > 1
        if days[0] < then:
            state = "active" if any(then - horizon <= at < then for at in days) else "silent"
            sums[state] += 1
            sums[f"{state}, bought"] += bought
            if state == "silent":
                written = facts.any("written", then * DAY_MS, look * DAY_MS)
                sums["written"] += written
                sums["written, bought"] += written and bought
        if bought:
            sums["shopping"] += 1
            sums["engaged"] += any(facts.any(what, then * DAY_MS, look * DAY_MS) for what in ("answered", "said"))
        if days[0] >= ago:
            sums["new"] += 1
            sums["referred"] += facts.any("brought", 0, look * DAY_MS)
        tiers[tier(orders, look)]["customers"] += 1
        tiers[tier(orders, look)]["lifetime_minor"] += sum(minor for _, minor in orders)
        if days[0] < ago:
            tiers[tier(orders, ago)]["before"] += 1
            tiers[tier(orders, ago)]["spent"] += sum(minor for at, minor in orders if at >= ago)
    return {
        "repurchase": _rate(sums["again"], sums["buyers"]),
        "retention": _rate(sums["active, bought"], sums["active"]),
        "churn": _rate(sums["active"] - sums["active, bought"], sums["active"]),
        "recall": _rate(sums["silent, bought"], sums["silent"]),
        "recall_written": _rate(sums["written, bought"], sums["written"]),
        "recall_unwritten": _rate(sums["silent, bought"] - sums["written, bought"], sums["silent"] - sums["written"]),
        "referral": _rate(sums["referred"], sums["new"]),
        "participation": _rate(sums["engaged"], sums["shopping"]),
        "value_by_tier": [
            {
                "tier": name,
                "customers": (found := tiers[name])["customers"],
                "lifetime_minor": found["lifetime_minor"],
                "average_minor": found["lifetime_minor"] // found["customers"] if found["customers"] else None,
                "next_year_minor": found["spent"] * 365 // (found["before"] * period) if found["before"] else None,
                "expected_year_minor": None,  # of so few customers nobody knows what is to come
            }
            for name in ("lost", "low", "medium", "high")
        ],
    }


def _rate(number: int, of: int) -> dict[str, Any]:
    return {"value": round(number / of, 6) if of else None, "number": number, "of": of}
