"""History through the same processor as live, without Kafka: files in, files out, the same bytes for the same events.

Events are sorted canonically (time, messageId) and exact repeats of a line are dropped, so neither the order nor the
duplication of the input lines can show in the output. What does depend on them goes to ``run.json``.
"""

from __future__ import annotations

import base64
import gzip
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import orjson

from stream.actions.message import Message, Stream
from stream.config import Settings
from stream.errors import ConfigurationError
from stream.events.codec import Decoded, Decoder
from stream.events.instants import day_of, to_text
from stream.events.kinds import Event
from stream.events.money import Rates
from stream.events.record import Record
from stream.events.rejected import Rejected
from stream.outcome import Outcome
from stream.processor import Partition
from stream.processor.epochs import Coordinator, decode_contribution
from stream.rules.rule import RuleSet

Progress = Callable[[str, int, int], None]
"""(what is being done, done, total), for a progress bar."""
Item = tuple[Record, Decoded]

_ORDER = {
    Stream.ACTIONS: ("decided_at", "action_id"),
    Stream.SUPPRESSIONS: ("decided_at", "action_id"),
    Stream.ALERTS: ("decided_at", "alert_id"),
    Stream.TIERS: ("changed_at", "change_id"),
}
"""What each output file is sorted by."""


class History(msgspec.Struct):
    """The lines of the input, decoded once and in canonical order."""

    items: list[Item]
    lines: int
    blank: int
    repeats: int
    refused_lines: list[dict[str, Any]]

    @property
    def last_ms(self) -> int | None:
        """Time of the last event that was taken."""
        return max((d.time_ms for _, d in self.items if isinstance(d, Event)), default=None)


def read_history(paths: Sequence[Path], decoder: Decoder, progress: Progress | None = None) -> History:
    """Reads JSON Lines (also ``.gz``), decodes every distinct line and sorts the events canonically."""
    missing = [f"{path}: no such file" for path in paths if not path.is_file()]
    if missing:
        raise ConfigurationError(missing)
    seen: set[bytes] = set()
    history = History([], 0, 0, 0, [])
    decoded: dict[bytes, Decoded] = {}
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            history.lines += 1
            value = line.strip()
            if not value:
                history.blank += 1
            elif value in seen:
                history.repeats += 1
            else:
                seen.add(value)
                record = Record("", 0, -1, -1, None, value)
                decoded[value] = result = decoder.decode(record)
                history.items.append((record, result))
            result_now = decoded.get(value)
            if isinstance(result_now, Rejected):
                history.refused_lines.append(
                    {"file": path.name, "line": number, "reason": result_now.reason, "detail": result_now.detail}
                )
            if progress and not history.lines % 10_000:
                progress("reading", history.lines, 0)
    history.items.sort(key=_canonical)
    return history


