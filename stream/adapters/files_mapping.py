"""The column mapping of an import: a small YAML file, or the same as flags, checked as a whole before the first row.

::

    source: online-retail               # names the rows' ids; default: the file's name without its ending
    event: Order Completed              # or {column: Type, values: {S: Order Completed, V: Product Viewed}}
    customer: CustomerID                # becomes userId; `anonymous: Cookie` becomes anonymousId
    timestamp: {column: InvoiceDate, format: "%d.%m.%Y %H:%M", zone: Europe/London}   # or iso, unix, unix_ms
    decimal: ","                        # 1.234,50; default is "." as in 1,234.50
    fields:                             # properties of the event (traits when type is identify)
      currency: {value: GBP}            # a constant
      channel: {column: Shop, type: text}
    lines:                              # one order spreads over several rows
      order: Invoice
      fields: {product_id: StockCode, name: Description, quantity: Quantity, price: Price}
    refunds: {column: Invoice, starts_with: C}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import yaml

from stream.errors import ConfigurationError
from stream.events.segment import MESSAGES

Kind = Literal["text", "number", "integer", "boolean"]

NUMBERS = frozenset(("revenue", "total", "subtotal", "value", "price", "discount", "shipping", "tax"))
PRODUCT_FIELDS = ("product_id", "sku", "name", "category", "price", "quantity")
"""With ``--order`` these belong to the rows' products, the others to the order."""
INTEGERS = frozenset(("quantity", "score", "position"))
WINDOW_ROWS = 10_000
"""An order is complete when none of its lines came for this many rows. Smaller: files that aren't sorted by order are
refused sooner. Larger: more rows in memory, and orders leave later."""


class MappingError(ConfigurationError):
    """A column mapping is wrong; each problem says where, in the file or in the flags."""

    headline: ClassVar[str] = "in the column mapping"


class Spot(NamedTuple):
    """A value that a person wrote, and where: ``mapping.yaml:3:9`` or the flag."""

    value: Any
    where: str


class Field(msgspec.Struct, frozen=True):
    """Where one property comes from: a column, or a constant when there is no column."""

    target: str
    kind: Kind
    column: str = ""
    constant: Any = None


class Columns(msgspec.Struct, frozen=True):
    """A checked mapping. ``used`` has each column that it names and where, to compare with a file's own columns."""

    customer: str
    anonymous: str
    type: str
    event: str
    event_column: str
    event_values: dict[str, str]
    time_column: str
    time_format: str
    time_zone: str
    fields: tuple[Field, ...]
    used: tuple[tuple[str, str], ...]
    source: str = ""
    id_columns: tuple[str, ...] = ()
    decimal: str = "."
    delimiter: str = ","
    encoding: str = "utf-8"
    order_column: str = ""
    line_fields: tuple[Field, ...] = ()
    window_rows: int = WINDOW_ROWS
    refund_column: str = ""
    refund_prefix: str = ""

    def missing_from(self, columns: Sequence[str], file: str) -> list[str]:
        """A problem for each column that the file doesn't have.

        >>> given = flags({"customer": "Who", "timestamp": "When"}, event="Product Viewed", zone="UTC")
        >>> mapping = from_spots(given)
        >>> print(*mapping.missing_from(["Whom", "When"], "views.csv"), sep="; ")
        --column customer=Who: views.csv has no column 'Who'; did you mean 'Whom'?
        """
        found = []
        for name, where in dict(self.used).items():
            if name not in columns and name.split(".")[0] not in columns:
                close = get_close_matches(name, columns, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(map(repr, columns[:30]))}"
                found.append(f"{where}: {file} has no column {name!r}; {hint}")
        return found


