"""What is counted of decisions laid side by side: in all, and by rule, tier, channel and week. Everything adds up over processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from stream.backtest.made import Made
from stream.backtest.matching import Pairing
from stream.events.instants import DAY_MS, to_text

GROUPS = ("rule", "tier", "channel", "week")
"""What decisions are broken down by."""
_MONDAY = 3
"""Day 0 of the UTC days, 1 January 1970, was a Thursday: three days after a Monday."""


class Sent(msgspec.Struct):
    """Actions that went out, and what their customers did afterwards."""

    messages: int = 0
    customers: int = 0
    """Customers with at least one of them."""
    settled: int = 0
    """Messages whose window was over by the end of the history; only of them is it known who bought."""
    bought: int = 0
    """Settled messages after which the customer bought within the window."""
    cost_minor: int = 0

    def add(self, other: Sent) -> None:
        """Takes another process's in; no two have a customer in common."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Part(msgspec.Struct):
    """The decisions of one group, under the old rules and the new."""

    old: Sent = msgspec.field(default_factory=Sent)
    new: Sent = msgspec.field(default_factory=Sent)
    added: Sent = msgspec.field(default_factory=Sent)
    """Sent by the new rules only: the old ones held back, or decided nothing."""
    removed: Sent = msgspec.field(default_factory=Sent)
    changes: dict[str, int] = {}
    """Decisions, sent or not, that appear, vanish, move or stay the same."""
    moved_by: dict[str, int] = {}
    """Of those that move: how many differ in their time, verdict, reason, …; one may differ in several."""
    old_held: dict[str, int] = {}
    """Reason → how often the check of that name held an action back."""
    new_held: dict[str, int] = {}

    def add(self, other: Part) -> None:
        """Takes another process's in."""
        for name in ("old", "new", "added", "removed"):
            getattr(self, name).add(getattr(other, name))
        for name in ("changes", "moved_by", "old_held", "new_held"):
            setattr(self, name, dict(Counter(getattr(self, name)) + Counter(getattr(other, name))))


class Tallies(msgspec.Struct):
    """All counts."""

    whole: Part = msgspec.field(default_factory=Part)
    by: dict[str, dict[str, Part]] = msgspec.field(default_factory=lambda: {group: {} for group in GROUPS})
    """Group → value → its decisions."""

    def add(self, other: Tallies) -> None:
        """Takes another process's in."""
        self.whole.add(other.whole)
        for group, parts in other.by.items():
            for value, part in parts.items():
                self.by[group].setdefault(value, Part()).add(part)

    def count(
        self,
        pairings: Iterable[Pairing],
        held: tuple[Sequence[Made], Sequence[Made]],
        bought: Callable[[Made], bool | None],
    ) -> None:
        """Counts the decisions of one customer.

        ``held`` is all that was held back in either version, a decision that was put off twice counted twice; ``bought``
        says whether the customer bought within the window after a decision, `None` when the window isn't over.
        """
        reached: dict[int, Sent] = {}
        for pairing in pairings:
            old, new = pairing
            olds = () if old is None else self._parts(old)
            news = olds if new is old else () if new is None else self._parts(new)
            change = pairing.change
            for part in news or olds:
                _more(part.changes, change)
                for name in pairing.what:
                    _more(part.moved_by, name)
            if old is not None and old.sent:
                _send([part.old for part in olds], old, bought, reached)
                if new is None or not new.sent:
                    _send([part.removed for part in olds], old, bought, reached)
            if new is not None and new.sent:
                _send([part.new for part in news], new, bought, reached)
                if old is None or not old.sent:
                    _send([part.added for part in news], new, bought, reached)
        for one in held[0]:
            for part in self._parts(one):
                _more(part.old_held, one.reason)
        for one in held[1]:
            for part in self._parts(one):
                _more(part.new_held, one.reason)
        for sent in reached.values():
            sent.customers += 1

    def _parts(self, one: Made) -> tuple[Part, ...]:
        by = self.by
        return (
            self.whole,
            _part(by["rule"], one.rule),
            _part(by["tier"], one.tier),
            _part(by["channel"], one.channel),
            _part(by["week"], _week(one.at_ms // DAY_MS)),
        )


def in_order(parts: Mapping[str, Part]) -> dict[str, Part]:
    """The parts of a group by name, whichever process met them first, and their counts too."""
    for part in parts.values():
        settle(part)
    return dict(sorted(parts.items()))


def settle(part: Part) -> None:
    """Puts the counts of a part in the order of their names."""
    for name in ("changes", "moved_by", "old_held", "new_held"):
        setattr(part, name, dict(sorted(getattr(part, name).items())))


def _part(parts: dict[str, Part], value: str) -> Part:
    found = parts.get(value)
    if found is None:
        found = parts[value] = Part()
    return found


def _send(sents: list[Sent], one: Made, bought: Callable[[Made], bool | None], reached: dict[int, Sent]) -> None:
    outcome = bought(one)
    for sent in sents:
        sent.messages += 1
        sent.cost_minor += one.cost_minor
        if outcome is not None:
            sent.settled += 1
            sent.bought += outcome
        reached[id(sent)] = sent


def _more(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


@lru_cache(maxsize=1024)
def _week(day: int) -> str:
    """The Monday of a UTC day.

    >>> _week(0), _week(4)
    ('1969-12-29', '1970-01-05')
    """
    return to_text((day - (day + _MONDAY) % 7) * DAY_MS)[:10]
