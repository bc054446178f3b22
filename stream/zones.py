"""Time zones and local clocks, from the pinned ``tzdata`` and never from the machine's own tables.

A machine with last year's tables would put a quiet hour elsewhere, and replay would differ from live. Source: RFC 9557, IANA.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=1_024)
def zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name; ``None`` when there is none of that name.

    >>> zone("Asia/Shanghai") is not None, zone("Mars/Olympus"), zone("../etc/passwd"), zone("")
    (True, None, None, None)
    """
    parts = name.split("/")
    if not all(part and part.replace("_", "").replace("-", "").replace("+", "").isalnum() for part in parts):
        return None
    table = files("tzdata").joinpath("zoneinfo", *parts)
    try:
        with table.open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError):  # a folder such as ``Asia``, a list that lies beside the tables, or nothing at all
        return None


def local(at_ms: int, where: ZoneInfo) -> datetime:
    """What a clock on the wall shows there, with its offset.

    >>> local(1_774_746_000_000, zone("Europe/Berlin")).isoformat()
    '2026-03-29T03:00:00+02:00'
    """
    return datetime.fromtimestamp(at_ms / 1000, where)


def minute_of_day(at_ms: int, where: ZoneInfo) -> int:
    """Minutes since midnight on the wall."""
    shown = local(at_ms, where)
    return shown.hour * 60 + shown.minute


def instant_ms(shown: datetime) -> int:
    """The instant, in Unix milliseconds, of a wall clock's time with its zone (a time that is skipped: as before the change)."""
    return (shown - _EPOCH) // _MILLISECOND
