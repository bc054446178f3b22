"""Values as the processor gives them: known after the panel has been met, the same after a restart, told of in the day's figures."""

from __future__ import annotations

import numpy as np
import pytest

from stream.config import Settings, make_settings
from stream.errors import ConfigurationError
from stream.events.instants import DAY_MS, parse_ms
from stream.processor.valuing import Valuing
from stream.processor.view import drivers_view
from stream.rules.rule import RuleSet
from stream.testing import Shop

START_MS = parse_ms("2026-01-01T12:00:00Z")
CUSTOMERS = 130
DAYS = 75


def lived(**settings: object) -> Shop:
    """Every third customer buys once, the others again and again, at their own pace and price, some twice on a day."""
    shop = Shop(RuleSet(()), Settings(**settings))  # type: ignore[arg-type]
    draw = np.random.default_rng(3)
    events = []
    for customer in range(CUSTOMERS):
        first = customer % 20
        gaps: list[float] = draw.exponential(8 + customer % 7, 40).cumsum().tolist() if customer % 3 else []
        days = [first, *(first + int(gap) for gap in gaps if first + gap < DAYS)]
        events += [(day, customer, at) for at, day in enumerate(days)]
    for day, customer, at in sorted(events):
        at_ms = START_MS + day * DAY_MS + customer * 1_000 + at
        shop.send("Order Completed", f"c{customer}", at_ms, order_id=f"{customer}-{at}", revenue=10.0 + customer % 9)
    shop.wait_until(START_MS + DAYS * DAY_MS - DAY_MS // 2)
    return shop


def test_customers_are_valued_by_the_version_in_force() -> None:
    """By days with orders and their mean; as the documents have it besides; a restart changes nothing, and the figures are told."""
    shop = lived()
    assert shop.epoch is not None
    model = shop.epoch.value
    assert model.rates is not None
    assert model.spending is not None
    view = shop.customer("c1")
    value = view["lifetime_value"]
    orders = view["lifetime"]["frequency"]
    shop.restart()

    assert view == shop.customer("c1")
    assert drivers_view(model.forecast, shop.epoch.day) == shop.partition.drivers()
    assert shop.partition.drivers()["abstained"]
    assert (
        view["lifetime"]["monetary_minor"] // orders * view["windows"]["365"]["frequency"] * 3
        == value["as_written_minor"]
    )
    assert (
        abs(value["purchases_12_months"] * value["purchase_minor"] - value["next_12_months_minor"])
        < value["purchase_minor"] / 10
    )
    assert value["abstained"] is None
    assert value["purchases_12_months"] > 5 > shop.customer("c0")["lifetime_value"]["purchases_12_months"] > 0
    told = [told for told in shop.take() if told["stream"] == "kpis"][-1]["value_by_tier"]
    assert any(tier["expected_year_minor"] for tier in told if tier["customers"])


@pytest.mark.parametrize(("panel", "why"), [(8_000, "0 of 100 customers in the panel"), (0, "panel_customers is 0")])
def test_why_somebody_is_not_valued(panel: int, why: str) -> None:
    """Too few are known, or it is switched off; the documents' formula needs nobody else."""
    shop = Shop(RuleSet(()), Settings(panel_customers=panel))
    shop.send("Order Completed", "ann", START_MS, order_id="o1", revenue=50.0)
    shop.wait_until(START_MS + 3 * DAY_MS)
    value = shop.customer("ann")["lifetime_value"]

    assert value["next_12_months_minor"] is None
    assert why in value["abstained"]
    assert 15_000 == value["as_written_minor"]


def test_core_customers_are_loyal_and_valuable_and_told_of() -> None:
    """About the best fifth at most; everybody is one or not once values are known, and entering is a change with its reason."""
    shop = lived()
    counted = shop.partition.population()[2]
    core = {c for c in range(CUSTOMERS) if shop.customer(f"c{c}")["tiers"]["core"] == "core"}
    told = [told for told in shop.take() if told["stream"] == "tiers" and told["scheme"] == "core"]

    assert counted["core", "core"] == len(core)
    assert 3 < len(core) < CUSTOMERS // 3
    assert all(customer % 3 for customer in core)
    assert told
    assert all("expected in 12 months" in change["reason"] for change in told)
    assert {c for c in core if f"c{c}" in {change["customer_id"] for change in told if change["tier"] == "core"}}
    view = shop.customer(f"c{min(core)}")
    assert view["loyalty"] >= 60
    assert "of 200 pairs" in view["loyalty_in_90_days"]["abstained"]


def test_the_context_counts_what_lies_ahead() -> None:
    """In mid-October black friday, singles' day and Christmas are to come, mid-autumn is over; of promotions the days."""
    valuing = Valuing(Settings(promotions="2026-11-01/2026-11-09,2026-09-01"))
    day = parse_ms("2026-10-15T00:00:00Z") // DAY_MS

    assert (3 - 1, (9 - 1) / 90) == valuing.context(day)
    with pytest.raises(ConfigurationError, match="promotions: 'soon'"):
        make_settings(promotions="soon")
