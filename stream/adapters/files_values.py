"""What a cell means: numbers as people write them, instants in their zone, values inside nested rows."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from math import isnan
from typing import Any
from zoneinfo import ZoneInfo

from stream.events.instants import to_ms, to_text

_GROUPED = {
    ".": re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+|(?=\.\d))(\.\d*)?"),
    ",": re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+|(?=,\d))(,\d*)?"),
}


class RowError(ValueError):
    """Raised inside a row's conversion; becomes a `Bad`."""


def number(value: Any, decimal: str) -> Decimal:
    """A number as people write it, exactly. Refuses what could be meant otherwise.

    >>> number("1,234.50", "."), number("1.234,50", ","), number("€ 12", "."), number(2.5, ".")
    (Decimal('1234.50'), Decimal('1234.50'), Decimal('12'), Decimal('2.5'))
    >>> number("1,5", ".")
    Traceback (most recent call last):
    ...
    stream.adapters.files_values.RowError: '1,5' is not a number with '.' before the decimals
    """
    if isinstance(value, bool):
        raise RowError(f"{value!r} is not a number")
    if isinstance(value, int | float | Decimal):
        exact = Decimal(str(value))
        if not exact.is_finite():
            raise RowError(f"{value!r} is not a number")
        return exact
    text = str(value).strip(" \t\u00a0$€£¥")
    if not text or not _GROUPED[decimal].fullmatch(text):
        raise RowError(f"{value!r} is not a number with {decimal!r} before the decimals")
    text = text.replace(",", "") if decimal == "." else text.replace(".", "").replace(",", ".")
    return Decimal(text)


@lru_cache(65_536)
def _instant_of_text(text: str, pattern: str, zone: str) -> str:
    try:
        if pattern in ("unix", "unix_ms"):
            return to_text(int(Decimal(text) * (1000 if pattern == "unix" else 1)))
        at = datetime.fromisoformat(text) if pattern == "iso" else datetime.strptime(text, pattern)  # noqa: DTZ007  _utc adds the zone
    except (ArithmeticError, ValueError, OverflowError, OSError):
        raise RowError(f"{text!r} is not a time of format {pattern}") from None
    return _utc(at, zone, text)


def _utc(at: datetime, zone: str, shown: str) -> str:
    if at.tzinfo is None:
        if not zone:
            raise RowError(f"{shown!r} has no time zone; say which one with `zone` in the mapping's timestamp")
        at = at.replace(tzinfo=ZoneInfo(zone))
    return to_text(to_ms(at.astimezone(UTC)))


def instant(value: Any, pattern: str, zone: str) -> str:
    """RFC 3339 UTC text of a point in time. An hour that comes twice (end of daylight saving) is the first one.

    >>> instant("31.01.2026 10:00", "%d.%m.%Y %H:%M", "Europe/Berlin"), instant("1769850000", "unix", "")
    ('2026-01-31T09:00:00Z', '2026-01-31T09:00:00Z')
    """
    if isinstance(value, datetime):
        return _utc(value, zone, str(value))
    if isinstance(value, date):
        return _utc(datetime(value.year, value.month, value.day), zone, str(value))  # noqa: DTZ001  _utc adds the zone
    return _instant_of_text(str(value).strip(), pattern, zone)


def look_up(values: dict[str, Any], name: str) -> Any:
    """A column's value; ``a.b`` looks inside nested objects of JSON rows. Empty text counts as nothing."""
    value = values.get(name)
    if value is None and "." in name:
        value = values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, float) and isnan(value):  # what pandas writes to Parquet for "nothing"
        return None
    return None if value == "" else value
