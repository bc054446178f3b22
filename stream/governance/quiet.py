"""Quiet hours on the customer's own clock, right when it is put forward or back (E8)."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from stream.governance.policy import QuietHours
from stream.zones import local, minute_of_day

_MINUTE_MS = 60_000
_DAY_MINUTES = 1_440


def is_quiet(minute: int, hours: QuietHours) -> bool:
    """Whether a minute of the local day is quiet.

    >>> [is_quiet(hour * 60, QuietHours(21 * 60, 8 * 60)) for hour in (20, 21, 3, 8)]
    [False, True, True, False]
    """
    starts, ends = hours
    return starts <= minute < ends if starts < ends else minute >= starts or minute < ends


def ends_ms(at_ms: int, where: ZoneInfo, hours: QuietHours) -> int:
    """The first instant from ``at_ms`` on at which it isn't quiet there; ``at_ms`` itself when it isn't quiet now.

    >>> from stream.zones import zone
    >>> night = QuietHours(21 * 60, 8 * 60)
    >>> (ends_ms(1_774_746_000_000, zone("Europe/Berlin"), night) - 1_774_746_000_000) / 3_600_000
    5.0
    """
    minute = minute_of_day(at_ms, where)
    if not is_quiet(minute, hours):
        return at_ms
    begun_ms = at_ms // _MINUTE_MS * _MINUTE_MS
    end_ms = begun_ms + (hours.ends_minute - minute) % _DAY_MINUTES * _MINUTE_MS
    if local(end_ms, where).utcoffset() == local(at_ms, where).utcoffset():
        return end_ms
    # The clock is put forward or back on the way, twice a year: it may jump over the end, or to it.
    found_ms = begun_ms
    while is_quiet(minute_of_day(found_ms, where), hours):
        found_ms += _MINUTE_MS
    return found_ms
