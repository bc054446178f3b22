"""Journeys: a rule that does several things, one after the other, until the customer buys or the way is at its end.

Steps only lead forward, so a journey ends whatever happens, and where a customer stands in one is told by a step's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from stream.rules.condition import Condition
from stream.rules.offer import Offer
from stream.rules.vocabulary import ActionKind, Channel, EventKind

END: Final = "end"
"""In the place of a step's id: the journey is over."""
MOST_STEPS: Final = 50
"""Steps of one journey. More: nobody sees on a page what a customer may meet."""
LONGEST_DAYS: Final = 365
"""What all waits on a way through a journey may sum up to. Longer: the order book, which tells whether the customer has bought
since, would begin to forget."""


class Send(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """An action, as any other rule has it."""

    id: str
    action: ActionKind
    channel: Channel
    template: str
    offer: Offer | None
    then: str
    """Of the next step, or `END`; of every kind of step."""
    channels: tuple[Channel, ...] = ()
    """As of a rule."""


class Wait(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Some time passes."""

    id: str
    for_ms: int
    then: str


class WaitFor(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Until an event of some kinds, or until that takes too long."""

    id: str
    kinds: tuple[EventKind, ...]
    within_ms: int
    then: str
    otherwise: str


class Branch(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One way or the other."""

    id: str
    condition: Condition
    then: str
    otherwise: str


Step: TypeAlias = Send | Wait | WaitFor | Branch


class Journey(msgspec.Struct, frozen=True):
    """What a rule does step by step."""

    steps: tuple[Step, ...]
    stop_on_purchase: bool = True
    """A purchase after the beginning ends it."""
    stop_if: Condition | None = None
    """So does this."""

    @property
    def first_send(self) -> Send:
        """The first action in the file."""
        return next(step for step in self.steps if isinstance(step, Send))

    @property
    def awaited(self) -> frozenset[EventKind]:
        """Kinds of events that some step waits for."""
        return frozenset(kind for step in self.steps if isinstance(step, WaitFor) for kind in step.kinds)

    @property
    def variables(self) -> frozenset[str]:
        """What its conditions read."""
        conditions = [step.condition for step in self.steps if isinstance(step, Branch)]
        if self.stop_if is not None:
            conditions.append(self.stop_if)
        return frozenset(name for condition in conditions for name in condition.variables)


def mark(kind: str) -> str:
    """How a customer's record says that a journey waits for a kind of event: nothing else in a record reads like this by
    chance, so a look at the bytes tells most customers apart who wait for nothing.

    >>> marks(["purchase", "nps"])
    '~purchase~nps~'
    >>> mark("nps") in marks(["purchase", "nps"])
    True
    """
    return f"~{kind}~"


def marks(kinds: Iterable[str]) -> str:
    """The same of several kinds."""
    return f"~{'~'.join(kinds)}~"
