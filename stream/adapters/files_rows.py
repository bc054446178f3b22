"""From rows to Segment messages under a mapping: repeatable ids, exact sums, orders gathered from their lines."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from stream.adapters.files_mapping import Columns, Field
from stream.adapters.files_values import RowError, instant, look_up, number
from stream.events.hashing import hash64, hex_hash
from stream.events.wire import LONGEST_ID

RETURNS_PER_CUSTOMER = 50
"""How many of a customer's orders a refund is looked for in. More: memory; fewer: late returns find no order."""

_YES, _NO = frozenset(("1", "true", "t", "yes", "y")), frozenset(("0", "false", "f", "no", "n"))


class Row(NamedTuple):
    """One row of a file: its number (the line for text files, counted from 1) and its values by column."""

    number: int
    values: dict[str, Any]


class Made(NamedTuple):
    """The message that a row, or an order's rows, became."""

    message: dict[str, Any]
    rows: tuple[Row, ...]


class Bad(NamedTuple):
    """A row that can't be taken, and why."""

    number: int
    reason: str
    values: Any


def messages(rows: Iterable[Row], columns: Columns, source: str) -> Iterator[Made | Bad]:
    """Each row's message, or why there is none; with ``lines``, each order's.

    The same rows give the same items in the same order: a resumed import counts on it.
    """
    maker = _Maker(columns, source)
    return _gathered(rows, columns, maker) if columns.order_column else maker.single(rows)


class _Maker:
    """A mapping at work on single rows."""

    def __init__(self, columns: Columns, source: str) -> None:
        self._columns = columns
        self._source = source

    def single(self, rows: Iterable[Row]) -> Iterator[Made | Bad]:
        columns = self._columns
        for row in rows:
            try:
                values = row.values
                refund = self.is_refund(values)
                properties = self.fields(columns.fields, values, absolute=refund)
                yield Made(self.envelope(values, properties, self.row_id(row)), (row,))
            except RowError as error:
                yield Bad(row.number, str(error), row.values)

    def is_refund(self, values: dict[str, Any]) -> bool:
        prefix = self._columns.refund_prefix
        return bool(prefix) and str(look_up(values, self._columns.refund_column) or "").startswith(prefix)

    def row_id(self, row: Row) -> str:
        """The row's own columns, else its number: equal rows of a file are events of their own."""
        names = self._columns.id_columns
        if not names:
            return str(row.number)
        parts = [look_up(row.values, name) for name in names]
        if None in parts:
            raise RowError(f"column {names[parts.index(None)]!r} is empty, and it makes the row's id")
        return "-".join(map(str, parts))

    def envelope(self, values: dict[str, Any], properties: dict[str, Any], identity: str) -> dict[str, Any]:
        columns = self._columns
        message: dict[str, Any] = {"type": columns.type}
        if columns.type == "track":
            message["event"] = self._event(values)
        identity = f"{self._source}-{identity}"
        message["messageId"] = identity if len(identity) <= LONGEST_ID else f"{self._source[:64]}-{hex_hash(identity)}"
        for target, name in (("userId", columns.customer), ("anonymousId", columns.anonymous)):
            who = look_up(values, name) if name else None
            if who is not None:
                message[target] = str(int(who)) if isinstance(who, float) and who.is_integer() else str(who).strip()
        at = look_up(values, columns.time_column)
        if at is None:
            raise RowError(f"column {columns.time_column!r}: no time")
        try:
            message["timestamp"] = instant(at, columns.time_format, columns.time_zone)
        except RowError as error:
            raise RowError(f"column {columns.time_column!r}: {error}") from None
        message["traits" if columns.type == "identify" else "properties"] = properties
        return message

    def _event(self, values: dict[str, Any]) -> str:
        columns = self._columns
        if self.is_refund(values):
            return "Order Refunded"
        if not columns.event_column:
            return columns.event
        raw = look_up(values, columns.event_column)
        event = columns.event_values.get(str(raw)) if columns.event_values else raw
        if event is None:
            raise RowError(f"column {columns.event_column!r}: {raw!r} has no event in the mapping")
        return str(event)

    def fields(self, fields: tuple[Field, ...], values: dict[str, Any], absolute: bool = False) -> dict[str, Any]:
        """The mapped fields that have a value; ``absolute`` drops the minus that files put before what went back."""
        found: dict[str, Any] = {}
        for field in fields:
            raw = look_up(values, field.column) if field.column else field.constant
            if raw is None:
                continue
            try:
                value = self._convert(field, raw)
            except RowError as error:
                raise RowError(
                    f"column {field.column!r}: {error}" if field.column else f"{field.target}: {error}"
                ) from None
            if absolute and isinstance(value, int | Decimal) and not isinstance(value, bool):
                value = abs(value)
            place = found
            *outer, last = field.target.split(".")
            for part in outer:
                place = place.setdefault(part, {})
            place[last] = value
        return found

    def _convert(self, field: Field, raw: Any) -> Any:
        if field.kind == "text":
            return str(raw).strip()
        if field.kind == "boolean":
            level = str(raw).strip().lower()
            if level not in _YES | _NO:
                raise RowError(f"{raw!r} is neither yes nor no")
            return level in _YES
        value = number(raw, self._columns.decimal)
        if field.kind == "number":
            return value
        if value != value.to_integral_value():
            raise RowError(f"{raw!r} is not a whole number")
        return int(value)


