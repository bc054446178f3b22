"""Classes in other schemes as the processor keeps them: told when they change, with the reason, and lost by silence."""

from __future__ import annotations

from typing import Any

import pytest

from stream.churn.snapshots import TIERS
from stream.config import TIERS_OF_ALL, Settings, make_settings
from stream.errors import ConfigurationError
from stream.events.instants import DAY_MS, parse_ms, to_text
from stream.segments.named import PROSPECTS, WORDS
from stream.testing import Shop

REASONS = {
    "share": "buyers by RFM and NPS",
    "value": "buyers by the value index",
    "loyalty": "of 100 out of ",
    "lifecycle": "last purchase",
}
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


def test_every_change_of_a_class_is_told_once_with_its_reason() -> None:
    """What is told of a customer in a scheme is a chain; everybody is counted once in each; silence comes down a tier at a time."""
    shop, told = lived(high_value_spend=100.0)
    chains: dict[tuple[str, str], str] = {}
    for change in told:
        if change["scheme"] != "fixed":
            of = change["scheme"], change["customer_id"]
            assert change["previous_tier"] == chains.get(of, change["previous_tier"])
            assert change["previous_tier"] != change["tier"]
            assert REASONS[change["scheme"]] in change["reason"]
            chains[of] = change["tier"]
    latest = {customer: tier for (scheme, customer), tier in chains.items() if scheme == "share"}
    silent = [change for change in told if change["customer_id"] == "c19" and change["scheme"] == "share"]
    counted = shop.partition.population()[2]

    assert dict.fromkeys(REASONS, CUSTOMERS) == {
        scheme: sum(n for (of, _), n in counted.items() if of == scheme) for scheme in REASONS
    }
    assert {"high_value", "standard"} <= {name for scheme, name in counted if scheme == "value"}
    assert ("loyalty", "drop_out") in counted
    assert "win_back" == chains["lifecycle", "c19"]
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
    assert {"fixed", "share"} <= {change["scheme"] for change in told}


@pytest.mark.parametrize(
    ("scheme", "first"), [("value", "standard"), ("loyalty", "forming"), ("lifecycle", "activate")]
)
def test_a_scheme_of_reviews_can_be_the_primary_one(scheme: str, first: str) -> None:
    """The tier is then the class that was last told; before that, what every new buyer is."""
    shop, told = lived(tier_scheme=scheme, high_value_spend=100.0)
    latest = {change["customer_id"]: change["tier"] for change in told if change["scheme"] == scheme}
    tiers = {customer: shop.customer(customer)["tier"] for customer in latest}
    shop.send("Order Completed", "new", shop.partition.now_ms, order_id="first", revenue=20.0)

    assert latest == tiers
    assert len(set(tiers.values())) > 1
    assert first == shop.customer("new")["tier"]
    assert {"fixed", scheme} <= {change["scheme"] for change in told}
    found = next(shop.partition.find({"tier": tiers["c19"], scheme: tiers["c19"]}, "", shop.partition.now_ms))
    assert found is not None


def test_named_segments_can_be_the_primary_scheme() -> None:
    """The tier is the segment as a word, for who is looked at and for who is listed as last told; without other schemes, too."""
    shop, told = lived(tier_scheme="segment", schemes="")
    seen = [shop.customer(f"c{number:02}") for number in range(CUSTOMERS)]
    latest = {change["customer_id"]: WORDS[change["segment"]] for change in told if change["segment"]}

    assert [view["tier"] for view in seen] == [WORDS[view["segment"]] for view in seen]
    assert len({view["tier"] for view in seen}) > 2
    for tier in set(latest.values()):
        listed = [line for line in shop.partition.find({"tier": tier}, "", shop.partition.now_ms) if line is not None]
        assert {line["customer_id"] for line in listed} == {who for who, what in latest.items() if what == tier}
    shop.send("Product Viewed", "new", shop.partition.now_ms, product_id="tea")
    assert (shop.customer("new")["tier"], shop.customer("new")["segment"]) == ("prospect", PROSPECTS)


def test_every_word_for_a_tier_is_known_to_settings_and_snapshots() -> None:
    """Whatever the primary scheme: best channels can be set for all its tiers, and fairness knows them."""
    assert set(TIERS_OF_ALL) == set(TIERS[1:])


def test_what_is_switched_off_is_not_there() -> None:
    """Without the scheme nobody is ranked, nothing is told of it, and it can't be the primary one."""
    shop, told = lived(schemes="")

    tiers = {"fixed": "lost", "share": None, "share_by_rank": None, "rank": None, "value": None, "loyalty": None}
    assert tiers | {"lifecycle": "win_back", "core": None} == shop.customer("c19")["tiers"]
    assert shop.customer("c19")["loyalty"] is None
    assert {"fixed"} == {change["scheme"] for change in told}
    assert {} == shop.partition.population()[2]
    with pytest.raises(ConfigurationError, match="not among the schemes"):
        make_settings(schemes="", tier_scheme="share")


def test_who_is_of_high_value_is_decided_once_a_month() -> None:
    """Nobody enters or leaves within 30 days of the last time, but through three months of silence."""
    _, told = lived(high_value_spend=100.0, schemes="value")
    moves: dict[str, list[dict[str, Any]]] = {}
    for change in told:
        if change["scheme"] == "value" and "high_value" in (change["tier"], change["previous_tier"]):
            moves.setdefault(change["customer_id"], []).append(change)

    assert moves["c19"][-1]["previous_tier"] == "high_value"
    for changes in moves.values():
        months = [parse_ms(change["changed_at"]) // (30 * DAY_MS) for change in changes]
        assert len(set(months)) == len(months)


def test_loyalty_is_what_is_said_and_done() -> None:
    """An answer moves the figure, its kind says who only comes for discounts, and the parts add up to the whole."""
    shop, _ = lived()
    at_ms = START_MS + 220 * DAY_MS
    before = shop.customer("c10", to_text(at_ms))
    shop.send("NPS Submitted", "c10", at_ms, score=10)
    after = shop.customer("c10")
    for number in range(12):
        shop.send(
            "Order Completed", "c11", at_ms + number, order_id=f"d{number}", revenue=10.0, discount=5.0, coupon="X"
        )
    weights = {"nps": 0.25, "csat": 0.15, "frequency": 0.25, "value": 0.15, "churn": 0.2}
    parts = after["loyalty_indicators"]

    assert after["loyalty"] > before["loyalty"]
    assert 100.0 == parts["nps"]
    assert after["loyalty"] == pytest.approx(
        sum(weights[name] * score for name, score in parts.items()) / sum(weights[name] for name in parts), abs=0.11
    )
    assert "active_loyal" == after["tiers"]["loyalty"]
    assert "bargain_chaser" == shop.customer("c11")["tiers"]["loyalty"]
    assert "promoter" in after["personas"]
    assert "bargain_hunter" in shop.customer("c11")["personas"]
