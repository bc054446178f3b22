"""Instants as integer milliseconds since 1970 UTC, and UTC days as integer day numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

DAY_MS = 86_400_000


def to_ms(instant: datetime) -> int:
    """Milliseconds of an aware datetime, exact (no float rounding of large values).

    >>> to_ms(datetime(1997, 10, 1, tzinfo=UTC))
    875664000000
    """
    delta = instant - EPOCH
    return delta.days * DAY_MS + delta.seconds * 1000 + delta.microseconds // 1000


def parse_ms(text: str) -> int:
    """Milliseconds of an RFC 3339 instant; a bare date means its midnight UTC.

    Raises ``ValueError`` for anything else, also for an instant without a zone.

    >>> parse_ms("1997-10-01"), parse_ms("1997-10-01T02:00:00+02:00")
    (875664000000, 875664000000)
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        if len(text) > 10:
            raise ValueError(f"{text!r} has no time zone; write it with Z or an offset such as +08:00")
        instant = instant.replace(tzinfo=UTC)
    return to_ms(instant)


@lru_cache(maxsize=256)
def to_text(ms: int) -> str:
    """RFC 3339 text of an instant in UTC, milliseconds only where there are any; a number where no calendar reaches.

    >>> to_text(875664000000), to_text(875664000001), to_text(10**15)
    ('1997-10-01T00:00:00Z', '1997-10-01T00:00:00.001Z', '1000000000000000ms')
    """
    if not _FIRST_MS <= ms <= _LAST_MS:
        return f"{ms}ms"
    # What happens in one step mostly says the same now, and its instants are of a few days, hence both caches.
    minute, rest = divmod(ms, 60_000)
    day, minute = divmod(minute, 1440)
    second, fraction = divmod(rest, 1000)
    if fraction:
        return f"{_date(day)}{_MINUTES[minute]}{second:02d}.{fraction:03d}Z"
    return f"{_date(day)}{_MINUTES[minute]}{second:02d}Z"


@lru_cache(maxsize=1024)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).isoformat()[:10]


_MINUTES = tuple([f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(1440)])
"""How each minute of a day is written, up to the seconds."""


def day_of(ms: int) -> int:
    """UTC day number of an instant (days since 1970-01-01).

    >>> day_of(0), day_of(DAY_MS - 1), day_of(DAY_MS), day_of(-1)
    (0, 0, 1, -1)
    """
    return ms // DAY_MS


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS = to_ms(datetime(1, 1, 1, tzinfo=UTC))
_LAST_MS = to_ms(datetime(9999, 12, 31, tzinfo=UTC))
