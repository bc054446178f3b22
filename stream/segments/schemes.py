"""What a customer is in every scheme at once, in one small number, so that it is counted and compared in one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from stream.segments.lifecycle import ACQUIRE, ACTIVATE, STAGES, WIN_BACK
from stream.segments.loyalty import FORMING, LOYALTY_KINDS
from stream.segments.named import WORDS
from stream.segments.shares import LAPSED, SHARE_TIERS
from stream.segments.tiers import LOST, PROSPECT
from stream.segments.value import STANDARD, VALUE_GROUPS

SHARE: Final = "share"
FIXED: Final = "fixed"
SEGMENT: Final = "segment"

VALUE: Final = "value"
LOYALTY: Final = "loyalty"
LIFECYCLE: Final = "lifecycle"
CLUSTER: Final = "cluster"
CLUSTERS: Final = ("", *[f"cluster_{number}" for number in range(1, 7)])
"""Groups of customers who are alike; what sets each apart is learnt, and told with it."""

SUSPECT: Final = "suspect"
UNSUSPECTED: Final = "none"
"""Told as a scheme of its own, of which the record keeps the reason instead of a number: hardly anybody is one."""
SUSPICIONS: Final = ("orders", "pace", "clockwork", "returns")
"""What somebody is suspected for, see `stream.quality.suspicion`."""

CORE: Final = "core"
OTHER: Final = "other"
CORE_CLASSES: Final = ("", OTHER, CORE)
"""By number; the first: nobody knows what the customer is worth. Stored: never renumber."""

SCHEMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        SHARE: SHARE_TIERS,
        VALUE: VALUE_GROUPS,
        LOYALTY: LOYALTY_KINDS,
        LIFECYCLE: ("", *STAGES),
        CLUSTER: CLUSTERS,
        CORE: CORE_CLASSES,
    }
)
"""Scheme → its classes by number; 0 stands for none yet. Stored by their places: never renumber, at most 8 classes each."""


class Before(NamedTuple):
    """What customers are in a primary scheme that doesn't know them yet."""

    prospect: str
    buyer: str
    silent: str
    """A buyer who is lost by fixed thresholds."""


PRIMARY: Final[Mapping[str, Before | None]] = MappingProxyType(
    {
        SHARE: None,
        VALUE: Before(PROSPECT, STANDARD, LAPSED),
        LOYALTY: Before(PROSPECT, FORMING, LAPSED),
        LIFECYCLE: Before(ACQUIRE, ACTIVATE, WIN_BACK),
    }
)
"""Schemes whose classes can be the tier that counts, besides fixed tiers and named segments → what customers are before the first
review; of shares, the tier by fixed thresholds."""

RANKED: Final = 0b111
"""Bits of the share tier that the rank alone asks for: what keeps it from flapping. The schemes' own bits follow, in their order."""
_BITS: Final = 3
_SHIFTS: Final = {scheme: _BITS * (at + 1) for at, scheme in enumerate(SCHEMES)}


def bits_of(schemes: Iterable[str]) -> int:
    """The bits of some schemes."""
    return sum(RANKED << _SHIFTS[scheme] | (RANKED if scheme == SHARE else 0) for scheme in schemes)


def class_in(scheme: str, classes: int) -> str:
    """The class in a scheme, empty for none yet.

    >>> class_in(SHARE, with_class(0, SHARE, SHARE_TIERS.index("high")))
    'high'
    """
    return SCHEMES[scheme][classes >> _SHIFTS[scheme] & RANKED]


def tier_in(scheme: str, fixed: str, classes: int, segment: str = "") -> str:
    """The tier that counts where a scheme is the primary one, of a customer whose tier by fixed thresholds is ``fixed``.

    >>> [tier_in(LOYALTY, fixed, 0) for fixed in ("prospect", "low", "lost")], tier_in(SHARE, "low", 0)
    (['prospect', 'forming', 'lapsed'], 'low')
    >>> tier_in(SEGMENT, "low", 0, "At Risk"), tier_in(SEGMENT, "low", 0)
    ('at_risk', 'low')
    """
    if scheme == SEGMENT:
        return WORDS.get(segment, fixed)
    if scheme not in PRIMARY:
        return fixed
    found, before = class_in(scheme, classes), PRIMARY[scheme]
    if found or before is None:
        return found or fixed
    return before.prospect if fixed == PROSPECT else before.silent if fixed == LOST else before.buyer


def with_class(classes: int, scheme: str, number: int) -> int:
    """The classes with another one in a scheme."""
    shift = _SHIFTS[scheme]
    return classes & ~(RANKED << shift) | number << shift


def with_share(classes: int, ranked: int, in_force: int) -> int:
    """As `with_class` of the share tier, together with the tier that the rank asks for."""
    return classes & ~0b111111 | in_force << _BITS | ranked


@lru_cache(maxsize=4_096)
def changes(before: int, now: int) -> tuple[tuple[str, str, str], ...]:
    """Scheme, class before and class now, of all in which they differ. (A step asks for few of them again and again.)"""
    found = []
    for scheme, names in SCHEMES.items():
        shift = _SHIFTS[scheme]
        was, is_ = before >> shift & RANKED, now >> shift & RANKED
        if was != is_:
            found.append((scheme, names[was], names[is_]))
    return tuple(found)


def by_class(counts: Mapping[int, int]) -> dict[tuple[str, str], int]:
    """Customers by (scheme, class), out of counts by number."""
    found: dict[tuple[str, str], int] = {}
    for classes, n in counts.items():
        for scheme in SCHEMES:
            if name := class_in(scheme, classes):
                found[scheme, name] = found.get((scheme, name), 0) + n
    return found
