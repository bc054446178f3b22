"""Quiet hours on anybody's clock, whatever happens to it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.governance.judge import judge
from stream.governance.policy import QuietHours
from stream.governance.quiet import ends_ms, is_quiet
from stream.state.customer import Customer
from stream.zones import minute_of_day, zone
from tests.governance.asking import HOUR_MS, NOW, ask

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca")
MINUTE_MS = 60_000


def at(text: str) -> int:
    """An instant."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _zone(name: str) -> ZoneInfo:
    found = zone(name)
    assert found is not None
    return found


@given(
    name=st.sampled_from(ZONES),
    start=st.integers(at("2026-03-20T00:00Z") // 1000, at("2026-11-10T00:00Z") // 1000),
    starts=st.integers(0, 1_439),
    length=st.integers(1, 1_200),
)
@example("Europe/Berlin", at("2026-03-28T23:00Z") // 1000, 22 * 60, 4 * 60 + 30)  # ends at 02:30, which is skipped
@example("Europe/Berlin", at("2026-10-25T00:45Z") // 1000, 2 * 60 + 20, 20)  # ends at 02:40, which comes twice
@example("Australia/Lord_Howe", at("2026-10-03T15:00Z") // 1000, 1 * 60, 75)  # half an hour is skipped
def test_the_end_is_the_first_minute_that_is_not_quiet(name: str, start: int, starts: int, length: int) -> None:
    """From the instant asked about to the end every minute is quiet, and the end itself isn't."""
    where, hours, now_ms = (
        _zone(name),
        QuietHours(starts, (starts + length) % 1_440),
        start * 1000 // MINUTE_MS * MINUTE_MS,
    )

    end_ms = ends_ms(now_ms, where, hours)

    assert not is_quiet(minute_of_day(end_ms, where), hours)
    assert all(is_quiet(minute_of_day(ms, where), hours) for ms in range(now_ms, end_ms, MINUTE_MS))


@pytest.mark.parametrize(
    ("timezone", "answer"), [("", "publish"), ("Asia/Shanghai", "publish"), ("America/New_York", "deferred")]
)
def test_the_customers_own_clock_counts(timezone: str, answer: str) -> None:
    """At 8:00 UTC it is afternoon in Shanghai and the middle of the night in New York."""
    customer = Customer()
    customer.person.set_trait("timezone", 1, timezone)

    assert answer == judge(ask(customer)).answer


def test_a_night_is_waited_out_unless_the_action_is_worthless_by_then() -> None:
    """It is put off to the first minute after the quiet hours, or held back for their sake; mail doesn't ring."""
    night = NOW - 3 * HOUR_MS

    put_off = judge(ask(now_ms=night))
    too_late = judge(ask(now_ms=night, expires_ms=NOW))
    mail = judge(ask(now_ms=night, changes={"channel": "email"}))
    urgent = judge(ask(now_ms=night, changes={"quiet_hours": False}))

    assert ("deferred", "quiet_hours", NOW) == put_off[:3]
    assert ("suppressed", "quiet_hours", 0) == too_late[:3]
    assert ["publish", "publish"] == [mail.answer, urgent.answer]
    assert datetime.fromtimestamp(NOW / 1000, UTC).hour == 8