class Replay:
    """One run over a history. Call `run` once, then read the collected outputs or `write` them."""

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        *,
        until_ms: int | None = None,
        score_at_ms: Sequence[int] = (),
        rates: Rates | None = None,
    ) -> None:
        self.settings = msgspec.structs.replace(settings, clock="event", partitions=1)
        self.decoder = Decoder(self.settings, rates, latest_ms=until_ms)
        self.messages: dict[Stream, list[bytes]] = {stream: [] for stream in _ORDER}
        self.dead_letters: set[bytes] = set()
        self.scores: list[dict[str, Any]] = []
        self.customers: list[dict[str, Any]] = []
        self.counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("events", "rejected", "ignored", "actions", "suppressed", "alerts", "labels")
        }
        self.until_ms = until_ms
        self.quality: dict[str, Any] = {}
        self._score_at = sorted(set(score_at_ms))
        self._store: dict[bytes, bytes] = {}
        self._partition = Partition(
            self.settings, rules, partition=0, partitions=1, store=self._store, decoder=self.decoder
        )
        self._coordinator = Coordinator(self.settings, 1)
        self._muted = False

    def run(self, history: History, progress: Progress | None = None) -> None:
        """Plays the history to ``until``, then on to the last time to score at, deciding nothing any more."""
        until_ms = self.until_ms if self.until_ms is not None else history.last_ms
        total = len(history.items)
        done = 0
        waiting = list(self._score_at)
        for day, group in groupby(history.items, key=_day):
            items = list(group)
            if day is None:
                self._sink(self._partition.apply_decoded(items, 0))
            else:
                for chunk in self._split(items, waiting):
                    self._play(chunk)
            done += len(items)
            if progress:
                progress("replaying", done, total)
        if until_ms is None:
            return
        self.until_ms = until_ms
        self._score_until(waiting, until_ms)
        self._to(until_ms)
        self.customers = list(self._partition.customers(until_ms))
        model = self._model
        self.quality = {} if model is None else msgspec.to_builtins(model.quality)
        self._muted = True
        self._score_until(waiting, waiting[-1] if waiting else until_ms)

    # -- inside

    def _split(self, items: list[Item], waiting: list[int]) -> Iterator[list[Item]]:
        """A day's events, cut where scores are due: events at that very instant come after it."""
        while waiting:
            at_ms = waiting[0]
            cut = next((i for i, item in enumerate(items) if _time(item) >= at_ms), None)
            if cut is None:
                break
            if cut:
                yield items[:cut]
            self._score_until(waiting, at_ms)
            items = items[cut:]
        if items:
            yield items

    def _play(self, items: list[Item]) -> None:
        first_ms, last_ms = _time(items[0]), _time(items[-1])
        self._to(first_ms)
        self._sink(self._partition.apply_decoded(items, last_ms))

    def _to(self, at_ms: int) -> None:
        """Moves time on to an instant, day by day, each day with the version that was folded for it."""
        partition = self._partition
        if partition.awaits_epoch(at_ms):
            self._sink(partition.tick(at_ms))
        while (due_ms := partition.next_due_ms()) is not None and due_ms <= at_ms:
            self._sink(partition.tick(at_ms))

    def _score_until(self, waiting: list[int], until_ms: int) -> None:
        while waiting and waiting[0] <= until_ms:
            at_ms = waiting.pop(0)
            self._to(at_ms)
            self.scores += self._partition.scores(at_ms)

    def _sink(self, out: Outcome) -> None:
        """Makes an outcome durable: here, in dictionaries."""
        self._store.update((key, value) for key, value in out.changed.items() if value is not None)
        self._partition.commit()
        for message in out.messages:
            if message.stream is Stream.CONTRIBUTIONS:
                self._coordinator.contribute(decode_contribution(message.value or b""))
            elif self._muted:
                continue
            elif message.stream is Stream.DEAD_LETTERS:
                self.dead_letters.add(_dead_letter_line(message))
            else:
                self.messages[message.stream].append(message.value or b"")
        if not self._muted:
            self._count(out)
        epoch = self._coordinator.fold()
        if epoch is not None:
            self._model = epoch.model
            self._partition.adopt(epoch)

    _model: Any = None

    def _count(self, out: Outcome) -> None:
        telemetry = out.telemetry
        for (_, kind), n in telemetry.events.items():
            self.counts["events"][kind] += n
        for (_, why), n in telemetry.ignored.items():
            self.counts["ignored"][why] += n
        for (rule, _), n in telemetry.actions.items():
            self.counts["actions"][rule] += n
        for (rule, reason), n in telemetry.suppressed.items():
            self.counts["suppressed"][f"{rule}: {reason}"] += n
        for (kind,), n in telemetry.alerts.items():
            self.counts["alerts"][kind] += n
        for (outcome,), n in telemetry.labels.items():
            self.counts["labels"][outcome] += n

    # -- writing

    def write(self, out_dir: Path, history: History, run: Mapping[str, Any]) -> dict[str, Any]:
        """Writes all files of the run into a folder and returns the summary."""
        out_dir.mkdir(parents=True, exist_ok=True)
        for stream, keys in _ORDER.items():
            rows = sorted(self.messages[stream], key=_sorter(keys))
            _write_lines(out_dir / f"{stream.value}.jsonl", rows)
        _write_lines(out_dir / "dead_letters.jsonl", sorted(self.dead_letters))
        _write_lines(out_dir / "customers.jsonl", (orjson.dumps(row) for row in self.customers))
        if self._score_at:
            _write_lines(out_dir / "scores.jsonl", (orjson.dumps(row) for row in self.scores))
        summary = self.summary()
        pretty = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        (out_dir / "summary.json").write_bytes(orjson.dumps(summary, option=pretty))
        facts = {
            **run,
            "lines": history.lines,
            "blank_lines": history.blank,
            "repeated_lines": history.repeats,
            "duplicates": self.counts["ignored"]["duplicate"],
            "refused_lines": history.refused_lines,
        }
        (out_dir / "run.json").write_bytes(orjson.dumps(facts, option=pretty))
        return summary

    def summary(self) -> dict[str, Any]:
        """Counts and rates of the run, and how good the model was."""
        rejected = Counter(orjson.loads(row)["reason"] for row in self.dead_letters)
        customers = len(self.customers)
        buyers = sum(1 for row in self.customers if row["lifetime"]["frequency"])
        repeat = sum(1 for row in self.customers if row["lifetime"]["frequency"] >= 2)
        published = sum(self.counts["actions"].values())
        return {
            "as_of": None if self.until_ms is None else to_text(self.until_ms),
            "events": dict(sorted(self.counts["events"].items())),
            "ignored": {k: n for k, n in sorted(self.counts["ignored"].items()) if k != "duplicate"},
            "dead_letters": dict(sorted(rejected.items())),
            "customers": customers,
            "buyers": buyers,
            "tiers": dict(sorted(Counter(row["tier"] for row in self.customers).items())),
            "segments": dict(sorted(Counter(row["segment"] or "unknown" for row in self.customers).items())),
            "actions": dict(sorted(self.counts["actions"].items())),
            "suppressions": dict(sorted(self.counts["suppressed"].items())),
            "alerts": dict(sorted(self.counts["alerts"].items())),
            "labels": dict(sorted(self.counts["labels"].items())),
            "rates": {
                "repurchase": round(repeat / buyers, 6) if buyers else None,
                "actions_per_customer": round(published / customers, 6) if customers else None,
                "alerts_per_customer": round(sum(self.counts["alerts"].values()) / customers, 6) if customers else None,
            },
            "model": self.quality,
        }


