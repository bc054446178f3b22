"""Classes in other schemes as the processor keeps them: told when they change, with the reason, and lost by silence."""

from __future__ import annotations

from typing import Any

import pytest

from stream.config import Settings
from stream.errors import ConfigurationError
from stream.events.instants import DAY_MS, parse_ms
from stream.testing import Shop

START_MS = parse_ms("2026-01-01T12:00:00Z")
CUSTOMERS = 20


def lived(**settings: Any) -> tuple[Shop, list[dict[str, Any]]]:
    """A shop whose customers buy the oftener the higher their number; the best one stops after 100 days. With all that was told
    of classes."""
    shop = Shop(settings=Settings(**settings))
    number = 0
    for day in range(220):
        for customer in range(CUSTOMERS):
            if day % (40 - customer) == 0 and (customer < CUSTOMERS - 1 or day < 100):
                number += 1
                at_ms = START_MS + day * DAY_MS + customer * 1_000
                shop.send(
                    "Order Completed", f"c{customer:02}", at_ms, order_id=f"o{number}", revenue=10.0 + 3 * customer
                )
        if day == 50:
            shop.restart()
            shop.fail_next()
    return shop, [told for told in shop.take() if told["stream"] == "tiers"]


def test_every_change_of_a_share_tier_is_told_once_with_its_reason() -> None:
    """What is told of a customer is a chain; it ends where the customer is counted; silence comes down a tier at a time."""
    shop, told = lived()
    latest: dict[str, str] = {}
    for change in told:
        if change["scheme"] == "share":
            assert change["previous_tier"] == latest.get(change["customer_id"], change["previous_tier"])
            assert change["previous_tier"] != change["tier"]
            assert "buyers by RFM and NPS" in change["reason"]
            latest[change["customer_id"]] = change["tier"]
    silent = [change for change in told if change["customer_id"] == "c19" and change["scheme"] == "share"]
    counted = shop.partition.population()[2]

    assert CUSTOMERS == sum(counted.values())
    assert {"high", "low", "medium", "churn_risk"} <= set(latest.values())
    assert "no activity for 90 days or more, so below" in silent[-1]["reason"]
    seen = shop.customer("c19")["tiers"]
    assert seen["share"] != seen["share_by_rank"]
    assert "high" != seen["share"]
    assert shop.customer("c19")["tier"] == seen["fixed"]
    assert len({change["change_id"] for change in told}) == len(told)


def test_the_primary_scheme_is_what_rules_go_by() -> None:
    """With the share tiers as the primary ones, they are what everybody sees as the tier; fixed ones are told all the same."""
    shop, told = lived(tier_scheme="share")
    views = [shop.customer(f"c{customer:02}") for customer in range(CUSTOMERS)]

    assert [view["tiers"]["share"] for view in views] == [view["tier"] for view in views]
    assert {"churn_risk", "high"} <= {view["tier"] for view in views}
    assert {"fixed", "share"} == {change["scheme"] for change in told}


def test_what_is_switched_off_is_not_there() -> None:
    """Without the scheme nobody is ranked, nothing is told of it, and it can't be the primary one."""
    shop, told = lived(schemes="")

    assert {"fixed": "lost", "share": None, "share_by_rank": None, "rank": None} == shop.customer("c19")["tiers"]
    assert {"fixed"} == {change["scheme"] for change in told}
    assert {} == shop.partition.population()[2]
    with pytest.raises(ConfigurationError, match="not among the schemes"):
        from stream.config import make_settings

        make_settings(schemes="", tier_scheme="share")
