"""Snapshots and their labels, against a plain scan of the days."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.churn.calendar import next_grid_ms, period_ms
from stream.churn.examples import pack, unpack
from stream.churn.features import FEATURES, LAYOUT, cycle_days_of, vector
from stream.churn.snapshots import UNSCORED, Snapshot, decode, mature, matures_ms, take
from stream.errors import StateError
from stream.events.instants import DAY_MS
from stream.state.profile import Profile
from tests.churn.shop import customer_with

VALUES = pack([0.5] * len(FEATURES))


@given(
    days=st.lists(st.integers(9_990, 10_120), unique=True, max_size=5).map(sorted),
    horizon_days=st.integers(7, 90),
)
def test_churned_means_no_purchase_on_any_day_of_the_horizon(days: list[int], horizon_days: int) -> None:
    """The label equals a scan over all days from the snapshot up to, but not with, the day on which it matures."""
    example = mature(Snapshot(10_000, 0.5, VALUES), "c", days, horizon_days)
    assert example is not None
    assert (not any(day in days for day in range(10_000, 10_000 + horizon_days))) is example.churned
    assert 10_000 + horizon_days == example.matured_day


def test_a_snapshot_at_midnight_sees_whole_days_and_its_label_the_days_after_them() -> None:
    """At midnight of a day the label starts with that day; later in a day, with the next one."""
    customer = customer_with([(9_990, 500)])
    midnight = take(Profile("c", customer, 10_000 * DAY_MS), None, 90)
    noon = take(Profile("c", customer, 10_000 * DAY_MS + DAY_MS // 2), None, 90)
    assert (10_000, 10_001) == (midnight.day, noon.day)
    assert (UNSCORED, 10_090 * DAY_MS) == (midnight.score, matures_ms(midnight, 90))


def test_a_snapshot_survives_the_customers_record() -> None:
    """Encoded and decoded, a snapshot is the same, in 10 bytes and 2 per feature."""
    snapshot = Snapshot(10_000, 0.75, VALUES)
    assert snapshot == decode(snapshot.encode())
    assert 10 + 2 * len(FEATURES) == len(snapshot.encode())


def test_a_snapshot_of_other_features_teaches_nothing() -> None:
    """After an upgrade that changed the features, old snapshots are dropped instead of being misread."""
    assert mature(Snapshot(10_000, 0.5, VALUES, LAYOUT ^ 1), "c", [], 90) is None


def test_bytes_that_are_no_snapshot_are_refused() -> None:
    """A truncated snapshot is a broken state, not a wrong label."""
    with pytest.raises(StateError):
        decode(b"\x00\x01")


@given(customer=st.integers(0, 2**64 - 1), after_ms=st.integers(0, 10**13), horizon_days=st.integers(7, 365))
def test_the_calendar_comes_round_once_a_period_at_midnight(customer: int, after_ms: int, horizon_days: int) -> None:
    """The next visit is a midnight within one period, and the one after it exactly a period later."""
    period = period_ms(horizon_days)
    first = next_grid_ms(customer, after_ms, period)
    assert 0 < first - after_ms <= period
    assert (0, period) == (first % DAY_MS, next_grid_ms(customer, first, period) - first)


def test_a_personal_horizon_is_so_many_own_cycles() -> None:
    """Whoever buys every 10 days and comes back after 25 has churned at two cycles and hasn't at three; a one-time buyer
    has the common horizon; and all labels are released together."""
    monthly, single = customer_with([(10_000 + 10 * i, 900) for i in range(5)]), customer_with([(10_040, 900)])
    for customer, cycles, churned in (
        (monthly, 2.0, True),
        (monthly, 3.0, False),
        (monthly, 0.0, False),
        (single, 2.0, False),
    ):
        snapshot = take(Profile("c", customer, 10_045 * DAY_MS), None, 90)
        example = mature(snapshot, "c", [10_070], 90, cycles=cycles)
        assert example is not None
        assert (churned, 10_045 + 90) == (example.churned, example.matured_day)
    for cycle_days in range(2, 200):
        customer = customer_with([(10_000, 900), (10_000 + cycle_days, 900)])
        for silent in (0, 3, 50, 400):
            values = vector(Profile("c", customer, (10_000 + cycle_days + silent) * DAY_MS), 90)
            assert abs(cycle_days_of(unpack(pack(values))) / cycle_days - 1.0) < 0.01
