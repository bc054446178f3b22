"""Figures as a person reads them."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TypeAlias

from stream.events.money import EXPONENT_OF

Format: TypeAlias = Callable[[float], str]
"""How an axis or a value is written."""

UNKNOWN = "–"
"""Stands where there is no figure."""


def count(value: float) -> str:
    """A number of things.

    >>> count(1234567), count(0.4)
    ('1,234,567', '0')
    """
    return f"{value:,.0f}" if isfinite(value) else _endless(value)


def percent(value: float) -> str:
    """A share, with about three digits.

    >>> percent(0.1234), percent(1.5), percent(0.00042)
    ('12.3 %', '150 %', '0.04 %')
    """
    if not isfinite(value):
        return _endless(value)
    shown = abs(value) * 100.0
    digits = 0 if shown >= 99.95 or shown == 0.0 else 1 if shown >= 0.95 else 2
    return f"{value * 100.0:,.{digits}f} %".replace("-", "−")


def change(value: float) -> str:
    """A relative change, with its sign.

    >>> change(0.2), change(-0.051), change(0.0), change(float("inf"))
    ('+20.0 %', '−5.1 %', '0 %', '+∞')
    """
    return f"+{percent(value)}" if 0.0 < value < float("inf") else percent(value)


def points(value: float) -> str:
    """A difference of shares, in percentage points.

    >>> points(0.0123), points(-0.2)
    ('+1.23 pp', '−20.00 pp')
    """
    return f"{value * 100.0:+.2f} pp".replace("-", "−") if isfinite(value) else _endless(value)


def money(currency: str, *, signed: bool = False, named: bool = True) -> Format:
    """The format of an amount in minor units of a currency; amounts of 1,000 and more without the minor part. Not ``named``: the
    currency stands somewhere else.

    >>> euro = money("EUR")
    >>> euro(1999), euro(123_456), euro(-50), money("JPY")(1200.0), money("USD", signed=True)(150)
    ('EUR 19.99', 'EUR 1,235', '−EUR 0.50', 'JPY 1,200', '+USD 1.50')
    >>> money("JPY", named=False)(1200.0)
    '1,200'
    """
    name = f"{currency} " if named else ""
    digits = EXPONENT_OF.get(currency, 2)
    scale = 10.0**digits

    def written(minor: float) -> str:
        if not isfinite(minor):
            return _endless(minor)
        whole = abs(minor) / scale
        sign = "−" if minor < 0 else "+" if signed and minor > 0 else ""
        return f"{sign}{name}{whole:,.{0 if whole >= 1_000 else digits}f}"

    return written


def _endless(value: float) -> str:
    return UNKNOWN if value != value else "+∞" if value > 0 else "−∞"  # noqa: PLR0124
