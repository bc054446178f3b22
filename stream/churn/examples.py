"""A labelled example on its way to the trainer, and how a feature vector travels: two bytes a figure."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from stream.churn.features import FEATURES

_VALUES = struct.Struct(f"<{len(FEATURES)}e")
"""IEEE 754 half precision: up to 65,504, which no feature comes near, and 11 bits, finer than any of them is meaningful."""


class Example(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was known of a customer at ``time_ms``, and whether they bought within the horizon.

    Sorted by ``(time_ms, customer)``, the canonical order. ``matured_day`` is the first UTC day on which the label was
    known; ``score`` is what the model said at ``time_ms`` (negative: nothing yet).
    """

    time_ms: int
    customer: str
    matured_day: int
    churned: bool
    score: float
    values: bytes
    groups: tuple[str, ...] = ()
    """Region, channel and tier of the customer, empty where unknown; see `stream.churn.fairness`."""


def pack(values: Sequence[float]) -> bytes:
    """A feature vector as half-precision floats.

    >>> unpack(pack([0.5] * len(FEATURES)))[:3]
    (0.5, 0.5, 0.5)
    """
    return _VALUES.pack(*values)


def unpack(data: bytes) -> tuple[float, ...]:
    """The feature vector in bytes of `pack`."""
    return _VALUES.unpack(data)
