"""How many purchases are to come: BG/NBD (Fader, Hardie and Lee 2005, “Counting Your Customers” the Easy Way, Marketing Science 24(2)).

While a customer is one, purchases come at random with a rate of their own, and after each the customer leaves with a probability of
their own; rates are gamma (``r``, ``alpha_days``) and probabilities beta (``a``, ``b``) distributed over the population. Nobody is asked
whether they are alive: of who has bought once that is always certain. What is asked is how many purchases are to come.
"""

from __future__ import annotations

from math import exp, log

import msgspec

from stream.worth.history import History

MOST_TERMS = 2_000
"""Of the series. More: a customer costs a millisecond; fewer: days far ahead of a shop that is very young are wrong in the sixth digit."""
PRECISION = 1e-7
"""Of the series, against 1."""
_APART = 1e-6
"""How far ``a`` and ``a + b`` are kept from 1, where the formula is 0 ÷ 0 and its limit the same to five digits."""


class Rates(msgspec.Struct, frozen=True, array_like=True):
    """How often the customers of a shop buy, and how soon they leave; time is in days."""

    r: float
    alpha_days: float
    a: float
    b: float

    def expected(self, history: History, days: float) -> float:
        """Purchases to come within so many days: the paper's equation (10).

        Its series converges fast as long as ``a`` is large against the purchases, and after Euler's transformation when it is small: one
        of both always does.

        The paper's own example, customer 0008 of CDNOW in weeks (2 repeats, the last in week 30.43 of 38.86), expects 1.226 in 39 weeks:

        >>> rates = Rates(0.243, 7 * 4.414, 0.793, 2.426)
        >>> round(rates.expected(History(2, 213, 272, 0.0), 273), 3)
        1.226
        """
        r, alpha, a, b = self.r, self.alpha_days, self.a, self.b
        if abs(a - 1.0) < _APART or abs(a + b - 1.0) < _APART:
            a += 2.0 * _APART
        x, until = history.repeats, alpha + history.age_days
        share = days / (until + days)
        top = a + b + x - 1.0
        if a - 1.0 < r + x:
            first, second, times = a + b - 1.0 - r, a - 1.0, (1.0 - share) ** (a - 1.0)
        else:
            first, second, times = r + x, b + x, (1.0 - share) ** (r + x)
        enough = PRECISION * min(1.0, abs(a - 1.0))
        whole = term = 1.0
        for n in range(MOST_TERMS):
            term *= (first + n) * (second + n) / ((top + n) * (n + 1)) * share
            whole += term
            if -enough < term < enough:
                break
        found = top / (a - 1.0) * (1.0 - times * whole)
        if x:
            log_odds = log(a / (b + x - 1.0)) + (r + x) * log(until / (alpha + history.last_days))
            found = found / (1.0 + exp(log_odds)) if log_odds < 700.0 else 0.0
        return max(0.0, float(found))


class Spending(msgspec.Struct, frozen=True, array_like=True):
    """What a purchase is worth: Gamma-Gamma (Fader and Hardie 2013, “The Gamma-Gamma Model of Monetary Value”). Each customer has a mean
    of their own, purchases vary about it, and neither has to do with how often somebody buys."""

    p: float
    q: float
    gamma_minor: float

    def purchase_minor(self, history: History) -> float:
        """What a customer's next purchases are worth on average: their own mean, drawn to everybody's the more the less is known.

        >>> spending = Spending(6.25, 3.74, 1_544.0)
        >>> [round(spending.purchase_minor(History(repeats, 9, 9, 10_000.0))) for repeats in (0, 1, 50)]
        [8026, 8835, 9945]
        """
        known = history.repeats + 1
        return self.p * (self.gamma_minor + known * history.purchase_minor) / (self.p * known + self.q - 1.0)
