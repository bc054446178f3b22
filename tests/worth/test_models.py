"""The models of value against other people's: the paper's own figures, `lifetimes`, and chance."""

from __future__ import annotations

from math import exp, lgamma, log

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import hyp2f1

from stream.datasets import cdnow_path
from stream.worth.fitting import fit_rates, fit_spending
from stream.worth.history import History
from stream.worth.model import ValueModel
from stream.worth.purchases import Rates, Spending

PAPER = Rates(0.243, 7 * 4.414, 0.793, 2.426)
"""Fader, Hardie and Lee 2005, table 2, in days instead of weeks."""


def panel() -> list[History]:
    """The 2,357 customers of the paper, in days, with the mean of their repeat purchases."""
    rows = cdnow_path().with_name("cdnow_customers_summary_with_transactions.csv").read_text().splitlines()[1:]
    figures = [list(map(float, row.split(",")[1:])) for row in rows]
    return [History(int(x), round(7 * last), round(7 * age), 100 * mean) for x, last, age, mean in figures]


def test_the_papers_figures_come_out() -> None:
    """The parameters of CDNOW's 39 weeks, and of the Gamma-Gamma of the 946 who came again, within what is printed of them."""
    rates = fit_rates(panel())
    known = [each._replace(repeats=each.repeats - 1) for each in panel() if each.repeats]
    spending = fit_spending(known)

    assert rates is not None
    assert spending is not None
    assert np.allclose((rates.r, rates.alpha_days / 7, rates.a, rates.b), (0.243, 4.414, 0.793, 2.426), rtol=0.02)
    assert np.allclose((spending.p, spending.q, spending.gamma_minor / 100), (6.25, 3.74, 15.44), rtol=0.02)
    assert fit_rates(panel(), rates) == fit_rates(panel(), rates)


def test_everybody_is_expected_to_buy_what_the_textbook_says() -> None:
    """Equation (10) as it is printed, with SciPy's hypergeometric function: the paper's customers, a year ahead."""
    r, alpha, a, b = PAPER.r, PAPER.alpha_days, PAPER.a, PAPER.b
    histories = panel()
    x, last, age = (np.array(column, float) for column in list(zip(*histories, strict=True))[:3])
    until = alpha + age
    series = hyp2f1(r + x, b + x, a + b + x - 1, 365 / (until + 365))
    expected = (a + b + x - 1) / (a - 1) * (1 - (until / (until + 365)) ** (r + x) * series)
    expected /= 1 + np.where(x > 0, a / (b + x - 1) * (until / (alpha + last)) ** (r + x), 0)

    assert np.allclose([PAPER.expected(each, 365) for each in histories], expected, atol=1e-5)


@given(
    st.floats(-2.5, 1), st.floats(1, 6), st.floats(-2, 2), st.floats(-1, 3), st.integers(0, 40), st.floats(0.01, 1),
    st.integers(2, 900),
)  # fmt: skip
def test_what_is_expected_is_the_integral_over_everybody(
    r: float, alpha: float, a: float, b: float, repeats: int, last: float, age: int
) -> None:
    """Against plain integration over the leaving probability, a series of binomials away from any hypergeometric function."""
    rates = Rates(exp(r), exp(alpha), exp(a), exp(b))
    history = History(repeats, max(1, round(last * age)) if repeats else 0, age, 0.0)
    days = 365.0
    found = rates.expected(history, days)

    assert 0 <= found
    assert abs(found - _integrated(rates, history, days)) <= 1e-4 * (1 + found)


def _integrated(rates: Rates, history: History, days: float) -> float:
    """The posterior's mean, by integration over how probably a customer leaves."""
    r, alpha, a, b = rates.r, rates.alpha_days, rates.a, rates.b
    x, last, age = history.repeats, history.last_days, history.age_days

    def log_beta(y: float, z: float) -> float:
        return lgamma(y) + lgamma(z) - lgamma(y + z)

    def ahead(p: float) -> float:
        """Of who is alive and leaves with a probability: their rate is gamma distributed, and integrated in closed form."""
        if not p:
            return (r + x) * days / (alpha + age)
        return float(-np.expm1(-(r + x) * np.log1p(p * days / (alpha + age))) / p)

    # Alive, (1 − p)^x (α + T)^−(r + x); gone since the last purchase, p (1 − p)^(x − 1) (α + tx)^−(r + x).
    whole = log_beta(a, b + x)
    if x:
        odds = log_beta(a + 1, b + x - 1) - whole + (r + x) * log((alpha + age) / (alpha + last))
        whole += float(np.logaddexp(0, odds))
    value, _ = quad(ahead, 0, 1, weight="alg", wvar=(a - 1, b + x - 1), limit=200, epsabs=0.0, epsrel=1e-6)
    return float(value * exp(-whole))


def test_customers_drawn_by_chance_give_their_parameters_back() -> None:
    """3,000 customers who buy and leave as the models say: expected and actual purchases and money agree in sum."""
    draw = np.random.default_rng(5)
    spending, histories, came = Spending(6.0, 4.0, 1_500.0), [], []
    for _ in range(3_000):
        rate, leaves = draw.gamma(PAPER.r, 1 / PAPER.alpha_days), draw.beta(PAPER.a, PAPER.b)
        scale = draw.gamma(spending.q, 1 / spending.gamma_minor)
        at, times, alive = 0.0, [], True
        while alive and at < 730:
            at += draw.exponential(1 / rate)
            times.append(at)
            alive = draw.random() >= leaves
        known = [time for time in times if time < 365]
        mean = draw.gamma(spending.p * (len(known) + 1), 1 / scale) / (len(known) + 1)
        histories.append(History(len(known), round(known[-1]) if known else 0, 365, mean))
        came.append(sum(365 <= time < 730 for time in times))
    rates, worth = fit_rates(histories), fit_spending(histories)
    model = ValueModel(rates=rates, spending=worth)
    expected = [model.purchases(each) or 0.0 for each in histories]

    assert abs(np.sum(expected) / np.sum(came) - 1) < 0.1  # two standard errors of so many customers' sum
    assert worth is not None
    assert abs(worth.p * worth.gamma_minor / (worth.q - 1) / 3_000 - 1) < 0.05


def test_a_shop_that_is_too_young_is_fitted_by_nothing_wild() -> None:
    """Nobody known for long enough to have left: the parameters stay where an expectation can be had of them."""
    draw = np.random.default_rng(2)
    histories = [
        History(n := int(draw.poisson(1.0)), age if n else 0, age, 2_000.0)
        for age in draw.integers(1, 20, 400).tolist()
    ]
    rates = fit_rates(histories)

    assert rates is not None
    assert rates.a < 50
    assert all(0 <= rates.expected(each, 365) < 2_000 for each in histories)
