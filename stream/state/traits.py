"""What a customer's traits say, once the texts that senders write are read: dates, level, language.

A text that can't be read is no date: nobody's CRM is free of ``00/00/0000``. Source: MISSION A1, E4.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from stream.state.person import Person

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_WHOLE = re.compile(r"([0-9]{4})([-/.]?)([0-9]{2})\2([0-9]{2})(?:[T ].*)?", re.DOTALL)
_NO_YEAR = re.compile(r"(?:--)?([0-9]{2})-([0-9]{2})")
_STANDS_FOR_NONE = ((1, 1, 1), (1900, 1, 1))
"""What databases keep where a date of birth is missing. Nobody who buys today was born on either."""
_LEAP_YEAR = 2000


class Birthday(NamedTuple):
    """Month and day; the year is nobody's business here, and often isn't known."""

    month: int
    day: int


class Traits:
    """The figures of whoever has a `Person`."""

    customer_id: str
    person: Person

    @property
    def language(self) -> str:
        """Language as the sender gave it."""
        return self.person.trait("language")

    @property
    def region(self) -> str:
        """Region or country as the sender gave it."""
        return self.person.trait("region")

    @property
    def membership_level(self) -> str:
        """Level of membership as the sender gave it."""
        return self.person.trait("level")

    @property
    def referred_by(self) -> str:
        """Who brought the customer, as the sender gave it."""
        return self.person.trait("referred_by")

    @property
    def birthday_known(self) -> bool:
        """There is a date of birth that can be read."""
        return birthday(self.person.trait("birthday")) is not None


@lru_cache(maxsize=4_096)
def birthday(text: str) -> Birthday | None:
    """The day to congratulate on, from a date of birth with or without its year.

    >>> birthday("1990-05-17"), birthday("--02-29"), birthday("31/12/1990"), birthday("1990-02-30")
    (Birthday(month=5, day=17), Birthday(month=2, day=29), None, None)
    """
    whole = _WHOLE.fullmatch(text)
    without = _NO_YEAR.fullmatch(text) if whole is None else None
    if whole is not None:
        year, month, day = int(whole[1]), int(whole[3]), int(whole[4])
        if (year, month, day) in _STANDS_FOR_NONE:
            return None
    elif without is not None:
        month, day = int(without[1]), int(without[2])
    else:
        return None
    try:
        # Some senders fill an unknown year with one of their own, in which there need not be a 29 February.
        date(_LEAP_YEAR, month, day)
    except ValueError:
        return None
    return Birthday(month, day)


@lru_cache(maxsize=4_096)
def day_named(text: str) -> int | None:
    """Days since 1970 of a date, with or without a time of day after it; ``None`` for what is none, or lies before.

    >>> day_named("1970-01-02"), day_named("2027-01-31T00:00:00Z"), day_named("soon"), day_named("0000-00-00")
    (1, 20849, None, None)
    """
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return None
    try:
        day = date(int(whole[1]), int(whole[3]), int(whole[4])).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return day if day >= 0 else None
