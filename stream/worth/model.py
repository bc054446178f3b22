"""What everybody values customers with: plain numbers, no SciPy, 20 µs a customer, the same result on every worker."""

from __future__ import annotations

import msgspec

from stream.worth.forecast import Forecast
from stream.worth.history import History
from stream.worth.purchases import Rates, Spending

YEAR_DAYS = 365
MOST_MINOR = 2**53
"""Values stop here: beyond, a reader's floating-point numbers are no whole ones any more."""


class ValueModel(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the models of value, published once a UTC day."""

    fitted_day: int = -1
    """UTC day at whose end they were fitted last, −1: never yet."""
    customers: int = 0
    """In the panel that they are fitted to."""
    rates: Rates | None = None
    spending: Spending | None = None
    top_minor: int = -1
    """From here on a customer of the panel is among the most valuable fifth of the living buyers, −1: not known."""
    abstained: str = ""
    """Why nobody is valued yet, in words; empty when everybody is."""

    forecast: Forecast = Forecast()
    """Of loyalty, with the drivers of loyalty and value."""

    def purchases(self, history: History, days: float = YEAR_DAYS) -> float | None:
        """Expected purchases (days with orders) within so many days; ``None`` before the models are fitted."""
        return None if self.rates is None else self.rates.expected(history, days)

    def value_minor(self, history: History, days: float = YEAR_DAYS) -> int | None:
        """Expected money within so many days, minor units, not discounted: purchases × what one is worth."""
        if self.rates is None or self.spending is None:
            return None
        value = self.rates.expected(history, days) * self.spending.purchase_minor(history)
        return round(min(value, MOST_MINOR))
