"""Steps are large only while nobody on the worker keeps up, and never larger than a bound of work."""

from __future__ import annotations

from stream.agents.step_size import BULK_SECONDS, FAR_SECONDS, QUICK_SECONDS, Haste, StepSize

_EACH = 1e-4
_FAR = int(2 * FAR_SECONDS / _EACH)


def _measured(haste: Haste) -> StepSize:
    size = StepSize(haste)
    for _ in range(50):
        size.took(1_000, 1_000 * _EACH)
    return size


def _seconds(records: int) -> float:
    return round(records * _EACH, 2)


def test_a_step_is_small_for_who_keeps_up() -> None:
    assert _seconds(_measured(Haste()).most(10)) == QUICK_SECONDS


def test_a_step_is_large_when_all_are_far_behind() -> None:
    haste = Haste()
    assert [_seconds(_measured(haste).most(_FAR)) for _ in range(4)] == [BULK_SECONDS] * 4


def test_nobody_takes_large_steps_beside_one_that_keeps_up() -> None:
    haste = Haste()
    behind, live = _measured(haste), _measured(haste)
    live.most(0)  # a timer woke it: nobody waits there
    assert _seconds(behind.most(_FAR)) == BULK_SECONDS
    live.most(1)
    assert _seconds(behind.most(_FAR)) == QUICK_SECONDS


def test_a_large_backlog_of_quick_records_is_not_far_behind() -> None:
    size = StepSize(Haste())
    for _ in range(50):
        size.took(1_000, 1e-3)
    assert abs(size.most(_FAR) * 1e-6 - QUICK_SECONDS) < 1e-3


def test_a_few_slow_records_are_taken_together_and_say_nothing() -> None:
    size = _measured(Haste())
    before = size.most(1)
    size.took(3, 60.0)
    assert size.most(1) == before
    size.took(50, 500.0)
    assert size.most(1) == 50
