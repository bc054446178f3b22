"""Importing history: rows become messages on the input topics, flagged so that they change state and labels, never act.

Every row that a run has dealt with is on the broker (acknowledged) before it is noted as done, so a run that is killed
and started again loses nothing; what it sends twice carries the same ids and changes nothing. While the broker works on
one step, the next one is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import msgspec

from stream.adapters.files import Progress, Rejects, Table, fingerprint, stem
from stream.adapters.files_mapping import Columns, MappingError
from stream.adapters.files_routing import route, topic_names
from stream.adapters.files_rows import Bad, Made, Row, messages
from stream.adapters.files_send import BulkSender
from stream.config import Settings
from stream.events.codec import Decoder
from stream.events.record import BACKFILL_END_HEADER, BACKFILL_HEADER, Record
from stream.events.rejected import Ignored, Reason, Rejected

ITEMS_A_STEP = 10_000
"""Rows or orders between two progress notes; two steps are on their way at a time. More: a killed run repeats more, and
holds more in memory; fewer: waits for the broker and the disk more often."""
ITEMS_A_TURN = 500
"""Rows between two turns of the event loop (about 5 ms). More: the broker waits for requests; fewer: turns cost more."""

_HISTORY = ((BACKFILL_HEADER, b"1"),)
_END = ((BACKFILL_END_HEADER, b"1"),)
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Ready(msgspec.Struct, frozen=True):
    """A message that is ready to go."""

    row: int
    kind: str
    key: bytes
    value: bytes


class Summary(msgspec.Struct):
    """What became of the files of one import."""

    rows_rejected: int = 0
    messages: int = 0
    by_topic: dict[str, int] = msgspec.field(default_factory=dict)
    files: list[str] = msgspec.field(default_factory=list)
    already_imported: list[str] = msgspec.field(default_factory=list)
    resumed: list[str] = msgspec.field(default_factory=list)
    rejected_files: list[str] = msgspec.field(default_factory=list)


class Plan(msgspec.Struct, frozen=True):
    """One import: what to read and how. ``columns`` is ``None`` when the lines are Segment messages already."""

    files: tuple[Path, ...]
    columns: Columns | None
    format: str = ""
    source: str = ""
    again: bool = False

    def table(self, path: Path) -> Table:
        """The file, open."""
        if self.columns is None:
            return Table(path, self.format)
        return Table(path, self.format, self.columns.delimiter, self.columns.encoding)

    def source_of(self, path: Path) -> str:
        """The name that makes the rows' ids unique."""
        return self.source or (self.columns.source if self.columns else "") or stem(path)

    def check(self) -> None:
        """Raise `MappingError` with all that is wrong between the mapping and the files, before anything is sent."""
        found = []
        names: dict[str, Path] = {}
        for path in self.files:
            table = self.table(path)
            table.close()
            if self.columns is None:
                if table.format != "jsonl":
                    found.append(
                        f"{path}: {table.format} needs a mapping: --map FILE, or --column customer=… and so on"
                    )
                continue
            if table.format != "jsonl":
                found += self.columns.missing_from(table.columns, path.name)
            if not self.columns.id_columns and not self.columns.order_column:
                other = names.setdefault(self.source_of(path), path)
                if other != path:
                    found.append(
                        f"{path} and {other} would give their rows the same ids ({self.source_of(path)}-1, …): "
                        "name an `id` column in the mapping, or import them one by one, each with its --source"
                    )
        if found:
            raise MappingError(found)

    def key(self, path: Path, cluster: str) -> str:
        """The name of the progress note: content, meaning and destination."""
        content = fingerprint(path)
        meaning = msgspec.json.encode((msgspec.structs.astuple(self.columns) if self.columns else None, self.format,
                                       self.source_of(path) if self.columns else "", cluster))  # fmt: skip
        return f"{content}-{blake2b(meaning, digest_size=6).hexdigest()}"


Refused = tuple[Bad, ...]
"""The rows of one message that can't be sent."""


def prepared(table: Table, plan: Plan, settings: Settings, skip: int = 0) -> Iterator[Ready | Refused]:
    """A file's messages, each checked as the worker will check it, and its bad rows; ``skip`` items are left out.

    The same file and plan give the same items in the same order.
    """
    decoder = Decoder(settings)
    made = _segment(table) if plan.columns is None else _mapped(table, plan)
    for item in islice(made, skip, None):
        if isinstance(item, Bad):
            yield (item,)
            continue
        value, rows = item
        where = route(value)
        # The record's own time is unknown (-1) here: an event of the future is for the worker to refuse.
        decoded = decoder.decode(Record("", 0, 0, -1, where.key, value))
        problem = ""
        # Rates are the worker's; it may know one that this command doesn't.
        if isinstance(decoded, Rejected) and decoded.reason != Reason.NO_RATE:
            problem = f"{decoded.field}: {decoded.detail}" if decoded.field else decoded.detail
        elif isinstance(decoded, Ignored):
            problem = f"event {decoded.name!r} is not one that Winback knows"
        if problem or where.key is None:
            shown = value.decode("utf-8", "backslashreplace")
            yield tuple(Bad(row.number, problem or "no customer", row.values or shown) for row in rows)
        else:
            yield Ready(rows[0].number, where.topic, where.key, value)


