"""The panel: a fixed random sample of the customers, which the models of value are fitted to (MISSION D3, D6).

A customer's place in it is decided by a hash, once and for all: of all who were ever visited, those with the smallest ones are in, so
that it is the same sample however customers are shared out over partitions. Partitions tell of members only, at the visits of the
calendar. Nothing names anybody: of the customer's id only the hash travels.

A member who is visited no more stays with what was known last: that nothing was seen up to then is all that the likelihood claims.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import msgspec

from stream.events.hashing import hash64
from stream.worth.history import History

ALL = 1 << 32
"""Keys are smaller: everybody is let in."""


class Look(msgspec.Struct, array_like=True, gc=False):
    """A member at a visit."""

    key: int
    day: int
    """UTC day whose beginning the visit is as of."""
    repeats: int
    last_days: int
    age_days: int
    spent_minor: int
    """Ever."""
    loyalty: float = -1.0
    """0 to 100; −1: not known."""
    values: bytes = b""
    """`stream.worth.course.features` of who has a loyalty."""

    @property
    def history(self) -> History:
        """As the models want it."""
        return History(self.repeats, self.last_days, self.age_days, self.spent_minor / (self.repeats + 1))


_ROW = struct.Struct("<IHHHHQ")
MOST_REPEATS = 0xFFFF
"""Nobody buys on more days in a life of 179 years."""


def pack(looks: Iterable[Look]) -> bytes:
    """Looks as bytes, 20 each."""
    return b"".join(
        _ROW.pack(
            look.key,
            look.day,
            look.repeats,
            look.last_days,
            look.age_days,
            look.spent_minor,
        )
        for look in looks
    )


def unpack(data: bytes) -> list[Look]:
    """The looks in bytes of `pack`.

    >>> looks = [Look(7, 20_000, 2, 30, 90, 5_000)]
    >>> unpack(pack(looks)) == looks
    True
    """
    return [Look(*row) for row in _ROW.iter_unpack(data)]


def key_of(customer_id: str) -> int:
    """The hash that decides; of nothing else, so that no other lot falls together with this one. Of a million customers some hundred
    share theirs with another; in the panel they are one.

    >>> 0 <= key_of("ann") < ALL
    True
    """
    return hash64(f"panel:{customer_id}") >> 32
