"""The due index against a plain sorted list, and what it costs."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from stream.processor.due_index import SLOT_BITS, DueIndex

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
INSTANTS = st.one_of(
    st.just(0),
    st.integers(1, 40),
    st.integers(1, 5).map(lambda slot: slot << SLOT_BITS),
    st.integers(1, 5 << SLOT_BITS),
    st.integers(1_700_000_000_000, 1_700_000_000_000 + (3 << SLOT_BITS)),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, INSTANTS),
        st.tuples(st.just("pop"), INSTANTS),
        st.tuples(st.just("rebuild")),
    ),
    max_size=60,
)


class Plain:
    """The same as a sorted list."""

    def __init__(self) -> None:
        self.due: dict[bytes, int] = {}

    def pop_due(self, now_ms: int) -> tuple[int, bytes] | None:
        """The earliest that is due."""
        first = min(((due, key) for key, due in self.due.items()), default=None)
        if first is None or first[0] > now_ms:
            return None
        del self.due[first[1]]
        return first


@limits(max_examples=500)
@given(STEPS)
def test_it_is_a_sorted_list_of_due_and_key(steps: list[Any]) -> None:
    """After any history of settings, takings and rebuilds the next is the smallest (due, key), and each is taken once."""
    index, plain = DueIndex(), Plain()
    for name, *given_ in steps:
        if name == "set":
            key, due_ms = given_
            index.set(key, due_ms)
            plain.due = {k: d for k, d in {**plain.due, key: due_ms}.items() if d}
        elif name == "pop":
            assert plain.pop_due(given_[0]) == index.pop_due(given_[0])
        else:
            index.rebuild([*plain.due.items(), (b"never", 0)])
        assert min(plain.due.values(), default=None) == index.next_ms()
        assert len(plain.due) == len(index)
    rest = [index.pop_due(1 << 60) for _ in range(len(index) + 1)]
    assert [*sorted((due, key) for key, due in plain.due.items()), None] == rest


def test_many_moves_leave_little_behind() -> None:
    """A few customers who are moved all the time don't fill the memory, and are still fired in order."""
    chance, index, plain = random.Random(1), DueIndex(), Plain()
    for _ in range(100_000):
        key, due_ms = b"%d" % chance.randrange(50), chance.randrange(1, 100 << SLOT_BITS)
        index.set(key, due_ms)
        plain.due[key] = due_ms
        if not chance.randrange(100):
            now_ms = chance.randrange(3 << SLOT_BITS)
            assert plain.pop_due(now_ms) == index.pop_due(now_ms)

    kept = sum(map(len, index._waiting.values())) + sum(map(len, index._sorted.values()))
    assert kept == index._entries <= 2 * 50 + 1024
    assert sorted((due, key) for key, due in plain.due.items()) == [
        index.pop_due(1 << 60) for _ in range(len(plain.due))
    ]


def test_a_waiting_customer_costs_at_most_150_bytes() -> None:
    """Beyond the key, which belongs to the store; measured over 200,000 customers who are due within a year."""
    chance, number = random.Random(1), 200_000
    keys = [b"customer-%d" % at for at in range(number)]
    year_ms = 365 * 86_400_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        index = DueIndex()
        index.rebuild((key, 1_700_000_000_000 + chance.randrange(year_ms)) for key in keys)
        rebuilt = (tracemalloc.get_traced_memory()[0] - before) / number
        for key in keys:
            index.set(key, 1_700_000_000_000 + chance.randrange(year_ms))
        index.next_ms()
        moved = (tracemalloc.get_traced_memory()[0] - before) / number
    finally:
        tracemalloc.stop()

    print(f"{rebuilt:.0f} bytes a waiting customer, {moved:.0f} after everybody was moved")
    assert max(rebuilt, moved) <= 150
