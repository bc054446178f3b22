"""Money: amounts of any currency into integer minor units of the shop's currency, by dated rates."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from stream.errors import ConfigurationError
from stream.events.instants import day_of, parse_ms

_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENT_OF: dict[str, int] = {code: e for e, codes in _EXPONENTS.items() for code in codes.split()}
"""Digits after the point for currencies that don't have two (ISO 4217, list one)."""

MOST_MINOR = 10**12
"""Largest amount of one order. Larger: a million such orders no longer fit a signed 64-bit sum, which state and
messages are written with. Smaller: big tickets in weak currencies (10**12 minor units are 10 billion dollars)."""


class Rates:
    """Dated rates into the shop's currency: the latest one at or before the event's UTC day counts. ``scale`` is how many
    minor units make a whole one of the shop's currency.

    >>> rates = Rates("USD", [("2026-01-01", "EUR", 1.10), ("2026-02-01", "EUR", 1.20)])
    >>> rates.to_minor(10.0, "EUR", day_of(parse_ms("2026-01-31")))
    1100
    >>> rates.to_minor(10.0, "JPY", 0) is None
    True
    """

    def __init__(self, currency: str, rows: Iterable[tuple[str, str, float]] = ()) -> None:
        self.currency = currency
        self.scale = 10.0 ** EXPONENT_OF.get(currency, 2)
        dated: dict[str, list[tuple[int, float]]] = {}
        found = []
        for number, (date, code, rate) in enumerate(rows, start=1):
            try:
                day = day_of(parse_ms(date))
            except ValueError:
                found.append(f"rates row {number}: {date!r} is not a date such as 2026-01-31")
                continue
            if not 0.0 < rate < 1e9:
                found.append(f"rates row {number}: {rate!r} is not a rate above zero")
                continue
            dated.setdefault(code.upper(), []).append((day, rate))
        if found:
            raise ConfigurationError(found)
        self._dated = {code: sorted(pairs) for code, pairs in dated.items()}

    def to_minor(self, amount: float, currency: str, day: int) -> int | None:
        """The amount in the shop's minor units, rounded half to even; ``None`` when there is no rate for that day."""
        if not currency or currency == self.currency:
            return round(amount * self.scale)
        pairs = self._dated.get(currency)
        if not pairs:
            return None
        at = bisect_right(pairs, (day, float("inf"))) - 1
        if at < 0:
            return None
        return round(amount * pairs[at][1] * self.scale)


def amount_text(minor: int, currency: str) -> str:
    """An amount for people, in the currency's own unit.

    >>> amount_text(1234567, "USD"), amount_text(500, "JPY")
    ('12,345.67', '500')
    """
    exponent = EXPONENT_OF.get(currency, 2)
    return f"{minor / 10**exponent:,.{exponent}f}"