def load(path: Path, overrides: Mapping[str, Spot] | None = None) -> Columns:
    """The mapping in a YAML file; ``overrides`` (flags) win. Raises `MappingError` with everything that is wrong."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise MappingError([f"{path}: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
        raise MappingError([f"{where}: not YAML: {getattr(error, 'problem', None) or error}"]) from error
    top = _spot(node, str(path)) if node is not None else Spot({}, str(path))
    if not isinstance(top.value, dict):
        raise MappingError([f"{top.where}: expected names with values, such as `customer: CustomerID`"])
    return _check({**top.value, **(overrides or {})}, str(path))


def from_spots(entries: Mapping[str, Spot]) -> Columns:
    """The mapping that flags make (see `flags`); the same as a file with these entries."""
    return _check(dict(entries), "the flags")


def flags(columns: Mapping[str, str], constants: Mapping[str, str] | None = None, **settings: str) -> dict[str, Spot]:
    """Flags as entries of a mapping: ``--column target=Column``, ``--constant target=value``, and single settings
    (event, source, zone, time_format, decimal, delimiter, encoding, order)."""
    top: dict[str, Spot] = {}
    fields: dict[str, Spot] = {}
    time: dict[str, Spot] = {}
    for target, column in columns.items():
        spot = Spot(column, f"--column {target}={column}")
        if target == "timestamp":
            time["column"] = spot
        elif target in ("customer", "anonymous", "id", "event"):
            top[target] = Spot({"column": spot}, spot.where) if target == "event" else spot
        else:
            fields[target] = spot
    for target, text in (constants or {}).items():
        where = f"--constant {target}={text}"
        fields[target] = Spot({"value": Spot(text, where)}, where)
    for name, text in settings.items():
        if text:
            spot = Spot(text, f"--{name.replace('_', '-')} {text}")
            if name in ("zone", "time_format"):
                time["zone" if name == "zone" else "format"] = spot
            elif name == "order":
                inside = {target: fields.pop(target) for target in PRODUCT_FIELDS if target in fields}
                top["lines"] = Spot({"order": spot, "fields": Spot(inside, spot.where)}, spot.where)
            else:
                top[name] = spot
    if time:
        top["timestamp"] = Spot(time, "--column timestamp=…")
    if fields:
        top["fields"] = Spot(fields, "--column")
    return top


def _spot(node: yaml.Node, file: str) -> Spot:
    where = f"{file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    if isinstance(node, yaml.MappingNode):
        return Spot({str(key.value): _spot(value, file) for key, value in node.value}, where)
    if isinstance(node, yaml.SequenceNode):
        return Spot([_spot(item, file) for item in node.value], where)
    return Spot(yaml.safe_load(node.value) if node.tag != "tag:yaml.org,2002:str" else node.value, where)


class _Checker:
    """Reads entries and collects problems and used columns instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.used: list[tuple[str, str]] = []

    def problem(self, where: str, text: str) -> None:
        self.problems.append(f"{where}: {text}")

    def known(self, entries: Mapping[str, Spot], names: Iterable[str], what: str) -> None:
        for name, spot in entries.items():
            if name not in names:
                close = get_close_matches(name, list(names), 1)
                hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
                self.problem(spot.where, f"{what} has no entry {name!r}; {hint}")

    def text(self, entries: Mapping[str, Spot], name: str, default: str = "") -> str:
        spot = entries.get(name)
        if spot is None:
            return default
        if isinstance(spot.value, str | int | float) and str(spot.value):
            return str(spot.value)
        self.problem(spot.where, f"{name} must be a text")
        return default

    def column(self, entries: Mapping[str, Spot], name: str) -> str:
        column = self.text(entries, name)
        if column:
            self.used.append((column, entries[name].where))
        return column

    def table(self, entries: Mapping[str, Spot], name: str) -> dict[str, Spot]:
        spot = entries.get(name)
        if spot is None:
            return {}
        if isinstance(spot.value, dict):
            return spot.value
        self.problem(spot.where, f"{name} must have entries of its own")
        return {}

    def one_of(self, entries: Mapping[str, Spot], name: str, choices: Sequence[str]) -> str:
        value = self.text(entries, name, choices[0])
        if value not in choices:
            self.problem(entries[name].where, f"{name} {value!r} is not one of {', '.join(map(repr, choices))}")
        return value

    def fields(self, entries: Mapping[str, Spot]) -> tuple[Field, ...]:
        found = []
        for target, spot in entries.items():
            plain: Kind = "number" if target in NUMBERS else "integer" if target in INTEGERS else "text"
            if not isinstance(spot.value, dict):
                column = self.column({target: spot}, target)
                found.append(Field(target, plain, column=column))
                continue
            inner = spot.value
            self.known(inner, ("column", "value", "type"), f"field {target}")
            if ("column" in inner) == ("value" in inner):
                self.problem(spot.where, f"field {target} needs either a column or a value")
            elif "type" in inner:
                self.one_of(inner, "type", ("text", "number", "integer", "boolean"))
            kind: Kind = self.text(inner, "type", plain)  # type: ignore[assignment]  # checked by one_of
            constant = inner["value"].value if "value" in inner else None
            found.append(Field(target, kind, self.column(inner, "column"), constant))
        return tuple(found)


_TOP = ("source", "event", "type", "customer", "anonymous", "id", "timestamp", "decimal", "delimiter", "encoding",
        "fields", "lines", "refunds")  # fmt: skip
_EVENTS = tuple(row.name for row in MESSAGES)