def _lines(path: Path) -> Iterator[bytes]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as packed:
            yield from packed
    else:
        with path.open("rb") as plain:
            yield from plain


def _canonical(item: Item) -> tuple[int, str, bytes]:
    record, decoded = item
    value = record.value or b""
    return (decoded.time_ms, decoded.message_id, value) if isinstance(decoded, Event) else (-1, "", value)


def _time(item: Item) -> int:
    decoded = item[1]
    return decoded.time_ms if isinstance(decoded, Event) else 0


def _day(item: Item) -> int | None:
    """The UTC day of an event; ``None`` for what is none: all of that sorts first and touches no customer."""
    return day_of(item[1].time_ms) if isinstance(item[1], Event) else None


def _sorter(keys: tuple[str, str]) -> Callable[[bytes], tuple[str, ...]]:
    def key(row: bytes) -> tuple[str, ...]:
        plain = orjson.loads(row)
        return plain[keys[0]], plain["customer_id"], plain[keys[1]]

    return key


def _dead_letter_line(message: Message) -> bytes:
    headers = {name: raw.decode("utf-8", "replace") for name, raw in message.headers}
    value = message.value or b""
    row: dict[str, Any] = {
        "reason": headers["dlq-reason"],
        "stage": headers["dlq-stage"],
        "field": headers["dlq-field"],
        "detail": headers["__streams.errors.message"],
    }
    try:
        row["value"] = value.decode()
    except UnicodeDecodeError:
        row["value_base64"] = base64.b64encode(value).decode()
    return orjson.dumps(row)


def _write_lines(path: Path, rows: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(row + b"\n")
