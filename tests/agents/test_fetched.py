"""Records out of fetched batches: exactly those that the client itself would give, whatever the log looks like."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from stream.agents.fetched import unpack
from stream.events.record import Record

TP = TopicPartition("topic", 3)
ATTRIBUTES, CRC, LAST_DELTA = 21, 17, 23
CONTROL = 0x20
MARKERS = {"abort": b"\x00\x00\x00\x00", "commit": b"\x00\x00\x00\x01"}


class Batch(NamedTuple):
    """One batch of a log: of a transactional producer, of none (-1), or the marker that ends a transaction."""

    producer: int
    records: int
    marker: str = ""
    removed: int = 0
    """Offsets at its end that compaction has taken away."""
    headers: bool = False
    codec: int = 0


def encode(batch: Batch, base: int) -> bytes:
    """As the broker stores it."""
    transactional = batch.producer >= 0
    builder = DefaultRecordBatchBuilder(2, batch.codec, int(transactional), batch.producer, 0, 0, 1_000_000)
    for number in range(batch.records):
        key = MARKERS[batch.marker] if batch.marker else (b"key" if number % 3 else None)
        headers = [("name", b"text"), ("none", None)] if batch.headers else []
        builder.append(number, 1_000 + number, key, b"%d" % (base + number), headers)
    raw = bytearray(builder.build())
    raw[0:8] = struct.pack(">q", base)
    raw[LAST_DELTA : LAST_DELTA + 4] = struct.pack(">i", batch.records + batch.removed - 1)
    if batch.marker:
        raw[ATTRIBUTES + 1] |= CONTROL
    raw[CRC : CRC + 4] = struct.pack(">I", calc_crc32c(bytes(raw[ATTRIBUTES:])))
    return bytes(raw)


def log_of(batches: list[Batch]) -> tuple[bytes, list[tuple[int, int]]]:
    """The bytes of a fetch and its list of aborted transactions (producer, first offset)."""
    raw, aborted, begun, at = b"", [], dict[int, int](), 0
    for batch in batches:
        raw += encode(batch, at)
        if batch.marker:
            first = begun.pop(batch.producer, None)
            if batch.marker == "abort" and first is not None:
                aborted.append((batch.producer, first))
        elif batch.producer >= 0:
            begun.setdefault(batch.producer, at)
        at += batch.records + batch.removed
    return raw, aborted


def part_of(raw: bytes, aborted: list[tuple[int, int]], start: int) -> PartitionRecords:
    """As the client's fetcher makes it."""
    return PartitionRecords(TP, MemoryRecords(raw), aborted, start, None, None, True, READ_COMMITTED)


data = st.tuples(
    st.integers(-1, 2), st.integers(1, 4), st.just(""), st.integers(0, 2), st.booleans(), st.sampled_from([0, 1])
).map(lambda fields: Batch(*fields))
markers = st.tuples(st.integers(0, 2), st.just(1), st.sampled_from(list(MARKERS))).map(lambda fields: Batch(*fields))


@given(st.lists(data | markers, max_size=12), st.integers(0, 12), st.integers(1, 6))
def test_records_are_those_that_the_client_gives(batches: list[Batch], start: int, most: int) -> None:
    """Open, aborted and committed transactions, markers, gaps, headers, a position within a batch: all as by `getmany`."""
    raw, aborted = log_of(batches)
    theirs, ours = part_of(raw, aborted, start), part_of(raw, aborted, start)

    expected = [Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in theirs]
    found, more = list[Record](), True
    while more:
        records, more = unpack(ours, most)
        assert len(records) >= most or not more
        found += records

    assert expected == found
    assert theirs.next_fetch_offset == ours.next_fetch_offset


def test_a_damaged_batch_is_refused_and_what_is_before_it_counts() -> None:
    """One changed byte: the records before it are given, then the error, and the position stays in front of it."""
    first, second = encode(Batch(-1, 2), 0), bytearray(encode(Batch(-1, 2), 2))
    second[-1] ^= 1
    part = part_of(first + bytes(second), [], 0)

    assert ([0, 1], False) == ([r.offset for r in unpack(part, 10)[0]], unpack(part_of(first, [], 0), 10)[1])
    assert 2 == part.next_fetch_offset
    with pytest.raises(CorruptRecordException):
        unpack(part_of(bytes(second), [], 2), 10)
