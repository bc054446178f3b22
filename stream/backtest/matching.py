"""Which decision of one version is which of the other, and what differs between them. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from stream.backtest.made import Made

APPEARS, VANISHES, MOVES, SAME = "appears", "vanishes", "moves", "same"
"""What became of a decision between the old version and the new."""
_COMPARED = ("verdict", "reason", "channel", "template", "offer", "kind")
_content = attrgetter("at_ms", *_COMPARED)
_when = attrgetter("at_ms", "action_id")


class Pairing(NamedTuple):
    """A decision in both versions, or in one of them."""

    old: Made | None
    new: Made | None

    @property
    def change(self) -> str:
        """`APPEARS`, `VANISHES`, `MOVES` or `SAME`."""
        if self.old is None:
            return APPEARS
        if self.new is None:
            return VANISHES
        return SAME if _content(self.old) == _content(self.new) else MOVES

    @property
    def what(self) -> tuple[str, ...]:
        """What differs between the two, ``time`` first; empty unless there are two."""
        old, new = self.old, self.new
        if old is None or new is None:
            return ()
        named = [name for name in _COMPARED if getattr(old, name) != getattr(new, name)]
        return ("time", *named) if old.at_ms != new.at_ms else tuple(named)


def last_words(decisions: Iterable[Made]) -> list[Made]:
    """Of each decision what was said of it last: one that was put off is decided again. They come sorted, and so leave."""
    return list({one.action_id: one for one in decisions}.values())


def pair(old: Sequence[Made], new: Sequence[Made], window_ms: int) -> list[Pairing]:
    """The decisions of one customer side by side, each once.

    Decisions with one id are one decision. Of what is left, two of one rule that are no further apart than ``window_ms`` are
    taken as one that has moved, the earliest first: a rule whose occasions got other names still answers the same silence.
    """
    if old == new:
        return [Pairing(one, one) for one in old]
    new_by_id = {one.action_id: one for one in new}
    pairings = [Pairing(one, new_by_id.pop(one.action_id)) for one in old if one.action_id in new_by_id]
    if len(pairings) < len(old):
        matched = {pairing.old.action_id for pairing in pairings if pairing.old is not None}
        left = sorted([one for one in old if one.action_id not in matched], key=_when)
    else:
        left = []
    waiting: dict[str, deque[Made]] = defaultdict(deque)
    for one in sorted(new_by_id.values(), key=_when):
        waiting[one.rule].append(one)
    for one in left:
        candidates = waiting[one.rule]
        while candidates and candidates[0].at_ms < one.at_ms - window_ms:
            pairings.append(Pairing(None, candidates.popleft()))
        is_near = bool(candidates) and candidates[0].at_ms <= one.at_ms + window_ms
        pairings.append(Pairing(one, candidates.popleft() if is_near else None))
    pairings += [Pairing(None, one) for rest in waiting.values() for one in rest]
    return pairings
