"""What a rule tries out and how it is measured: variants, hold-out, the window for outcomes (MISSION F1, F2, F4)."""

from __future__ import annotations

from typing import Literal

import msgspec

from stream.rules.offer import Offer
from stream.rules.vocabulary import Channel

CONTROL = "control"
"""The arm of those who are held out."""
DEFAULT = "default"
"""The arm of everybody else where a rule has no variants."""
MOST_VARIANTS = 10
"""Variants of one rule. More: none of them gets enough customers to be told from the others within a season."""

Choose = Literal["split", "bandit"]
Reported = Literal["beside", "count"]


class Variant(msgspec.Struct, frozen=True):
    """One way to do what the rule does."""

    id: str
    weight: int
    """Its share of the customers who are not held out is this over the sum of all weights."""
    template: str
    channel: Channel
    offer: Offer | None
    cost_minor: int
    channels: tuple[Channel, ...] = ()
    """As of a rule."""


class Experiment(msgspec.Struct, frozen=True):
    """What is tried out. Without variants, hold-out and a window nothing is measured, and nothing is kept for it."""

    variants: tuple[Variant, ...] = ()
    holdout_share: float = 0.0
    salt: str = ""
    """Another salt draws all groups anew."""
    choose: Choose = "split"
    window_ms: int = 0
    """How long after the decision purchases count as its outcome; 0: nothing is measured."""
    pause_without_effect: bool = False
    """Hold the rule back once it is shown to do harm, or nothing."""
    counts_reported: bool = False
    """Conversions that are reported by action id count as purchases do."""

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms a customer may be in."""
        treated = tuple([variant.id for variant in self.variants]) or (DEFAULT,)
        return (*treated, CONTROL) if self.holdout_share else treated


NO_EXPERIMENT = Experiment()
