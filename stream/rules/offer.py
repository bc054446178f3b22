"""What a customer is given."""

from __future__ import annotations

import msgspec

from stream.rules.vocabulary import OfferKind


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the customer is given. ``value`` is per cent, minor units or points by `kind`; free delivery has none."""

    kind: OfferKind
    value: int = 0
    valid_for_ms: int = 0
    """How long it holds after the action; 0: no limit."""
    code: str = ""
