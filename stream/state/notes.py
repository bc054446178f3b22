"""What is remembered of an order besides when it was and what is left of it: discount, channel, category, in four bytes.

It belongs to the send of the order that counts, so it is the same for every order of arrival. Names are kept as codes: the few
channels have numbers, a category is known again by its hash. Source: MISSION B5, B6.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from stream.events.kinds import Purchase

NOTE = 4
"""Bytes of a note."""
NO_NOTE = bytes(NOTE)
CHANNELS = (
    "", "web", "app", "mini-program", "pos", "social", "wechat", "call", "email", "sms", "push", "kiosk", "marketplace",
    "live", "partner", "other",
)  # fmt: skip
"""Where customers buy, browse and answer, by number; 0: not told. Stored: never renumber."""
_ALSO = {
    "website": "web", "desktop": "web", "online": "web", "h5": "web",
    "mobile": "app", "ios": "app", "android": "app", "mobile app": "app",
    "miniprogram": "mini-program", "mini program": "mini-program", "weapp": "mini-program",
    "store": "pos", "shop": "pos", "retail": "pos", "offline": "pos", "in store": "pos",
    "wecom": "wechat", "phone": "call", "telephone": "call", "call centre": "call", "call center": "call",
    "text": "sms", "livestream": "live", "live stream": "live", "affiliate": "partner",
}  # fmt: skip
"""What senders also call them."""
_OTHER = len(CHANNELS) - 1
_PERCENT, _COUPON, _CHANNEL, _CATEGORY = 0x7F, 0x80, 8, 12
"""Bits of a note from the lowest: per cent off (7), a coupon was used (1), channel (4), category (20)."""
_pack = Struct("<I").pack
_iter = Struct("<I").iter_unpack


class Note(NamedTuple):
    """A note, read."""

    discounted: bool
    """Something was off, or a coupon was used."""
    percent_off: int
    """Of what the order would have been worth, rounded up, at most 99."""
    channel: str
    category: int
    """`category_code`, 0 when there is none."""


@lru_cache(maxsize=4_096)
def channel_code(name: str) -> int:
    """Number of a channel: its place in `CHANNELS`.

    >>> [CHANNELS[channel_code(name)] for name in ("App", "Mini-Program", "in_store", "fax", "")]
    ['app', 'mini-program', 'pos', 'other', '']
    """
    plain = " ".join(name.lower().replace("-", " ").replace("_", " ").split())
    known = _ALSO.get(plain, plain.replace(" ", "-"))
    return CHANNELS.index(known) if known in CHANNELS else _OTHER


@lru_cache(maxsize=65_536)
def category_code(name: str) -> int:
    """20 bits of a category's hash, 0 only for none. Two of a shop's 100 categories meet with a chance of one in 200, and are
    one then.

    >>> category_code("Tea"), category_code("tea "), category_code("")
    (583789, 583789, 0)
    """
    plain = " ".join(name.casefold().split())
    return (crc32(plain.encode()) >> _CATEGORY or 1) if plain else 0


def note_of(event: Purchase) -> bytes:
    """The note of an order."""
    off = event.discount_minor
    note = category_code(event.category) << _CATEGORY | channel_code(event.channel) << _CHANNEL
    if off > 0:
        note |= min(99, -(-100 * off // (event.amount_minor + off)))
    return _pack(note | _COUPON if event.coupon else note)


def notes_in(column: bytes) -> Iterator[Note]:
    """The notes of a column, in its order."""
    for (note,) in _iter(column):
        percent = note & _PERCENT
        yield Note(bool(note & (_PERCENT | _COUPON)), percent, CHANNELS[note >> _CHANNEL & 0xF], note >> _CATEGORY)
