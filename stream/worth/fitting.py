"""Fits the models of value to a sample of customers: maximum likelihood, with the gradient, in the logarithms of the parameters.

Needs SciPy, which takes its time to import: only who fits imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln, psi

from stream.worth.history import History
from stream.worth.purchases import Rates, Spending

Floats = NDArray[np.float64]
Slope = tuple[float, Floats]
"""What is to become small, and its gradient."""

LEAST_CUSTOMERS: Final = 100
LEAST_REPEATERS: Final = 20
"""Fewer: what a few of them did is taken for how everybody is. More: a small shop waits for long."""
LEAST_Q: Final = 1.05
"""At 1 the population's mean is infinite, and nobody's own one counts."""
_WIDE: Final = (-9.0, 9.0)
"""Of logarithms, in units that suit the shop: a parameter of 8,000 is as good as infinite, one of 1/8,000 is as good as 0."""
_USUAL: Final = np.log([0.3, 0.3, 1.0, 3.0])
_FIRM: Final = np.array([0.0, 0.0, 0.2, 0.2])
"""How far ``a`` and ``b`` are from what is usual counts like a fifth of a customer. Where it can't be told how unlike customers are in leaving (a
young shop), both would otherwise run away together to where nobody is unlike anybody. Firmer: the shop has less of a say."""
_TRIES: Final = 200
"""Steps at most. It takes 10 to 40."""


def fit_rates(customers: Sequence[History], start: Rates | None = None) -> Rates | None:
    """BG/NBD, by the paper's likelihood (equation 6); ``None`` of too few customers, or if there is no maximum.

    Sums over a customer's purchases are looked up in tables, so that there is no special function in it.
    """
    if len(customers) < LEAST_CUSTOMERS or sum(one.repeats > 0 for one in customers) < LEAST_REPEATERS:
        return None
    x, last, age = (np.array(column, dtype=np.float64) for column in list(zip(*customers, strict=True))[:3])
    unit = float(age.mean()) or 1.0
    last, age = last / unit, age / unit
    count = x.astype(np.int64)
    steps = np.arange(int(count.max()), dtype=np.float64)
    again = x > 0

    def loss(logs: Floats) -> Slope:
        r, alpha, a, b = np.exp(logs)
        since, silent = alpha + age, np.log((alpha + age) / (alpha + last))
        odds = np.where(again, (r + x) * silent + np.log(a / np.where(again, b + x - 1.0, 1.0)), -np.inf)
        left = 1.0 / (1.0 + np.exp(-np.clip(odds, -700.0, 700.0))) * again
        found = _table(np.log(r + steps) + np.log((b + steps) / (a + b + steps)))[count]
        found += r * np.log(alpha) - (r + x) * np.log(since) + np.logaddexp(0.0, odds)
        by_r = _table(1.0 / (r + steps))[count] + np.log(alpha / since) + left * silent
        by_alpha = r / alpha - (r + x) / since + left * (r + x) * (1.0 / since - 1.0 / (alpha + last))
        by_a = left / a - _table(1.0 / (a + b + steps))[count]
        by_b = _table(1.0 / (b + steps) - 1.0 / (a + b + steps))[count]
        by_b -= np.where(again, left / np.where(again, b + x - 1.0, 1.0), 0.0)
        slopes = np.array([by_r.mean(), by_alpha.mean(), by_a.mean(), by_b.mean()])
        loose = (logs - _USUAL) * _FIRM / len(x)
        return float(loose @ (logs - _USUAL)) / 2.0 - float(found.mean()), loose - slopes * np.exp(logs)

    begin = (0.5, 0.5, 0.8, 2.0) if start is None else (start.r, start.alpha_days / unit, start.a, start.b)
    found = _least(loss, begin, [_WIDE] * 4)
    return None if found is None else Rates(found[0], found[1] * unit, found[2], found[3])


def fit_spending(customers: Sequence[History], start: Spending | None = None) -> Spending | None:
    """Gamma-Gamma, by the paper's likelihood (equation 1a), of everybody whose purchases were worth something."""
    worth = [(one.repeats + 1, one.purchase_minor) for one in customers if one.purchase_minor > 0]
    if len(worth) < LEAST_CUSTOMERS or sum(known > 1 for known, _ in worth) < LEAST_REPEATERS:
        return None
    n, mean = np.array(worth, dtype=np.float64).T
    unit = float(mean.mean())
    mean = mean / unit
    logs_of_n, logs_of_mean = np.log(n), np.log(mean)
    counts, of = np.unique(n, return_inverse=True)

    def loss(logs: Floats) -> Slope:
        p, q, gamma = np.exp(logs)
        whole, both = p * n, gamma + n * mean
        logs_of_both = np.log(both)
        # Special functions take most of the time, and there are few numbers of purchases.
        found = (gammaln(p * counts + q) - gammaln(p * counts))[of] - gammaln(q) + q * np.log(gamma)
        found += (whole - 1.0) * logs_of_mean + whole * logs_of_n - (whole + q) * logs_of_both
        more = psi(p * counts + q)
        by_p = n * ((more - psi(p * counts))[of] + logs_of_mean + logs_of_n - logs_of_both)
        by_q = more[of] - psi(q) + np.log(gamma) - logs_of_both
        by_gamma = q / gamma - (whole + q) / both
        slopes = np.array([by_p.mean(), by_q.mean(), by_gamma.mean()])
        return -float(found.mean()), -slopes * np.exp(logs)

    begin = (4.0, 4.0, 1.0) if start is None else (start.p, start.q, start.gamma_minor / unit)
    found = _least(loss, begin, [_WIDE, (float(np.log(LEAST_Q)), _WIDE[1]), _WIDE])
    return None if found is None else Spending(found[0], found[1], found[2] * unit)


def _table(figures: Floats) -> Floats:
    """Sums of the first figures, none of them first."""
    return np.concatenate(([0.0], np.cumsum(figures)))


def _least(
    loss: Callable[[Floats], Slope], begin: Sequence[float], bounds: Sequence[tuple[float, float]]
) -> list[float] | None:
    lows, highs = np.array(bounds).T
    found: Any = minimize(
        loss,
        np.clip(np.log(begin), lows, highs),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": _TRIES, "ftol": 1e-10, "gtol": 1e-6},
    )
    if not (np.isfinite(found.fun) and np.isfinite(found.x).all()):
        return None
    told: list[float] = np.exp(found.x).tolist()
    return told
