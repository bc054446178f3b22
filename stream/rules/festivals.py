"""The festivals that a rule can come before, and their days.

Those of the Chinese calendar are in `stream.rules.lunar`; the others follow from their own definitions. The days of commerce
are no holidays anywhere, so no library of holidays has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import cache
from types import MappingProxyType
from typing import Final

from stream.rules.lunar import LUNAR

FIRST_YEAR: Final = 1990
"""Events of earlier years are refused anyway."""
LAST_YEAR: Final = 2099
"""The last year that the tables of the Chinese calendar are good for."""
LUNAR_DATES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "spring-festival": (1, 1),
        "lantern-festival": (1, 15),
        "dragon-boat": (5, 5),
        "qixi": (7, 7),
        "mid-autumn": (8, 15),
        "double-ninth": (9, 9),
    }
)
"""Month and day in the Chinese calendar."""

_EPOCH = date(1970, 1, 1)
_MONDAY, _THURSDAY, _SUNDAY = 0, 3, 6


def easter(year: int) -> date:
    """Easter Sunday of the Western churches (the anonymous Gregorian computus; Meeus 1991, chapter 8).

    >>> easter(2026).isoformat(), easter(2038).isoformat()
    ('2026-04-05', '2038-04-25')
    """
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


def _fixed(month: int, day: int) -> Callable[[int], date]:
    return lambda year: date(year, month, day)


def _nth(n: int, weekday: int, month: int, then_days: int = 0) -> Callable[[int], date]:
    def find(year: int) -> date:
        first = date(year, month, 1)
        return first + timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1) + then_days)

    return find


def _lunar(name: str) -> Callable[[int], date]:
    def find(year: int) -> date:
        shown = LUNAR[name].split()[year - FIRST_YEAR]
        return date(year, int(shown[:2]), int(shown[2:]))

    return find


_BY_NAME: Final[dict[str, tuple[str, Callable[[int], date]]]] = {
    "new-year": ("1 January", _fixed(1, 1)),
    "spring-festival": ("Chinese New Year, the first day of the first lunar month", _lunar("spring-festival")),
    "lantern-festival": ("fifteenth day of the first lunar month", _lunar("lantern-festival")),
    "valentines": ("Valentine's Day, 14 February", _fixed(2, 14)),
    "womens-day": ("International Women's Day, 8 March", _fixed(3, 8)),
    "easter": ("Easter Sunday of the Western churches", easter),
    "mothers-day": ("second Sunday of May", _nth(2, _SUNDAY, 5)),
    "fathers-day": ("third Sunday of June", _nth(3, _SUNDAY, 6)),
    "dragon-boat": ("Dragon Boat Festival, the fifth day of the fifth lunar month", _lunar("dragon-boat")),
    "mid-year-sale": ("18 June, the “618”", _fixed(6, 18)),
    "qixi": ("the seventh day of the seventh lunar month", _lunar("qixi")),
    "mid-autumn": ("Mid-Autumn Festival, the fifteenth day of the eighth lunar month", _lunar("mid-autumn")),
    "national-day-china": ("1 October", _fixed(10, 1)),
    "double-ninth": ("Double Ninth Festival, the ninth day of the ninth lunar month", _lunar("double-ninth")),
    "halloween": ("31 October", _fixed(10, 31)),
    "singles-day": ("11 November, the “double eleven”", _fixed(11, 11)),
    "thanksgiving": ("fourth Thursday of November, as in the United States", _nth(4, _THURSDAY, 11)),
    "black-friday": ("the day after Thanksgiving", _nth(4, _THURSDAY, 11, 1)),
    "cyber-monday": ("the Monday after Thanksgiving", _nth(4, _THURSDAY, 11, 4)),
    "double-twelve": ("12 December", _fixed(12, 12)),
    "christmas": ("Christmas Day, 25 December", _fixed(12, 25)),
}

FESTIVALS: Final[Mapping[str, str]] = MappingProxyType({name: meaning for name, (meaning, _) in _BY_NAME.items()})
"""Every festival with what day it is, in the order of the year."""


@cache
def days_of(name: str) -> tuple[int, ...]:
    """The festival's days, `FIRST_YEAR` to `LAST_YEAR`, in days since 1970.

    >>> [str(_EPOCH + timedelta(days_of(name)[2026 - FIRST_YEAR])) for name in ("spring-festival", "black-friday")]
    ['2026-02-17', '2026-11-27']
    """
    find = _BY_NAME[name][1]
    return tuple([(find(year) - _EPOCH).days for year in range(FIRST_YEAR, LAST_YEAR + 1)])