def _check(top: dict[str, Spot], origin: str) -> Columns:
    see = _Checker()
    see.known(top, _TOP, "a mapping")
    kind = see.one_of(top, "type", ("track", "identify", "alias"))
    event, event_column, values = _event(see, top, kind, origin)
    customer, anonymous = see.column(top, "customer"), see.column(top, "anonymous")
    if not customer and not anonymous:
        see.problem(origin, "who is the customer? add `customer: COLUMN` or `anonymous: COLUMN`")
    time = top.get("timestamp")
    if time is not None and not isinstance(time.value, dict):
        time = Spot({"column": time}, time.where)
    when = time.value if time is not None else {}
    see.known(when, ("column", "format", "zone"), "timestamp")
    time_column, pattern, zone = see.column(when, "column"), see.text(when, "format", "iso"), see.text(when, "zone")
    if not time_column:
        see.problem(time.where if time else origin, "when did it happen? add `timestamp: {column: …, zone: …}`")
    if pattern not in ("iso", "unix", "unix_ms") and "%" not in pattern:
        see.problem(when["format"].where, f"format {pattern!r} is not iso, unix, unix_ms or a pattern such as %d.%m.%Y")
    if "%" in pattern and "%z" not in pattern and not zone:
        see.problem(when["format"].where, "the pattern has no zone (%z), so add `zone`, such as Europe/Berlin or UTC")
    if zone:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            see.problem(when["zone"].where, f"zone {zone!r} is not an IANA time zone such as Europe/Berlin or UTC")
    lines, refunds = see.table(top, "lines"), see.table(top, "refunds")
    see.known(lines, ("order", "fields", "window_rows"), "lines")
    see.known(refunds, ("column", "starts_with"), "refunds")
    order_column = see.column(lines, "order")
    if lines and not order_column:
        see.problem(
            top["lines"].where, "lines needs `order: COLUMN`, the column that says which order a row belongs to"
        )
    fields, line_fields = see.fields(see.table(top, "fields")), see.fields(see.table(lines, "fields"))
    if order_column and not {"price", "revenue", "total"} & {field.target for field in (*fields, *line_fields)}:
        see.problem(top["lines"].where, "orders would be worth nothing: map `price` in lines, or `revenue` in fields")
    window = see.text(lines, "window_rows", str(WINDOW_ROWS))
    if not re.fullmatch(r"[1-9]\d{0,8}", window):
        see.problem(lines["window_rows"].where, f"window_rows {window!r} is not a number of rows above 0")
    refund_column, prefix = see.column(refunds, "column"), see.text(refunds, "starts_with")
    if refunds and not (refund_column and prefix):
        see.problem(top["refunds"].where, "refunds needs `column` and `starts_with`")
    ids = top.get("id")
    listed = ids.value if ids is not None and isinstance(ids.value, list) else [ids] if ids is not None else []
    id_columns = tuple(see.column({"id": spot}, "id") for spot in listed)
    delimiter = see.text(top, "delimiter", ",")
    if len(delimiter) != 1:
        see.problem(top["delimiter"].where, f"delimiter {delimiter!r} is not a single character")
    encoding = see.text(top, "encoding", "utf-8")
    try:
        "".encode(encoding)
    except LookupError:
        see.problem(top["encoding"].where, f"encoding {encoding!r} is unknown; try utf-8, latin-1 or cp1252")
    mapped = Columns(
        customer, anonymous, kind, event, event_column, values, time_column, pattern, zone,
        fields, (), see.text(top, "source"), id_columns,
        see.one_of(top, "decimal", (".", ",")), delimiter, encoding,
        order_column, line_fields, int(window) if window.isdigit() else WINDOW_ROWS,
        refund_column, prefix,
    )  # fmt: skip
    if see.problems:
        raise MappingError(see.problems)
    return msgspec.structs.replace(mapped, used=tuple(see.used))


def _event(see: _Checker, top: dict[str, Spot], kind: str, origin: str) -> tuple[str, str, dict[str, str]]:
    """The constant event, or the column that names it and the values' meaning."""
    spot = top.get("event")
    if spot is None:
        if kind == "track":
            see.problem(origin, "which event is a row? add `event`, such as `event: Order Completed`")
        return "", "", {}
    if not isinstance(spot.value, dict):
        _known_event(see, spot)
        return see.text(top, "event"), "", {}
    see.known(spot.value, ("column", "values"), "event")
    column = see.column(spot.value, "column")
    if not column:
        see.problem(spot.where, "event needs `column`, or be a plain name")
    values = see.table(spot.value, "values")
    for named in values.values():
        _known_event(see, named)
    return "", column, {raw: str(named.value) for raw, named in values.items()}


def _known_event(see: _Checker, spot: Spot) -> None:
    if spot.value not in _EVENTS:
        close = get_close_matches(str(spot.value), _EVENTS, 1, 0.4)
        hint = f"did you mean {close[0]!r}?" if close else "see the schemas"
        see.problem(spot.where, f"event {spot.value!r} is not one that Winback knows; {hint}")
