"""Explanations: complete sums, and words that a marketer understands."""

from __future__ import annotations

import math

from stream.churn.explain import LEAST_LOG_ODDS, MOST_REASONS, by_theme, reasons, sentence
from stream.churn.features import FEATURES, Theme, vector
from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.events.kinds import NpsGiven
from stream.state.profile import Profile
from tests.churn.shop import customer_with
from tests.churn.test_trainer import examples, trained

MODEL = trained(examples(2_000, 11)).freeze(10_020)
MONTHLY = customer_with([(10_000 + 30 * i, 2_500) for i in range(6)])
LATE = Profile("c", MONTHLY, (10_150 + 95) * DAY_MS)


def test_the_themes_sum_to_the_score() -> None:
    """Baseline and all themes together are the log-odds, and every feature has a theme."""
    values = vector(LATE, 90)
    themes = by_theme(MODEL, values, LATE, "EUR")
    assert set(Theme) == {Theme(c.feature) for c in themes} == {f.theme for f in FEATURES}
    assert math.isclose(MODEL.log_odds(values), MODEL.baseline + sum(c.log_odds for c in themes), abs_tol=1e-9)


def test_the_strongest_reasons_come_first_and_weak_ones_are_left_out() -> None:
    """At most a handful, by weight, none that hardly matters."""
    named = reasons(MODEL, vector(LATE, 90), LATE, "EUR")
    weights = [abs(c.log_odds) for c in named]
    assert sorted(weights, reverse=True) == weights
    assert 1 <= len(named) <= MOST_REASONS
    assert min(weights) >= LEAST_LOG_ODDS


def test_a_long_silence_is_told_with_the_usual_gap() -> None:
    """The facts come with figures: how long the silence is, what was usual, what an order is worth."""
    texts = {c.feature: c.text for c in by_theme(MODEL, vector(LATE, 90), LATE, "EUR")}
    assert "no purchase for 95 days (usual gap 30 days)" == texts["silence"]
    assert "6 orders in 245 days, 0 of them in the last 90" == texts["loyalty"]
    assert "an order of theirs is worth 25.00 EUR on average" == texts["spend"]
    assert "nothing in the cart" == texts["cart"]


def test_what_the_customer_said_is_told() -> None:
    """A bad NPS answer appears in words."""
    customer = customer_with([(10_000, 900)])
    customer.apply(NpsGiven(message_id="n", customer="c", time_ms=10_001 * DAY_MS, score=3), Settings())
    profile = Profile("c", customer, 10_010 * DAY_MS)
    texts = {c.feature: c.text for c in by_theme(MODEL, vector(profile, 90), profile, "EUR")}
    assert "last NPS answer 3" == texts["voice"]
    assert "has bought once only" == texts["loyalty"]


def test_the_sentence_says_what_raises_and_what_lowers_the_risk() -> None:
    """Signs are words, so nobody has to read log-odds."""
    told = sentence(0.83, 90, reasons(MODEL, vector(LATE, 90), LATE, "EUR"))
    assert told.startswith("83 % likely not to buy in the next 90 days: ")
    assert "no purchase for 95 days (usual gap 30 days) (raises the risk)" in told
