"""Stages of life, along one customer's."""

from __future__ import annotations

from stream.segments.lifecycle import LAPSED_DAYS, RETAIN_ORDERS, STAGES, stage_of
from stream.segments.tiers import HIGH_FREQUENCY, MEDIUM_FREQUENCY, TIERS, missing, tier_of
from stream.testing import Shop


def test_every_stage_is_lived_through() -> None:
    """From the first visit to the regular, and away, and back with one order."""
    told = [
        stage_of(None, 0.0, 0, 0),
        stage_of(0, 0.0, 0, 1),
        stage_of(0, 20.0, 1, 2),
        stage_of(0, 20.0, RETAIN_ORDERS - 1, RETAIN_ORDERS),
        stage_of(LAPSED_DAYS, 20.0, RETAIN_ORDERS - 1, RETAIN_ORDERS),
        stage_of(0, 20.0, RETAIN_ORDERS, RETAIN_ORDERS + 1),
    ]

    assert [*STAGES, "retain"] == told


def test_a_lapse_goes_by_the_own_rhythm() -> None:
    """Sixty days are long for most, and nothing for somebody who comes twice a year."""
    assert ["win_back", "grow"] == [stage_of(60, cycle, 3, 4) for cycle in (40.0, 40.1)]
    assert ["grow", "win_back"] == [stage_of(recency, 180.0, 3, 3) for recency in (269, 270)]
    assert ["activate", "win_back"] == [stage_of(recency, 0.0, 0, 1) for recency in (59, 60)]


def test_with_what_is_missing_the_tier_above_is_reached() -> None:
    """So many orders today, worth so much, and the customer is there."""
    for recency in (0, 20, 50, 120):
        for frequency in range(1, HIGH_FREQUENCY + 3):
            for money in (0, 30_000, 50_000):
                tier = tier_of(recency, frequency, money / 100)
                lacks = missing(tier, frequency, money, 50_000)
                if lacks.tier:
                    after = tier_of(0, frequency + lacks.orders, (money + lacks.monetary_minor) / 100)
                    assert TIERS.index(after) >= TIERS.index(lacks.tier) > TIERS.index(tier)
                else:
                    assert tier == "high"


def test_rules_see_the_shop_s_own_currency() -> None:
    """Half a thousand yen are five hundred minor units, of which there are a hundred times as many in dollars."""
    shop = Shop()
    for day in range(MEDIUM_FREQUENCY):
        shop.send("Order Completed", "ann", f"2026-03-{1 + day:02}T10:00:00Z", order_id=f"o{day}", revenue=50.0)
    work = shop.partition._work
    resident = shop.partition._residents.look("ann")
    assert resident is not None
    profile = work.profile(resident, shop.partition.now_ms)

    assert ("retain", "high", HIGH_FREQUENCY - MEDIUM_FREQUENCY, 20_000) == profile.outlook[:4]