def _segment(table: Table) -> Iterator[tuple[bytes, tuple[Row, ...]]]:
    for number, line in enumerate(table.file.lines(), start=1):
        if line.strip():
            yield line, (Row(number, {}),)


def _mapped(table: Table, plan: Plan) -> Iterator[tuple[bytes, tuple[Row, ...]] | Bad]:
    assert plan.columns is not None
    unread: list[Bad] = []

    def readable() -> Iterator[Row]:
        for row in table.rows():
            if isinstance(row, Bad):
                unread.append(row)
            else:
                yield row

    for item in messages(readable(), plan.columns, plan.source_of(table.path)):
        yield from unread
        unread.clear()
        yield (_encode(item.message), item.rows) if isinstance(item, Made) else item
    yield from unread


async def run(
    plan: Plan, settings: Settings, options: dict[str, object], on_progress: Callable[[Path, int, int], None]
) -> Summary:
    """Import the plan's files; ``on_progress(file, bytes read, bytes in all)`` after each step.

    Raises `MappingError` and `UnreadableFileError` before anything is sent, `BrokerUnavailable` and `TopicError` at any
    time: run it again then.
    """
    plan.check()
    folder = Path(settings.data_dir) / "imports"
    names = topic_names(settings)
    summary = Summary()
    notes: list[tuple[Progress, str]] = []
    async with BulkSender(options) as sender:
        await sender.open_topics(settings.input_topics)
        cluster = await sender.cluster_id()
        written = await sender.written(settings.input_topics)
        for path in plan.files:
            key = plan.key(path, cluster)
            note = Progress.load(folder, key, path)
            # Topics that hold fewer records than were sent have been made anew: what was noted is gone from them.
            if plan.again or note.sent > written:
                note = Progress(str(path))
            notes.append((note, key))
            summary.files.append(str(path))
            if note.done:
                summary.already_imported.append(str(path))
                continue
            if note.items:
                summary.resumed.append(str(path))
            await _one(path, plan, settings, sender, names, note, folder, key, on_progress, summary)
        await _end(sender, [topic for note, _ in notes if not note.done for topic in note.topics])
        for note, key in notes:
            note.done = True
            note.save(folder, key)
    return summary


async def _one(
    path: Path, plan: Plan, settings: Settings, sender: BulkSender, names: dict[str, str], note: Progress, folder: Path,
    key: str, on_progress: Callable[[Path, int, int], None], summary: Summary,
) -> None:  # fmt: skip
    """One file, from where its note says to its end."""
    table = plan.table(path)
    rejects = Rejects(path.with_name(f"{path.name}.rejected.jsonl"), note.rejected_bytes)
    try:
        items = prepared(table, plan, settings, note.items)
        pushed: Progress | None = None
        while True:
            items_before = note.items
            while note.items - items_before < ITEMS_A_STEP and (turn := list(islice(items, ITEMS_A_TURN))):
                for item in turn:
                    if isinstance(item, tuple):
                        for bad in item:
                            rejects.write(bad)
                        note.rejected += len(item)
                        summary.rows_rejected += len(item)
                        continue
                    topic = names[item.kind]
                    sender.add(topic, item.key, item.value, _HISTORY)
                    note.row = item.row
                    note.sent += 1
                    summary.messages += 1
                    summary.by_topic[topic] = summary.by_topic.get(topic, 0) + 1
                    if topic not in note.topics:
                        note.topics.append(topic)
                note.items += len(turn)
                # Requests of the step before leave, and answers come in, while this one is being read.
                await asyncio.sleep(0)
            if note.items == items_before:
                break
            note.rejected_bytes = rejects.flush()
            await sender.push()
            # The step before this one is acknowledged now; this one is on its way while the next is being read.
            if pushed is not None:
                pushed.save(folder, key)
            pushed = msgspec.structs.replace(note, topics=list(note.topics))
            on_progress(path, table.file.position, table.file.size)
        await sender.flush()
        note.save(folder, key)
        if note.rejected:
            summary.rejected_files.append(str(rejects.path))
    finally:
        rejects.close()
        table.close()
    on_progress(path, table.file.size, table.file.size)


async def _end(sender: BulkSender, topics: Sequence[str]) -> None:
    """Tell every partition of the topics used that the history is complete."""
    for topic in dict.fromkeys(topics):
        for partition in range(sender.partitions(topic)):
            sender.add(topic, None, None, _END, to=partition)
    await sender.flush()
