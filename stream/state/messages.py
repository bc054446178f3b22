"""The newest messages of a customer: duplicates are known by them, and views and carts are read off them.

One bounded log sorted by event time serves three needs: the ids already seen, the products viewed, the open cart. What is
read off it is the same for every order of arrival because a sorted set has no order of arrival. Products are kept as 32-bit
codes: nobody needs their names back, and no sender can grow a record with long ones. Source: MISSION A5, B3.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from struct import Struct
from zlib import crc32

import msgspec

from stream.events.instants import DAY_MS
from stream.events.kinds import Line
from stream.state.packed import ID, below, find, insert, place

MOST_LINES = 64
"""Cart lines kept of one message. Fewer: big baskets lose value in reminders; more: a bot's carts fill the memory. Must fit
7 bits."""
MOST_BASKETS = 16
"""Purchases whose products are kept, also when their messages have left. Fewer: a product bought lately still looks merely viewed,
and a customer's habits are forgotten (with those of 30 days only, a sixth fewer of the next best products are right); more: a
bot's big orders fill the memory."""
NOT_KNOWN = 0
"""Checksum of a body that was remembered under another definition of the checksum: any body is taken for the same."""


class Trace(enum.IntEnum):
    """What a message leaves behind besides its id. Stored: never renumber."""

    NONE = 0
    VIEWED = 1
    CART_ADDED = 2
    CART_REMOVED = 3
    CART_SET = 4
    BOUGHT = 5


class Seen(enum.Enum):
    """What the log says of an incoming message id."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_BODY = "same_id_other_body"
    BEYOND_MEMORY = "beyond_memory"


class Cart(msgspec.Struct, frozen=True, gc=False):
    """The open cart: what is in it, its value, and when it last changed (0: never)."""

    items: int
    value_minor: int
    changed_ms: int


MOST_CART_MINOR = 10**15
"""A cart's value stops here: beyond it only nonsense, and numbers that readers in other languages can't hold."""

_VIEWED, _CART_ADDED, _CART_REMOVED = int(Trace.VIEWED), int(Trace.CART_ADDED), int(Trace.CART_REMOVED)
_CART_SET, _BOUGHT = int(Trace.CART_SET), int(Trace.BOUGHT)
_NEW, _DUPLICATE, _OTHER_BODY, _BEYOND_MEMORY = Seen.NEW, Seen.DUPLICATE, Seen.OTHER_BODY, Seen.BEYOND_MEMORY
"""Names of this module are found three times as fast as members of an `enum.Enum`, and these are asked for per message."""
BEFORE_CARTS = bytes((Trace.NONE, Trace.VIEWED))

ROW = 16
"""Bytes of a row: time_ms · 4096 + channel · 256 + trace (i64), checksum of the body (u32), code of the product viewed or 0 (u32).
The channel is one of `stream.state.notes.CHANNELS`."""
TIME, CHANNEL = 12, 8
"""Where time and channel are in the first number, from the lowest bit."""
_pack_row = Struct("<qII").pack
_word = Struct("<q").unpack_from
_rows = Struct("<q8s").iter_unpack
_u32 = Struct("<I").unpack_from
_code = Struct("<I").pack

_LINE = Struct("<IIq")
"""A line of a cart: code of the product, pieces, price of one piece in minor units."""
_lines = _LINE.iter_unpack
_pack_line = _LINE.pack
_GROUP = ID + 1
"""Bytes before the items of a group: the message's id, and the number of its items with `_REMOVES` or without."""
_REMOVES = 0x80
"""Marks cart lines that were taken out of the cart."""
_CODE = 4
_BASKET = tuple(_GROUP + _CODE * count for count in range(MOST_LINES + 1))
"""Bytes of a basket of so many products."""
_PACK_CODES = tuple(Struct(f"<{count}I").pack for count in range(MOST_LINES + 1))
_UNPACK_CODES = tuple(Struct(f"<{count}I").unpack_from for count in range(MOST_LINES + 1))
_BYTES = tuple(bytes((n,)) for n in range(256))


