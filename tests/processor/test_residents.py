"""Customers are at hand for a step, of each one copy; where they are kept, they are bounded and the busy ones stay."""

from __future__ import annotations

from stream.processor.residents import Residents
from stream.state.customer import Customer, decode, encode

_STORE = {b"c%05d" % number: encode(Customer()) for number in range(2_000)}
_ROOM_BYTES = 1 << 20


def _at_hand(residents: Residents) -> int:
    return len(residents.young) + len(residents._old)


def _visit(residents: Residents, numbers: range) -> None:
    for number in numbers:
        assert residents.find(f"c{number:05}") is not None
        if number % 10 == 0:
            assert residents.find("c00000") is not None
            residents.age()


def test_no_more_are_at_hand_than_there_is_room_for() -> None:
    residents = Residents(_STORE, 0, {}, _ROOM_BYTES)
    _visit(residents, range(2_000))
    assert 100 < _at_hand(residents) <= _ROOM_BYTES // 2_000 + 20


def test_whoever_is_asked_for_again_and_again_stays_the_same_object() -> None:
    residents = Residents(_STORE, 0, {}, _ROOM_BYTES)
    first = residents.find("c00000")
    _visit(residents, range(2_000))
    assert residents.find("c00000") is first
    assert residents.find("c00001") is not None
    assert "c00002" not in residents.young


def test_a_worker_keeps_nobody_from_step_to_step() -> None:
    residents = Residents(_STORE, 0)
    first = residents.find("c00000")

    assert residents.find("c00000") is first is residents.look("c00000")
    residents.age()
    assert residents.find("c00000") is not first


def test_a_record_that_the_step_has_extended_goes_over_to_whoever_decodes_it() -> None:
    """From then on the decoded customer is the only one, and is part of what the step has changed."""
    residents = Residents(_STORE, 0)
    residents.extended[b"c00000"] = encode(Customer(next_due_ms=9))

    seen = residents.look("c00000")
    assert seen is not None
    assert (9, True) == (seen.due_ms, b"c00000" in residents.extended)
    found = residents.find("c00000")
    assert found is not None
    assert (9, [found], {}) == (found.due_ms, residents.touched, residents.extended)
    assert decode(_STORE[b"c00000"]).next_due_ms == 0
