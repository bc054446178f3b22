"""When a score becomes an alert, and when it must not."""

from __future__ import annotations

import pytest

from stream.churn.alerts import AlertDecision, Reason, decide
from stream.churn.features import LAYOUT
from stream.churn.model import FrozenModel
from stream.churn.quality import UNKNOWN
from stream.config import Settings, make_settings
from stream.events.instants import DAY_MS
from stream.processor.scoring import Scorer
from stream.segments.reviews import next_review_ms
from stream.state.customer import Customer
from stream.state.profile import Profile
from tests.churn.shop import customer_with

MONTHLY = [(10_000, 500), (10_030, 500), (10_060, 500)]
ONCE = [(10_060, 500)]


def model(abstained: str = "") -> FrozenModel:
    """A model of no features; only what it says about itself matters here."""
    return FrozenModel(
        day=0, layout=LAYOUT, horizon_days=90, names=(), means=(), spreads=(), weights=(), baseline=0.0, labels=500,
        churned=300, quality=UNKNOWN, abstained=abstained, river_version="",
    )  # fmt: skip


def at(
    silence: int, probability: float, *, armed: bool, orders: list[tuple[int, int]], cycle: float = 0.0
) -> AlertDecision:
    """The decision so many days after the last order."""
    profile = Profile("c", customer_with(orders), (orders[-1][0] + silence) * DAY_MS if orders else 0)
    return decide(profile, probability, model(), armed=armed, population_cycle_days=cycle, settings=Settings())


@pytest.mark.parametrize(
    ("silence", "probability", "armed", "orders", "cycle", "expected"),
    [
        (40, 0.8, True, MONTHLY, 0.0, AlertDecision(Reason.ALERT, False)),
        (40, 0.7, True, MONTHLY, 0.0, AlertDecision(Reason.ALERT, False)),
        (40, 0.69, True, MONTHLY, 0.0, AlertDecision(Reason.BELOW_THRESHOLD, True)),
        (40, 0.69, False, MONTHLY, 0.0, AlertDecision(Reason.BELOW_THRESHOLD, True)),
        (40, 0.8, False, MONTHLY, 0.0, AlertDecision(Reason.NOT_ARMED, False)),
        (13, 0.8, True, MONTHLY, 0.0, AlertDecision(Reason.RECENT_PURCHASE, True)),
        (14, 0.8, True, MONTHLY, 0.0, AlertDecision(Reason.SILENCE_TOO_SHORT, True)),
        (15, 0.8, True, MONTHLY, 0.0, AlertDecision(Reason.ALERT, False)),
        (29, 0.8, True, ONCE, 60.0, AlertDecision(Reason.SILENCE_TOO_SHORT, True)),
        (30, 0.8, True, ONCE, 60.0, AlertDecision(Reason.ALERT, False)),
        (44, 0.8, True, ONCE, 0.0, AlertDecision(Reason.SILENCE_TOO_SHORT, True)),
        (45, 0.8, True, ONCE, 0.0, AlertDecision(Reason.ALERT, False)),
        (90, 0.9, True, [], 0.0, AlertDecision(Reason.NEVER_BOUGHT, False)),
    ],
)
def test_an_alert_needs_a_crossing_a_long_silence_and_no_fresh_purchase(
    silence: int, probability: float, armed: bool, orders: list[tuple[int, int]], cycle: float, expected: AlertDecision
) -> None:
    """Every condition at its edge: threshold, arming, quiet days, half the own gap, half the population's, half the horizon."""
    assert expected == at(silence, probability, armed=armed, orders=orders, cycle=cycle)


def test_a_customer_above_the_threshold_from_the_start_never_alerts() -> None:
    """Most one-time buyers: high from the first day on, so there is no crossing, and no recall beside the welcome."""
    armed = False
    for silence in range(0, 300, 10):
        decision = at(silence, 0.9, armed=armed, orders=ONCE)
        armed = decision.armed
        assert not decision.alert


