"""Which customers somebody asks for: those of a tier, a segment, a class of any scheme, with a persona tag, or suspects (MISSION B7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stream.segments.named import SEGMENTS, WORDS
from stream.segments.personas import TAGS
from stream.segments.schemes import FIXED, LIFECYCLE, LOYALTY, SCHEMES, SHARE, SUSPECT, SUSPICIONS, VALUE, class_in
from stream.segments.tiers import TIERS

ANY: Final = "any"
"""Suspects of whatever kind."""
_OF_SCHEMES: Final = {FIXED: TIERS, **{scheme: tuple(filter(None, names)) for scheme, names in SCHEMES.items()}}
ASKED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "tier": tuple(
        dict.fromkeys(
            (
                *(*reversed(TIERS), *reversed(_OF_SCHEMES[SHARE]), *_OF_SCHEMES[VALUE], *_OF_SCHEMES[LOYALTY]),
                *(*_OF_SCHEMES[LIFECYCLE], *WORDS.values()),
            )
        )
    ),
    "segment": SEGMENTS,
    **_OF_SCHEMES,
    "tag": TAGS,
    SUSPECT: (*SUSPICIONS, ANY),
}
"""What may be asked for → the words there are. ``tier`` is the one in force, by whichever scheme."""


class Wanted(NamedTuple):
    """Who is asked for; empty stands for anybody."""

    tier: str = ""
    segment: str = ""
    tag: str = ""
    suspect: str = ""
    classes: tuple[tuple[str, str], ...] = ()
    """Schemes besides the one in force, and the class in each."""

    def opens(self, personas: Sequence[str], suspect: str) -> bool:
        """Whether a customer is asked for, as far as tag and suspicion tell.

        >>> [wanted({"suspect": word}).opens((), "pace") for word in ("pace", "orders", "any")]
        [True, False, True]
        """
        return (not self.tag or self.tag in personas) and (
            not self.suspect or (bool(suspect) if self.suspect == ANY else suspect == self.suspect)
        )

    def has(self, tier: str, fixed: str, segment: str, classes: int) -> bool:
        """Whether a customer is asked for, as far as everything but tag and suspicion tells.

        >>> wanted({"segment": "Champions"}).has("high", "high", "Champions", 0)
        True
        """
        return (
            (not self.tier or self.tier == tier)
            and (not self.segment or self.segment == segment)
            and all(name == (fixed if scheme == FIXED else class_in(scheme, classes)) for scheme, name in self.classes)
        )


def wanted(asked: Mapping[str, str]) -> Wanted:
    """Who is asked for by name and word of `ASKED_BY`. Words are taken whatever their case, with ``_`` or a space.

    Raises:
        ValueError: a name or a word that there isn't; all of them are told at once.

    >>> wanted({"tier": "high", "tag": "night owl"})
    Wanted(tier='high', segment='', tag='night_owl', suspect='', classes=())
    """
    found: dict[str, str] = {}
    problems = []
    for name, word in asked.items():
        words = ASKED_BY.get(name)
        if words is None:
            problems.append(f"{name} is nothing to ask by: {', '.join(ASKED_BY)}")
            continue
        by_plain = {_plain(each): each for each in words}
        if _plain(word) in by_plain:
            found[name] = by_plain[_plain(word)]
        else:
            problems.append(f"there is no {name} {word!r}: {', '.join(words)}")
    if problems:
        raise ValueError("; ".join(problems))
    tier, segment, tag, suspect = (found.pop(name, "") for name in ("tier", "segment", "tag", SUSPECT))
    return Wanted(tier, segment, tag, suspect, tuple(found.items()))


def _plain(word: str) -> str:
    return word.lower().replace("_", " ").replace("’", "'")
