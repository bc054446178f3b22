"""What one process's share of a replay gives: rows for each file, sorted in spills, and figures that add up."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import orjson

from stream.actions.codec import when_who_which
from stream.actions.message import Message, Stream
from stream.experiments.tally import Tally
from stream.outcome import Telemetry
from stream.replay.spill import Block, Spill, in_order

OUTPUT_MEMORY_BYTES = 64 << 20
"""Rows of one file that a process keeps before it writes them to disk. Larger: memory; smaller: more runs to merge."""
NAMES = (
    "actions",
    "suppressions",
    "alerts",
    "tiers",
    "kpis",
    "experiments",
    "models",
    "dead_letters",
    "customers",
    "scores",
    "states",
)
"""Files of rows; ``states`` stays inside."""
COUNTS = (
    "events",
    "ignored",
    "actions",
    "suppressed",
    "deferred",
    "journeys",
    "alerts",
    "labels",
    "dead_letters",
    "tiers",
    "segments",
    "buyers",
)


_keys_and_rows = msgspec.msgpack.Decoder(tuple[list[Any], list[bytes]]).decode


class Figures(msgspec.Struct):
    """What a process reports at its end; `add` makes one of several."""

    counts: dict[str, dict[str, int]]
    quality: dict[str, Any]
    refused: list[tuple[int, str, str]]
    """(number, reason, detail) of each refused line, repeats included."""
    repeats: int
    blocks: dict[str, list[Block]]
    until_ms: int | None = None
    """What the customers are as of; ``None`` when there was no event."""
    tallies: list[Tally] = []
    """Outcomes of measured rules, as the last version has them."""

    def add(self, other: Figures) -> None:
        """Takes another process's figures in. All have followed the same versions, so the quality is the same."""
        for name, counts in other.counts.items():
            self.counts[name] = dict(Counter(self.counts[name]) + Counter(counts))
        self.quality = self.quality or other.quality
        self.tallies = self.tallies or other.tallies
        self.refused += other.refused
        self.repeats += other.repeats
        for name, blocks in other.blocks.items():
            self.blocks[name] += blocks


class Collects(Protocol):
    """What a `Player` plays into."""

    refused: list[tuple[int, str, str]]
    repeats: int
    quality: dict[str, Any]
    tallies: list[Tally]
    until_ms: int | None

    def message(self, message: Message) -> None:
        """A message that the processor published."""

    def count(self, telemetry: Telemetry) -> None:
        """Adds the figures of one step."""

    def customers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Every customer as of the end; whoever doesn't look at the rows doesn't pay for them."""

    def scored(self, at_ms: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Scores as of an instant."""


class Outputs:
    """Collects while a `Player` plays."""

    def __init__(self, folder: Path, number: int) -> None:
        self._spills = {name: Spill(folder / f"{name}-{number}", OUTPUT_MEMORY_BYTES) for name in NAMES}
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTS}
        self.refused: list[tuple[int, str, str]] = []
        self.repeats = 0
        self.quality: dict[str, Any] = {}
        self.tallies: list[Tally] = []
        self.until_ms: int | None = None

    def message(self, message: Message) -> None:
        """A message that the processor published."""
        value = message.value or b""
        key: Any
        if message.stream is Stream.DEAD_LETTERS:
            key, value = _dead_letter_line(message), b""
            self._counts["dead_letters"][_header(message, "dlq-reason")] += 1
        else:
            key = when_who_which(message)
        self._spills[message.stream.value].add(key, value, len(value) or len(key))

    def count(self, telemetry: Telemetry) -> None:
        """Adds the figures of one step."""
        counts = self._counts
        for (_, kind), n in telemetry.events.items():
            counts["events"][kind] += n
        for (_, why), n in telemetry.ignored.items():
            counts["ignored"][why] += n
        for (rule, _), n in telemetry.actions.items():
            counts["actions"][rule] += n
        for (rule, reason), n in telemetry.suppressed.items():
            counts["suppressed"][f"{rule}: {reason}"] += n
        for (rule, reason), n in telemetry.deferred.items():
            counts["deferred"][f"{rule}: {reason}"] += n
        for (rule, state), n in telemetry.journeys.items():
            counts["journeys"][f"{rule}: {state}"] += n
        for (kind,), n in telemetry.alerts.items():
            counts["alerts"][kind] += n
        for (outcome,), n in telemetry.labels.items():
            counts["labels"][outcome] += n

    def customers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Every customer as of the end."""
        counts, add = self._counts, self._spills["customers"].add
        everybody = bought = again = 0
        standings: Counter[tuple[str, str | None]] = Counter()
        for row in rows:
            line = orjson.dumps(row)
            add(row["customer_id"], line, len(line))
            frequency = row["lifetime"]["frequency"]
            everybody += 1
            bought += frequency > 0
            again += frequency > 1
            standings[row["tier"], row["segment"]] += 1
        if everybody:
            counts["buyers"].update({"all": everybody, "bought": bought, "again": again})
        for (tier, segment), n in standings.items():
            counts["tiers"][tier] += n
            counts["segments"][segment or "unknown"] += n

    def scored(self, at_ms: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Scores as of an instant."""
        for row in rows:
            line = orjson.dumps(row)
            self._spills["scores"].add((at_ms, row["customer_id"]), line, len(line))

    def states(self, store: Mapping[bytes, bytes]) -> None:
        """The customers' records themselves, for whoever compares them."""
        for key, value in store.items():
            self._spills["states"].add(key, value, len(value))

    def close(self) -> Figures:
        """The end: everything is on disk, this says where."""
        blocks = {name: spill.close() for name, spill in self._spills.items()}
        counts = {name: dict(counter) for name, counter in self._counts.items()}
        return Figures(counts, self.quality, self.refused, self.repeats, blocks, self.until_ms, self.tallies)


def merged(blocks: Sequence[Block]) -> Iterator[list[tuple[Any, bytes]]]:
    """Portions of (key, row) of one file's blocks, from whichever processes, in the file's order."""
    yield from in_order(blocks, _load)


def merge(blocks: Sequence[Block], path: Path) -> None:
    """Makes one file of its blocks."""
    with path.open("wb", buffering=1 << 20) as file:
        for portion in merged(blocks):
            # A dead letter is its own key.
            lines = [row or key for key, row in portion]
            lines.append(b"")
            file.write(b"\n".join(lines))


def _load(block: Block) -> list[tuple[Any, ...]]:
    keys, rows = _keys_and_rows(block.read())
    # A list is what MessagePack makes of a tuple; the keys of a file are all of one kind.
    return list(zip(map(tuple, keys) if isinstance(keys[0], list) else keys, rows, strict=True))


def _header(message: Message, name: str) -> str:
    return next(raw for header, raw in message.headers if header == name).decode("utf-8", "replace")


def _dead_letter_line(message: Message) -> bytes:
    value = message.value or b""
    row: dict[str, Any] = {
        "reason": _header(message, "dlq-reason"),
        "stage": _header(message, "dlq-stage"),
        "field": _header(message, "dlq-field"),
        "detail": _header(message, "__streams.errors.message"),
    }
    try:
        row["value"] = value.decode()
    except UnicodeDecodeError:
        row["value_base64"] = base64.b64encode(value).decode()
    return orjson.dumps(row)
