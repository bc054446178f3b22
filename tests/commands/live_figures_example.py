"""Figures of a shop in full swing: for the tests of the live view and for its picture in the README."""

from __future__ import annotations

import sys
from math import sin
from pathlib import Path
from random import Random
from typing import Any

from stream.commands.live import export_svg
from stream.commands.live_figures import LiveFigures, Sample
from stream.segments.named import SEGMENTS

_ACTIONS = (
    ("cart-abandoned", "reminder", "email", "the cart has been left for 2 h with 3 articles worth 71.40 USD"),
    (
        "repurchase-reminder",
        "reminder",
        "push",
        "buys every 24 days, next order expected on 2026-11-25, 3 days from now",
    ),
    ("welcome", "welcome", "email", "first order today"),
    ("viewed-often", "coupon", "push", "viewed “Trail shoes” 6 times in 30 days without buying"),
    ("churn-recall", "recall", "email", "risk of leaving rose from 58% to 74%; 41 days silent, own cycle is 22 days"),
    ("detractor-recovery", "recovery", "phone", "answered 3 of 10: “Arrived late and the box was crushed.”"),
    ("second-purchase", "offer", "email", "bought once, 21 days ago; half of the others came back within 30"),
    ("review-request", "request", "email", "“Cast-iron pan” was delivered 7 days ago, no rating yet"),
    ("half-year-thanks", "care", "email", "half a year since the first order, 9 orders since"),
)
_ALERTS = (
    ("silent for 41 days, own cycle is 22", "orders in 90 days fell from 6 to 2", "last rating was 2 of 5"),
    ("silent for 63 days, own cycle is 30", "no visit for 28 days"),
    ("gaps grew from 9 to 17 days", "answered 4 of 10"),
    ("silent for 88 days, own cycle is 51", "basket value fell by 40%"),
)


def example() -> LiveFigures:
    """Always the same figures."""
    rng = Random(4)
    figures = LiveFigures(broker="127.0.0.1:40123", web="http://127.0.0.1:6066", title="simulated shop, live")
    total = 0
    for second in range(200):
        total += int(150 + 60 * sin(second / 9) + 25 * rng.random() + (80 if 120 < second < 132 else 0))
        figures.on_metrics(_samples(total), at_seconds=float(second))
    for number in range(187):
        rule, kind, channel, why = _ACTIONS[int(rng.random() ** 1.5 * len(_ACTIONS))]
        figures.on_action(_message(rng, number, rule, kind, channel, why))
    for number in range(23):
        figures.on_alert(_alert(rng, 40 * number))
    for reason, count in (("frequency_cap", 64), ("cooldown", 41), ("no_consent", 22), ("expired", 9)):
        for _ in range(count):
            figures.on_suppression({"reason": reason})
    return figures


def _time(number: int) -> str:
    return f"2026-11-22T10:{number // 12 % 60:02d}:{number * 5 % 60:02d}Z"


def _message(rng: Random, number: int, rule: str, kind: str, channel: str, why: str) -> dict[str, Any]:
    return {
        "rule": {"id": rule}, "kind": kind, "channel": channel, "customer_id": f"C-{rng.randrange(4000):06d}",
        "decided_at": _time(number), "explanation": {"text": why},
    }  # fmt: skip


def _alert(rng: Random, number: int) -> dict[str, Any]:
    reasons = rng.choice(_ALERTS)
    return {
        "kind": "churn", "customer_id": f"C-{rng.randrange(4000):06d}", "probability": 0.7 + 0.2 * rng.random(),
        "decided_at": _time(number // 5),
        "explanation": {"text": "", "contributions": [{"text": text, "log_odds": 1.0} for text in reasons]},
    }  # fmt: skip


def _samples(events: int) -> list[Sample]:
    tiers = {"high": 312, "medium": 741, "low": 1503, "lost": 1120, "prospect": 268}
    counts = (418, 355, 402, 231, 187, 214, 305, 377, 96, 512, 579)
    bought = [name for name in SEGMENTS if name != "Prospects"]
    found: list[Sample] = [("winback_events_total", {"topic": "t", "kind": "k"}, float(events))]
    found += [("winback_customers", {"tier": tier}, float(count)) for tier, count in tiers.items()]
    found += [("winback_customers_by_segment", {"segment": s}, float(n)) for s, n in zip(bought, counts, strict=True)]
    found += [("winback_customers_by_segment", {"segment": "Prospects"}, 268.0)]
    found += [("winback_consumer_lag_records", {"topic": "t", "partition": "0"}, 37.0)]
    found += [("winback_events_rejected_total", {"topic": "t", "stage": "decode", "reason": "not_json"}, 7.0)]
    found += [("winback_events_rejected_total", {"topic": "t", "stage": "schema", "reason": "no_zone"}, 4.0)]
    shares = ((0.005, 0.0), (0.01, 0.1), (0.025, 0.55), (0.05, 0.93), (0.1, 0.995), (float("inf"), 1.0))
    found += [("winback_event_to_action_seconds_bucket", {"le": str(le)}, share * events) for le, share in shares]
    quality = {
        "auc": 0.827,
        "brier": 0.141,
        "calibration_error": 0.024,
        "lift_quality": 0.61,
        "labels": 3184.0,
        "abstained": 0.0,
    }
    found += [(f"winback_model_{name}", {}, value) for name, value in quality.items()]
    return found


if __name__ == "__main__":
    export_svg(example(), Path(sys.argv[1]))