@pytest.mark.parametrize("orders", [ONCE, MONTHLY])
def test_whoever_is_armed_and_has_just_bought_needs_no_score(orders: list[tuple[int, int]]) -> None:
    """No score could alert or disarm them, so a purchase asks for none; within the quiet days only, and only when armed."""
    scorer, settings = Scorer(Settings()), Settings()
    assert scorer.is_settled(0, False), "without a model there is no score at all"
    scorer.follow(model())
    for silence in range(20):
        profile = Profile("c", customer_with(orders), (orders[-1][0] + silence) * DAY_MS)
        decisions = [
            decide(profile, probability, judge, armed=True, population_cycle_days=0.0, settings=settings)
            for probability in (0.0, 0.5, 0.7, 0.71, 1.0)
            for judge in (model(), model("too few labels"))
        ]
        settled = scorer.is_settled(profile.recency_days, True)

        assert (silence < settings.churn_quiet_days) == settled
        assert not settled or all(decision.armed and not decision.alert for decision in decisions)
        assert not scorer.is_settled(profile.recency_days, False)
    assert not scorer.is_settled(Profile("c", Customer(), 0).recency_days, True)


@pytest.mark.parametrize("armed", [False, True])
def test_a_purchase_needs_no_score_while_the_model_abstains(armed: bool) -> None:
    """Whatever the score would be, nobody is alerted, becomes armed or ceases to be."""
    scorer = Scorer(Settings())
    scorer.follow(model("too few labels"))
    for silence in (0, 20, 400):
        profile = Profile("c", customer_with(MONTHLY), (MONTHLY[-1][0] + silence) * DAY_MS)
        assert scorer.is_settled(profile.recency_days, armed)
        for probability in (0.0, 0.5, 0.71, 1.0):
            decision = decide(
                profile, probability, model("few"), armed=armed, population_cycle_days=0.0, settings=Settings()
            )
            assert (armed, False) == (decision.armed, decision.alert)


@pytest.mark.parametrize("spread_ms", [0, DAY_MS])
def test_a_review_comes_between_a_purchase_that_needs_no_score_and_the_first_alert(spread_ms: int) -> None:
    """So what an alert says of the score before it is never older than its purchase."""
    quiet = next(days for days in range(366) if _unscored(days))
    for phase in (0, DAY_MS // 2, DAY_MS - 1):
        bought_ms = 10_060 * DAY_MS + DAY_MS - 1
        review_ms = next_review_ms(bought_ms, bought_ms, phase, spread_ms, watched=False)
        assert review_ms is not None
        assert review_ms // DAY_MS - 10_060 < quiet
    assert 10 == quiet


def _unscored(quiet_days: int) -> bool:
    scorer = Scorer(make_settings(churn_quiet_days=quiet_days))
    scorer.follow(model())
    return scorer.is_settled(0, True)


def test_one_crossing_is_one_alert_and_an_early_one_waits() -> None:
    """Crossing too early, a customer is alerted once when the silence is long enough, and again only after coming back."""
    story = [(2, 0.4), (10, 0.8), (14, 0.8), (16, 0.8), (20, 0.9), (30, 0.6), (35, 0.75)]
    armed, alerts = False, []
    for silence, probability in story:
        decision = at(silence, probability, armed=armed, orders=MONTHLY)
        armed = decision.armed
        if decision.alert:
            alerts.append(silence)
    assert [16, 35] == alerts


def test_a_model_that_abstains_neither_alerts_nor_arms() -> None:
    """What an untrusted score said is not a crossing later."""
    profile = Profile("c", customer_with(MONTHLY), 10_100 * DAY_MS)
    for probability in (0.1, 0.9):
        decision = decide(
            profile, probability, model("3 of 200 labels matured"), armed=False, population_cycle_days=0.0,
            settings=Settings(),
        )  # fmt: skip
        assert AlertDecision(Reason.ABSTAINED, False) == decision
