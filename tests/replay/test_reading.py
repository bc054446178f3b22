"""Lines are shared out without decoding them, and exactly as the decoder would have it."""

from __future__ import annotations

import gzip
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings
from stream.events.codec import Decoder
from stream.events.instants import DAY_MS
from stream.events.kinds import Event
from stream.events.record import Record
from stream.replay.reading import Reader, end_of_stretch, is_at, key_of, place, slice_and_line, slices, start_of_stretch

EXAMPLES = sorted((Path(__file__).parents[2] / "schemas" / "examples").rglob("*.json"))
DECODER = Decoder(Settings())


def _agrees(value: bytes) -> bool:
    """Whether a line is an event; its place must then be the decoder's."""
    decoded = DECODER.decode(Record("", 0, -1, -1, None, value))
    placed = place(value)
    assert placed == place(value)
    if not isinstance(decoded, Event):
        return False
    assert (decoded.time_ms, crc32(decoded.customer.encode())) == placed
    return True


def test_every_example_has_the_place_that_the_decoder_gives_it() -> None:
    """All messages of the contract, CloudEvents and odd clocks among them."""
    assert sum(_agrees(path.read_bytes()) for path in EXAMPLES) > 40


_TEXTS = st.sampled_from(["", "a", "b-ü", "x" * 300, "\0"])
_TIMES = st.sampled_from(
    [
        "2026-03-02T09:15:00.250Z",
        "2026-03-02T09:15:00.2509+05:45",
        "2026-03-02T09:15:00",
        "1969-01-01T00:00:00Z",
        "",
        "soon",
    ]
)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["identify", "page", "track", "alias", ""])},
        optional={
            "event": st.sampled_from(["Product Viewed", "Order Completed", None]),
            "userId": _TEXTS | st.none() | st.integers(),
            "anonymousId": _TEXTS | st.none(),
            "messageId": st.just("m"),
            "timestamp": _TIMES | st.none(),
            "sentAt": _TIMES | st.none(),
            "receivedAt": _TIMES | st.none(),
            "originalTimestamp": _TIMES | st.none(),
            "properties": st.just({"product_id": "p"}),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "specversion": st.sampled_from(["1.0", "0.3"]),
            "id": st.just("i"),
            "time": _TIMES,
            "subject": _TEXTS,
        },
    ),
)
def test_the_place_is_the_decoders(segment: dict[str, object], cloud: dict[str, object]) -> None:
    """Whatever is there, missing or wrong, an event that is accepted has the decoder's time and customer."""
    _agrees(msgspec.json.encode(segment))
    _agrees(msgspec.json.encode({**cloud, "data": segment}))


_LONG_MS = 6 * 10**14
"""Further than two instants of the years 1 and 9999 and the difference of two more can lead."""
_INSTANTS = st.integers(-_LONG_MS, _LONG_MS) | st.integers(-3 * DAY_MS, 3 * DAY_MS)


@given(_INSTANTS, _INSTANTS, st.integers(0, 2**32 - 1), st.lists(st.integers(-2 * DAY_MS, 2 * DAY_MS)))
def test_keys_keep_a_customers_order_and_never_mix_stretches(one: int, other: int, share: int, cuts: list[int]) -> None:
    """A key fits into 64 bits; of one customer it orders by time, of all by days and what cuts them."""
    cuts = sorted(set(cuts))
    one, other = sorted((one, other))
    key, later = key_of(one, share, cuts), key_of(other, share, cuts)

    assert -(2**63) <= key <= later < 2**63
    assert (one == other) == (key == later)
    assert is_at(key, one, cuts) and not is_at(key, one + 1, cuts) and not is_at(key, one - DAY_MS, cuts)
    began, end = start_of_stretch(one, cuts), end_of_stretch(key)
    assert began in (one // DAY_MS * DAY_MS, *cuts) and began <= one
    is_cut = one // DAY_MS != other // DAY_MS or any(one < cut <= other for cut in cuts)
    assert is_cut == (key_of(other, 0, cuts) >= end) == (start_of_stretch(other, cuts) != began)


@pytest.mark.parametrize("step", [1, 7, 40, 10_000])
def test_slices_have_every_line_once(tmp_path: Path, step: int) -> None:
    """Wherever files are cut, every line is read once and keeps its number; blank ones are counted."""
    lines = [b'{"n":%d,"pad":"%b"}' % (n, b"x" * (n % 23)) if n % 5 else b" " for n in range(60)]
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(b"\n".join(lines))
    packed.write_bytes(gzip.compress(b"\r\n".join(lines) + b"\n"))
    parts = slices([plain, packed], step)
    reader = Reader(tmp_path, 0, 2)

    taken = [reader.read(part, lambda size: None) for part in parts]
    found = set()
    for blocks in reader.close():
        for block in blocks:
            _, rows = msgspec.msgpack.decode(block.read())
            found |= {(value, *slice_and_line(number)) for value, number in rows}

    before = dict.fromkeys((plain, packed), 0)
    starts = []
    for part, was in zip(parts, taken, strict=True):
        starts.append((part.path, before[part.path]))
        before[part.path] += was.lines
    numbered = {(starts[part][0], starts[part][1] + line, value) for value, part, line in found}
    assert numbered == {
        (path, number, line) for path in (plain, packed) for number, line in enumerate(lines, 1) if line != b" "
    }
    assert (120, 24) == (sum(was.lines for was in taken), sum(was.blank for was in taken))