class _Order:
    """The rows of one order that have come so far."""

    __slots__ = ("lines", "problem", "refund", "rows")

    def __init__(self, refund: bool) -> None:
        self.refund = refund
        self.rows: list[Row] = []
        self.lines: list[dict[str, Any]] = []
        self.problem = ""


class _Returns:
    """Which earlier order a returned product belongs to: the customer's newest one that still holds it.

    Exports give a return its own number and seldom the order's. Refunding the right order needs the right order.
    """

    def __init__(self) -> None:
        self._held: dict[str, deque[tuple[str, dict[str, int]]]] = defaultdict(
            lambda: deque(maxlen=RETURNS_PER_CUSTOMER)
        )

    def bought(self, customer: str, order_id: str, lines: list[dict[str, Any]]) -> None:
        held: dict[str, int] = defaultdict(int)
        for line in lines:
            held[line.get("product_id", "")] += line.get("quantity", 1)
        self._held[customer].append((order_id, held))

    def returned(self, customer: str, lines: list[dict[str, Any]]) -> tuple[dict[str, Decimal], Decimal]:
        """Amounts by order, and what belongs to no order that is known."""
        amounts: dict[str, Decimal] = {}
        unknown = Decimal(0)
        for line in lines:
            left, price = line.get("quantity", 1), line.get("price", Decimal(0))
            for order_id, held in reversed(self._held.get(customer, ())):
                taken = min(left, held.get(line.get("product_id", ""), 0))
                if taken > 0:
                    held[line["product_id"]] -= taken
                    amounts[order_id] = amounts.get(order_id, Decimal(0)) + taken * price
                    left -= taken
            unknown += left * price
        return amounts, unknown


def _gathered(rows: Iterable[Row], columns: Columns, maker: _Maker) -> Iterator[Made | Bad]:
    """Orders from their lines. A row that comes after its order was closed is refused: half an order would replace the
    whole one."""
    open_orders: dict[str, _Order] = {}
    closed: set[int] = set()
    returns = _Returns()
    for row in rows:
        name = look_up(row.values, columns.order_column)
        if name is None:
            yield Bad(row.number, f"column {columns.order_column!r}: no order", row.values)
            continue
        order_id = str(name)
        order = open_orders.get(order_id)
        if order is None:
            if hash64(order_id) in closed:
                reason = f"order {order_id} ended more than {columns.window_rows} rows before; sort the file by order"
                yield Bad(row.number, reason, row.values)
                continue
            order = open_orders[order_id] = _Order(maker.is_refund(row.values))
        order.rows.append(row)
        try:
            order.lines.append(maker.fields(columns.line_fields, row.values, absolute=order.refund))
        except RowError as error:
            # An order without one of its lines would have a wrong sum, so the whole order is refused.
            order.problem = order.problem or f"row {row.number}: {error}"
        while row.number - next(iter(open_orders.values())).rows[-1].number > columns.window_rows:
            oldest_id = next(iter(open_orders))
            closed.add(hash64(oldest_id))
            yield from _close(oldest_id, open_orders.pop(oldest_id), columns, maker, returns)
    for order_id, order in open_orders.items():
        yield from _close(order_id, order, columns, maker, returns)


def _close(order_id: str, order: _Order, columns: Columns, maker: _Maker, returns: _Returns) -> Iterator[Made | Bad]:
    values, rows = order.rows[0].values, tuple(order.rows)
    try:
        if order.problem:
            raise RowError(order.problem)
        properties = maker.fields(columns.fields, values, absolute=order.refund)
        total = sum((x.get("price", Decimal(0)) * x.get("quantity", 1) for x in order.lines), Decimal(0))
        message = maker.envelope(values, {"order_id": order_id, "revenue": total, **properties}, order_id)
    except RowError as error:
        for row in rows:
            yield Bad(row.number, f"order {order_id}: {error}", row.values)
        return
    customer = message.get("userId") or message.get("anonymousId", "")
    if not order.refund:
        message["properties"]["products"] = order.lines
        returns.bought(customer, order_id, order.lines)
        yield Made(message, rows)
        return
    amounts, unknown = returns.returned(customer, order.lines)
    if unknown or not amounts:
        yield Made({**message, "properties": {**message["properties"], "revenue": unknown}}, rows)
    for original, amount in amounts.items():
        refund = {**message["properties"], "order_id": original, "revenue": amount}
        yield Made({**message, "messageId": f"{message['messageId']}-{original}", "properties": refund}, rows)
