"""Reading files of events or rows, and remembering how far an import has come.

Formats: JSON Lines, CSV, Parquet; the first two also gzipped. A file is known by its content, so a renamed copy is the
same file and a changed one is another.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import msgspec

from stream.adapters.files_rows import Bad, Row
from stream.errors import WinbackError

Format = Literal["csv", "jsonl", "parquet"]

_ENDINGS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_CHUNK = 1 << 20
LONGEST_CELL = 16 << 20
"""Longest CSV cell in characters: an unclosed quote would otherwise swallow the rest of the file into memory."""


class UnreadableFileError(WinbackError):
    """A file can't be opened, or is not what its name says."""

    operator_action: ClassVar[str] = "check the path, the permissions and the format (--format csv, jsonl or parquet)"


def format_of(path: Path, named: str = "") -> Format:
    """The format by name, else by the file's ending.

    >>> format_of(Path("orders.csv.gz")), format_of(Path("events.ndjson"))
    ('csv', 'jsonl')
    """
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    found = named or _ENDINGS.get(ending, "")
    if found not in _ENDINGS.values():
        raise UnreadableFileError(f"{path}: the ending {ending!r} says nothing about the format")
    return found  # type: ignore[return-value]  # one of the table's values


def stem(path: Path) -> str:
    """The file's name without its endings.

    >>> stem(Path("/data/orders_2024.csv.gz"))
    'orders_2024'
    """
    name = path.name.removesuffix(".gz")
    return Path(name).stem if Path(name).suffix.lower() in _ENDINGS else name


class Counted:
    """An open file that knows how many of its bytes have been read: compressed ones, for progress bars."""

    def __init__(self, path: Path) -> None:
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise UnreadableFileError(f"{path}: {error.strerror}") from error
        self._path = path
        zipped = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        self.data: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=self._raw) if zipped else self._raw

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        return 0 if self._raw.closed else self._raw.tell()

    def chunks(self, size: int = _CHUNK) -> Iterator[bytes]:
        """The content, uncompressed, in pieces."""
        try:
            while chunk := self.data.read(size):
                yield chunk
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFileError(f"{self._path}: {error}") from error

    def lines(self) -> Iterator[bytes]:
        """Lines without their ends (LF or CRLF); other bytes stay as they are."""
        rest = b""
        for chunk in self.chunks():
            pieces = (rest + chunk).split(b"\n")
            rest = pieces.pop()
            for piece in pieces:
                yield piece[:-1] if piece.endswith(b"\r") else piece
        if rest:
            yield rest

    def close(self) -> None:
        """Close the file."""
        self.data.close()
        self._raw.close()


def fingerprint(path: Path) -> str:
    """The file's content as 32 hex digits (BLAKE2b)."""
    digest = blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise UnreadableFileError(f"{path}: {error.strerror}") from error
    return digest.hexdigest()