class MessageLog(msgspec.Struct, array_like=True, gc=False):
    """The newest messages, at most ``memory_messages`` within ``memory_message_days`` of the newest one.

    Packed columns, one position a message, ascending by (time, id); see `stream.state.packed`.
    """

    ids: bytes = b""
    """8 bytes a message: `digest64` of its id."""
    rows: bytes = b""
    """`ROW` bytes a message."""
    carts: bytes = b""
    """Cart lines that no later message has made meaningless, a group a message, in the order of the log."""
    baskets: bytes = b""
    """Codes of the products of the newest purchases, a group a message, in the order of the log. They outlive it: those whose
    message has left come first."""
    floor_ms: int = 0
    """Time of the newest message that has left, 0 when none has."""
    floor_id: bytes = bytes(ID)

    def is_next(self, message: bytes, time_ms: int) -> bool:
        """Is this message new and later than all others? Most are. A few of the others that are told no are new as well."""
        rows = self.rows
        return self.ids.find(message) < 0 and (not rows or time_ms > _word(rows, -ROW)[0] >> TIME)

    def look_up(self, message: bytes, body: int, time_ms: int, memory_days: int) -> Seen:
        """Has this message been seen? Ids that may have been forgotten are beyond memory."""
        rows = self.rows
        at = find(self.ids, message)
        if at >= 0:
            known = _u32(rows, at * ROW + 8)[0]
            return _DUPLICATE if known in (body, NOT_KNOWN) else _OTHER_BODY
        newest_ms = self.newest_ms()
        if time_ms > newest_ms:
            return _NEW
        if time_ms < newest_ms - memory_days * DAY_MS:
            return _BEYOND_MEMORY
        if time_ms <= self.floor_ms and (time_ms < self.floor_ms or message <= self.floor_id):
            return _BEYOND_MEMORY
        return _NEW

    def add(
        self,
        message: bytes,
        body: int,
        time_ms: int,
        trace: int,
        product: int,
        lines: Sequence[Line],
        memory_days: int,
        memory_messages: int,
        channel: int = 0,
    ) -> None:
        """Remembers a new message and lets go of what is too old or too much."""
        rows = self.rows
        if not rows or time_ms > _word(rows, -ROW)[0] >> TIME:
            self.append(message, body, time_ms, trace, product, lines, memory_days, memory_messages, channel)
            return
        first = time_ms << TIME
        at = place(rows, ROW, self.ids, first, first + (1 << TIME), message)
        self.ids = insert(self.ids, at, message)
        rows = self.rows = insert(rows, at, _pack_row(first | channel << CHANNEL | trace, body, product))
        if trace >= _CART_ADDED:
            self._keep_lines(at, message, trace, lines)
        oldest = ((_word(rows, -ROW)[0] >> TIME) - memory_days * DAY_MS) << TIME
        gone = max(len(rows) // ROW - memory_messages, below(rows, ROW, oldest))
        if gone > 0:
            self._forget(gone)

    def append(
        self,
        message: bytes,
        body: int,
        time_ms: int,
        trace: int,
        product: int,
        lines: Sequence[Line],
        memory_days: int,
        memory_messages: int,
        channel: int = 0,
    ) -> None:
        """As `add`, for a message that is later than all others."""
        ids, rows = self.ids, self.rows
        end = len(rows)
        if end:
            oldest = (time_ms - memory_days * DAY_MS) << TIME
            most = memory_messages * ROW
            at = 0
            while at < end and (_word(rows, at)[0] < oldest or end - at >= most):  # mostly few leave as one comes
                at += ROW
            if at:
                self._forget(at // ROW)
                ids, rows = self.ids, self.rows
        self.ids = ids + message
        self.rows = rows + _pack_row(time_ms << TIME | channel << CHANNEL | trace, body, product)
        if trace >= _CART_ADDED:
            self._keep_newest_lines(message, trace, lines)

    def views_of(self, product_id: str, now_ms: int, days: int = 30) -> int:
        """Views of a product in the last ``days`` and since it was last bought."""
        code = _code(product_code(product_id))
        rows = self.rows
        if code not in rows:
            return 0
        start, end = self._span(now_ms, days)
        baskets = self.baskets
        if code in baskets:
            for at, first, after in _groups(baskets, _CODE):
                if code in baskets[first:after] and _holds(baskets[first:after], code):
                    bought = find(self.ids, baskets[at : at + ID])
                    if bought < end:
                        start = max(start, bought)
        count = 0
        at = rows.find(code, start * ROW, end * ROW)
        while at >= 0:
            if at % ROW == ROW - _CODE and rows[at - ROW + _CODE] == _VIEWED:
                count += 1
            at = rows.find(code, at + 1, end * ROW)
        return count

    def may_have_views_of(self, product_id: str, least: int) -> bool:
        """Whether `views_of` can be that many, told by a look at one byte a message: mostly it can't."""
        return self.rows[ROW - _CODE :: ROW].count(product_code(product_id) & 0xFF) >= least

    def views(self, now_ms: int, days: int = 30) -> int:
        """Product views of the last ``days``."""
        start, end = self._span(now_ms, days)
        return self._traces(start, end).count(_VIEWED)

    def cart(self, now_ms: int) -> Cart:
        """The cart as of an instant: folded from the last message that set or emptied it."""
        rows = self.rows
        traces = self._traces(0, self._end(now_ms)).rstrip(BEFORE_CARTS)
        if not traces:
            return Cart(0, 0, 0)
        changed_ms = _word(rows, (len(traces) - 1) * ROW)[0] >> TIME
        carts = self.carts
        if not carts:
            return Cart(0, 0, changed_ms)
        start, end = max(0, traces.rfind(_CART_SET), traces.rfind(_BOUGHT)), len(traces)
        is_now = _word(rows, -ROW)[0] >> TIME <= now_ms  # then all that is kept counts
        content: dict[int, tuple[int, int]] = {}
        for at, first, after in _groups(carts, _LINE.size):
            if is_now or start <= find(self.ids, carts[at : at + ID]) < end:
                _change(content, carts, first, after)
        items = sum(quantity for quantity, _ in content.values())
        value = sum(quantity * price for quantity, price in content.values())
        return Cart(items, min(value, MOST_CART_MINOR), changed_ms)

    def visits(self, now_ms: int, days: int = 30) -> list[tuple[int, int, int]]:
        """Instants of the messages of the last ``days``, their channels by number (0: not told, or not the customer's doing), and
        what they leave behind."""
        start, end = self._span(now_ms, days)
        words = [word for word, _ in _rows(self.rows[start * ROW : end * ROW])]
        return [(word >> TIME, word >> CHANNEL & 0xF, word & 0xFF) for word in words]

    def newest_ms(self) -> int:
        """Instant of the newest message, 0 when there is none."""
        return _word(self.rows, len(self.rows) - ROW)[0] >> TIME if self.rows else 0

    def next_ms(self, after_ms: int) -> int:
        """Instant of the first message that is later than an instant, 0 when there is none."""
        rows = self.rows
        if not rows or _word(rows, len(rows) - ROW)[0] >> TIME <= after_ms:
            return 0
        next_ms: int = _word(rows, below(rows, ROW, (after_ms + 1) << TIME) * ROW)[0] >> TIME
        return next_ms

    # -- inside

    def _traces(self, start: int, end: int) -> bytes:
        """The traces of a span, one byte a message."""
        return self.rows[start * ROW : end * ROW : ROW]

    def _end(self, now_ms: int) -> int:
        """How many messages are not later than an instant."""
        rows = self.rows
        if rows and _word(rows, -ROW)[0] >> TIME > now_ms:
            return below(rows, ROW, (now_ms + 1) << TIME)
        return len(rows) // ROW

    def _span(self, now_ms: int, days: int) -> tuple[int, int]:
        """Positions of the messages with now − days < time ≤ now."""
        rows = self.rows
        since = (now_ms - days * DAY_MS + 1) << TIME
        start = below(rows, ROW, since) if rows and _word(rows)[0] < since else 0
        return start, self._end(now_ms)

    def _keep_newest_lines(self, message: bytes, trace: int, lines: Sequence[Line]) -> None:
        """Keeps the lines of the newest message. Those before a set or a purchase mean nothing any more, and go: memory stays
        bounded."""
        if trace >= _CART_SET:
            self.carts = b""
        if not lines:
            return
        if trace == _BOUGHT:
            lines = kept_lines(lines)
            self.baskets += message + _BYTES[len(lines)] + _codes(lines)
            if len(self.baskets) > MOST_BASKETS * (_GROUP + _CODE):
                self._trim_baskets()
        else:
            self.carts += cart_group(message, trace, lines)

    def _keep_lines(self, at: int, message: bytes, trace: int, lines: Sequence[Line]) -> None:
        """As `_keep_newest_lines`, for the message at any position."""
        later = self._traces(at + 1, len(self.rows) // ROW)
        carts_after = self._select(self.carts, _LINE.size, at + 1)
        baskets_after = self._select(self.baskets, _CODE, at + 1)
        self.carts = self.carts[: len(self.carts) - len(carts_after)]
        self.baskets = self.baskets[: len(self.baskets) - len(baskets_after)]
        self._keep_newest_lines(message, trace, lines if trace == _BOUGHT or not _resets(later) else ())
        self.carts += carts_after
        self.baskets += baskets_after
        self._trim_baskets()

    def _select(self, groups: bytes, width: int, since: int) -> bytes:
        """The groups of the messages at and after a position. A message that has left was before all others."""
        for at, _, _ in _groups(groups, width):
            if find(self.ids, groups[at : at + ID]) >= since:
                return groups[at:]
        return b""

    def _trim_baskets(self) -> None:
        """Lets go of the oldest basket when there is one too many."""
        baskets = self.baskets
        end = len(baskets)
        at = 0
        for _ in range(MOST_BASKETS):
            if at >= end:
                return
            at += _BASKET[baskets[at + ID]]
        if at < end:
            self.baskets = baskets[_BASKET[baskets[ID]] :]

    def _forget(self, gone: int) -> None:
        """Lets go of the oldest messages, and of what is kept for them."""
        ids, rows = self.ids, self.rows
        end, after = gone * ID, gone * ROW
        if self.carts and rows[:after:ROW].strip(BEFORE_CARTS):
            self.carts = carts_without(self.carts, ids[:end])
        self.floor_ms = _word(rows, after - ROW)[0] >> TIME
        self.floor_id = ids[end - ID : end]
        self.ids = ids[end:]
        self.rows = rows[after:]


def basket_codes(baskets: bytes, most: int, until: bytes = b"") -> tuple[int, ...]:
    """Codes of the products of baskets, those of the newest basket first, each once, at most so many; of the baskets before that
    of the message ``until``, if it is among them."""
    if until not in baskets:
        until = b""  # mostly
    starts, at, end = [], 0, len(baskets)
    while at < end and not (until and baskets.startswith(until, at)):
        starts.append(at)
        at += _BASKET[baskets[at + ID]]
    codes: dict[int, None] = {}
    for at in reversed(starts):
        codes.update(dict.fromkeys(_UNPACK_CODES[baskets[at + ID]](baskets, at + _GROUP)))
        if len(codes) >= most:
            break
    return tuple(codes)[:most]


def basket_orders(baskets: bytes, until: bytes = b"") -> list[tuple[int, ...]]:
    """The same by basket: the codes of each."""
    found: list[tuple[int, ...]] = []
    for at, first, after in _groups(baskets, _CODE):
        if until and baskets.startswith(until, at):
            break
        found.append(_UNPACK_CODES[(after - first) // _CODE](baskets, first))
    return found[::-1]


def _groups(groups: bytes, width: int) -> Iterator[tuple[int, int, int]]:
    """Where each group is: start of the message's id, start and end of its items."""
    at = 0
    while at < len(groups):
        start = at + _GROUP
        end = start + (groups[start - 1] & ~_REMOVES) * width
        yield at, start, end
        at = end


def _resets(traces: bytes) -> bool:
    return _CART_SET in traces or _BOUGHT in traces


def carts_without(carts: bytes, gone: bytes) -> bytes:
    """Cart lines without those of the oldest messages, whose ids ``gone`` has."""
    at = 0
    while at < len(carts) and find(gone, carts[at : at + ID]) >= 0:
        at += _GROUP + (carts[at + ID] & ~_REMOVES) * _LINE.size
    return carts[at:]


def cart_group(message: bytes, trace: int, lines: Sequence[Line]) -> bytes:
    """What is kept of the lines of a message that adds to a cart, takes out of it or sets it."""
    if not lines:
        return b""
    kept = kept_lines(lines)
    count = len(kept) | _REMOVES if trace == _CART_REMOVED else len(kept)
    return message + _BYTES[count] + _packed(kept)


def is_filled(carts: bytes) -> bool:
    """Whether something is in the cart, when all of the groups count."""
    content: dict[int, tuple[int, int]] = {}
    for _, first, after in _groups(carts, _LINE.size):
        _change(content, carts, first, after)
    return bool(content)


def _change(content: dict[int, tuple[int, int]], carts: bytes, first: int, after: int) -> None:
    """Puts one group into what a cart contains: product → (pieces, price of one)."""
    removes = carts[first - 1] & _REMOVES
    for product, pieces, price_minor in _lines(carts[first:after]):
        quantity, price = content.get(product, (0, 0))
        if not removes:
            if pieces:
                content[product] = (quantity + pieces, price_minor or price)
        elif quantity > pieces:
            content[product] = (quantity - pieces, price)
        else:
            content.pop(product, None)


def _holds(codes: bytes, code: bytes) -> bool:
    at = codes.find(code)
    while at >= 0 and at % _CODE:
        at = codes.find(code, at + 1)
    return at >= 0


def _packed(lines: Sequence[Line]) -> bytes:
    return b"".join([_pack_line(crc32(line.product_id.encode()), line.quantity, line.price_minor) for line in lines])


def _codes(lines: Sequence[Line]) -> bytes:
    return _PACK_CODES[len(lines)](*[crc32(line.product_id.encode()) for line in lines])


def product_code(product_id: str) -> int:
    """CRC-32 of a product's id. Two of one customer's hundred products meet with a chance of one in a million, and then
    share a count of views.

    >>> product_code("tea-assam-100")
    1980944938
    """
    return crc32(product_id.encode())


def kept_lines(lines: Sequence[Line]) -> Sequence[Line]:
    """The lines worth remembering of a message: the `MOST_LINES` of most value, in a stable order."""
    if len(lines) > MOST_LINES:
        return sorted(lines, key=lambda line: (-line.quantity * line.price_minor, line.product_id))[:MOST_LINES]
    return lines
