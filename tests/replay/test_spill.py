"""Rows come back in order, however many runs they were written in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.replay.spill import Block, Spill, in_order


def _load(block: Block) -> list[tuple[Any, ...]]:
    keys, rows = msgspec.msgpack.decode(block.read())
    return list(zip(keys, rows, strict=True))


@given(
    st.lists(st.tuples(st.integers(-3, 40), st.binary(max_size=3))),
    st.integers(1, 3), st.integers(0, 60), st.integers(1, 9),
)  # fmt: skip
def test_runs_come_back_as_one_sorted_whole(
    rows: list[tuple[int, bytes]], spills: int, most_bytes: int, enough: int
) -> None:
    """All rows, sorted; and no key of a portion comes again in a later one."""
    with tempfile.TemporaryDirectory() as folder:
        all_spills = [Spill(Path(folder) / str(number), most_bytes) for number in range(spills)]
        for place, (key, row) in enumerate(rows):
            all_spills[place % spills].add(key, row, 10)
        blocks = [block for spill in all_spills for block in spill.close()]

        portions = list(in_order(blocks, _load, enough))

    assert sorted(rows) == [row for portion in portions for row in portion]
    assert all(one[-1][0] < other[0][0] for one, other in zip(portions, portions[1:], strict=False))