class Table:
    """The rows of one file. ``columns`` is empty for JSON Lines, whose rows each have their own."""

    def __init__(self, path: Path, named: str = "", delimiter: str = ",", encoding: str = "utf-8") -> None:
        self.path = path
        self.format = format_of(path, named)
        self.file = Counted(path)
        self.columns: list[str] = []
        self._parquet: Any = None
        if self.format == "csv":
            csv.field_size_limit(LONGEST_CELL)
            if path.name.removesuffix(".gz").endswith(".tsv") and delimiter == ",":
                delimiter = "\t"
            text = (line.decode("utf-8-sig" if encoding == "utf-8" else encoding, "surrogateescape") + "\n"
                    for line in self.file.lines())  # fmt: skip
            self._reader = csv.reader(text, delimiter=delimiter)
            self.columns = next(self._reader, [])
        elif self.format == "parquet":
            self._open_parquet()

    def _open_parquet(self) -> None:
        # Imported here: pyarrow takes half a second to load, and CSV and JSON Lines don't need it.
        from pyarrow import ArrowInvalid, parquet

        try:
            self._parquet = parquet.ParquetFile(self.path)
        except ArrowInvalid as error:
            raise UnreadableFileError(f"{self.path}: {error}") from error
        self.columns = list(self._parquet.schema_arrow.names)

    def rows(self) -> Iterator[Row | Bad]:
        """Every row, or why it can't be read; always the same for the same file."""
        if self.format == "csv":
            return self._csv()
        return self._jsonl() if self.format == "jsonl" else self._parquet_rows()

    def _csv(self) -> Iterator[Row | Bad]:
        width, reader, columns = len(self.columns), self._reader, self.columns
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Bad(reader.line_num, f"not CSV: {error}", "")
                continue
            number = reader.line_num
            if not cells:
                continue
            if len(cells) != width:
                yield Bad(number, f"{len(cells)} columns instead of {width}", cells)
                continue
            if any(not cell.isascii() and _undecodable(cell) for cell in cells):
                shown = [cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for cell in cells]
                yield Bad(number, "bytes that are not text in this encoding; see `encoding` in the mapping", shown)
                continue
            yield Row(number, dict(zip(columns, cells, strict=True)))

    def _jsonl(self) -> Iterator[Row | Bad]:
        decode = msgspec.json.Decoder().decode
        for number, line in enumerate(self.file.lines(), start=1):
            if not line.strip():
                continue
            try:
                value = decode(line)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                yield Bad(number, f"not JSON: {error}", line.decode("utf-8", "backslashreplace"))
                continue
            yield Row(number, value) if isinstance(value, dict) else Bad(number, "not a JSON object", value)

    def _parquet_rows(self) -> Iterator[Row | Bad]:
        number = 0
        for batch in self._parquet.iter_batches(batch_size=8192):
            for values in batch.to_pylist():
                number += 1
                yield Row(number, values)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        if self._parquet is not None:
            self._parquet.close()


def _undecodable(cell: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in cell)


class Rejects:
    """The file of refused rows: a JSON object a line, with ``line``, ``reason`` and the ``row`` as it was."""

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._keep = keep_bytes
        if keep_bytes == 0:
            path.unlink(missing_ok=True)

    def write(self, bad: Bad) -> None:
        """Note one refused row."""
        if self._file is None:
            self._file = self.path.open("r+b" if self._keep and self.path.exists() else "wb")
            # What a killed run wrote after its last progress note comes again.
            self._file.truncate(self._keep)
            self._file.seek(0, os.SEEK_END)
        line = {"line": bad.number, "reason": bad.reason, "row": bad.values}
        self._file.write(json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> int:
        """Hand everything to the operating system; returns the file's size in bytes."""
        if self._file is None:
            return self._keep
        self._file.flush()
        return self._file.tell()

    def close(self) -> None:
        """Close the file, if any row was refused."""
        if self._file is not None:
            self._file.close()
        elif self._keep and self.path.exists():
            os.truncate(self.path, self._keep)


class Progress(msgspec.Struct):
    """How far one file has come into one cluster under one mapping."""

    path: str
    items: int = 0
    """Messages and refused rows dealt with, in the file's order."""
    row: int = 0
    sent: int = 0
    rejected: int = 0
    rejected_bytes: int = 0
    topics: list[str] = msgspec.field(default_factory=list)
    done: bool = False
    """Every row is dealt with and the end markers are out."""

    @classmethod
    def load(cls, folder: Path, key: str, path: Path) -> Progress:
        """What is remembered under a key, or a new beginning."""
        file = folder / f"{key}.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=cls)
        except FileNotFoundError:
            return cls(str(path))
        except msgspec.DecodeError as error:
            raise UnreadableFileError(f"{file}: {error}; delete it to import {path} from its beginning") from error

    def save(self, folder: Path, key: str) -> None:
        """Replace what was remembered, atomically: a reader or a crash sees the old or the new, never a part."""
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"{key}.json.new"
        with new.open("wb") as file:
            file.write(msgspec.json.encode(self))
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / f"{key}.json")
