"""Who is no person, and what stands in for figures that are missing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from stream.config import Settings
from stream.events import kinds
from stream.events.instants import DAY_MS, parse_ms
from stream.processor.epochs import Coordinator, DayClosed, Figures
from stream.quality.means import LEAST, Mean, imputed
from stream.quality.suspicion import LEAST_BUYERS, RUN, Usual, suspicion, usual
from stream.segments.population import Histograms
from stream.state.customer import Customer
from stream.state.profile import Profile, Standing
from stream.testing import Shop

START = parse_ms("2026-03-02T10:00:00Z")
DAY = START // DAY_MS


def _customer(*events: kinds.Event) -> Customer:
    customer = Customer()
    for event in events:
        customer.apply(event, Settings())
    return customer


def _views(times: list[int]) -> list[kinds.Event]:
    return [
        kinds.ProductViewed(message_id=f"v{n}", customer="c", time_ms=at, product_id="p") for n, at in enumerate(times)
    ]


def _orders(number: int, gap_ms: int, returned: int = 0) -> list[kinds.Event]:
    found: list[kinds.Event] = [
        kinds.Purchase(message_id=f"m{n}", customer="c", time_ms=START + n * gap_ms, order_id=f"o{n}", amount_minor=900)
        for n in range(number)
    ]
    found += [
        kinds.Refund(message_id=f"r{n}", customer="c", time_ms=START + number * gap_ms + n, order_id=f"o{n}")
        for n in range(returned)
    ]
    return found


def _said(customer: Customer, known: Usual | None = None, days: int = 1) -> str:
    return suspicion(customer, START + days * DAY_MS, DAY + days, known or Usual())


def _human(seed: int) -> list[int]:
    chance, at, times = random.Random(seed), START, []
    for _ in range(200):
        at += int(chance.expovariate(1 / 25) * 1_000) + (3_600_000 * 8 if chance.random() < 0.05 else 400)
        times.append(at)
    return times


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_person_is_none(seed: int) -> None:
    """Two hundred clicks in a few long visits."""
    assert _said(_customer(*_views(_human(seed))), days=20) == ""


def test_a_scraper_is_told_by_its_pace_or_its_clock() -> None:
    """Sixty-four messages within a minute; or regular as no hand is, with the jitter of a network."""
    chance = random.Random(1)
    fast = [START + n * 900 for n in range(RUN)]
    regular = [START + n * 30_000 + chance.randrange(400) for n in range(RUN)]
    irregular = [START + n * 30_000 + chance.randrange(9_000) for n in range(RUN)]

    assert [_said(_customer(*_views(times))) for times in (fast, fast[1:], regular, irregular)] == [
        "pace", "", "clockwork", ""
    ]  # fmt: skip


def test_the_population_says_what_too_many_orders_are() -> None:
    """Five times what 99 of 100 buyers have, and nothing before there are enough buyers or for who buys bread each week."""
    population = {1: 900, 14: 100}
    customer = _customer(*_orders(75, 7_200_000))

    assert usual(population) == Usual(most_orders=70)
    assert usual({1: LEAST_BUYERS}) == Usual(most_orders=60)
    assert usual({1: LEAST_BUYERS - 1}) == Usual()
    assert [_said(customer, known, days=9) for known in (Usual(70), Usual(75), Usual())] == ["orders", "", ""]
    assert _said(customer, Usual(70), days=400) == ""


def test_who_sends_nearly_everything_back_is_told() -> None:
    """Ten orders at least, four in five of all of the year."""
    found = [_said(_customer(*_orders(n, DAY_MS, back)), days=30) for n, back in ((12, 10), (13, 10), (9, 9), (12, 0))]

    assert found == ["returns", "", "", ""]


def _months(shop: Shop, bot: bool) -> dict[str, Any]:
    """Twenty buyers for some months; one of them, perhaps, clicks as no hand does."""
    for month in range(1, 7):
        for number in range(20):
            at = START + month * 20 * DAY_MS + number * 60_000
            shop.send("Order Completed", f"c{number}", at, order_id=f"o{number}-{month}", revenue=20,
                      products=[{"product_id": "tea"}, {"product_id": "cup"}])  # fmt: skip
        for number in range(2 * RUN if bot else 0):
            at = START + month * 20 * DAY_MS + 3_600_000 + number * 500
            shop.send("Product Viewed", "c3", at, product_id="tea")
    shop.wait_until(START + 140 * DAY_MS)
    return shop.customer("c3")


def listed(shop: Shop, word: str) -> list[str]:
    """Whom a worker tells when somebody asks for suspects."""
    found = shop.partition.find({"suspect": word}, "", shop.partition.now_ms)
    return [line["customer_id"] for line in found if line is not None]


def test_a_suspect_is_left_out_and_nothing_is_deleted() -> None:
    """Of thresholds, examples and associations, and of nothing else; the view says why, the telemetry counts it."""
    honest, watched, off = Shop(), Shop(), Shop(settings=Settings(clock="event", suspects="off"))
    clean, seen, unseen = _months(honest, bot=False), _months(watched, bot=True), _months(off, bot=True)

    assert (clean["suspect"], seen["suspect"], unseen["suspect"]) == (None, "pace", None)
    assert seen["lifetime"] == clean["lifetime"] == unseen["lifetime"]
    assert [listed(shop, "any") for shop in (honest, watched, off)] == [[], ["c3"], []]
    assert (listed(watched, "pace"), listed(watched, "orders")) == (["c3"], [])
    assert [sum(shop.partition._work.census.histograms.frequencies.values()) for shop in (honest, watched, off)] == [
        20,
        19,
        20,
    ]
    examples = [sum(out.telemetry.labels.total() for out in shop.outcomes) for shop in (honest, watched, off)]
    assert examples[1] < examples[0] == examples[2]
    assert (
        sum((out.telemetry.suspects for out in watched.outcomes), start=watched.outcomes[0].telemetry.suspects)["pace",]
        == 1
    )


def test_a_suspect_who_behaves_again_is_none() -> None:
    """At the first visit that finds nothing any more."""
    shop = Shop()
    for number in range(RUN):
        shop.send("Product Viewed", "ann", START + number * 500, product_id="tea")
    for week in range(12):
        shop.send("Order Completed", "ann", START + (1 + 7 * week) * DAY_MS, order_id=f"o{week}", revenue=9)
    shop.wait_until(START + 120 * DAY_MS)
    counted = [reason for out in shop.outcomes for (reason,) in out.telemetry.suspects]
    told = [row for row in shop.take() if row["stream"] == "tiers" and row["scheme"] == "suspect"]

    assert counted == ["pace", "cleared"]
    assert [(row["previous_tier"], row["tier"], row["reason"]) for row in told] == [
        ("none", "pace", "64 messages within a minute"),
        ("pace", "none", "nothing is met any more"),
    ]
    assert len({row["change_id"] for row in told}) == 2
    assert shop.customer("ann")["suspect"] is None


@pytest.mark.parametrize("partitions", [1, 3])
def test_means_are_the_same_however_customers_are_shared_out(partitions: int) -> None:
    """And after a restart; older days count less."""
    coordinator = Coordinator(Settings(), partitions)
    for day, score in ((DAY, 9_000), (DAY + 60, 3_000)):
        for number in range(partitions):
            sums = {"high": {"nps": (30 // partitions, 30 // partitions * score)}}
            coordinator.contribute(Figures(partition=number, day=day, sums=sums))
            coordinator.contribute(DayClosed(partition=number, day=day, histograms=Histograms()))
        epoch = coordinator.fold()
        assert epoch is not None
        coordinator = Coordinator(Settings(), partitions)
        coordinator.resume(epoch)

    assert epoch is not None and epoch.means == {"high": {"nps": Mean(45.0, 225.0)}}


def test_what_is_missing_has_the_mean_of_the_tier() -> None:
    """Marked by its place; a figure of one's own is never replaced, and few customers are no mean."""
    customer = _customer(kinds.CsatGiven(message_id="m", customer="c", time_ms=START, score=2))
    profile = Profile("c", customer, START, judge=lambda profile: Standing("high"))
    means = {
        "high": {"nps": Mean(LEAST, 8.5 * LEAST), "csat": Mean(90.0, 400.0), "rating": Mean(LEAST - 1.0, 90.0)},
        "low": {"rating": Mean(90.0, 90.0)},
    }
    profile.stand_ins = lambda profile: imputed(means, profile)

    assert profile.imputed == {"nps": 8.5}
    assert (profile.nps_or_mean, profile.rating_or_mean, profile.last_nps) == (8.5, 0.0, -1)
