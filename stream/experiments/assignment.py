"""Which arm of a rule's experiment a customer is in: by hashing alone, so that nobody has to remember it (MISSION F1)."""

from __future__ import annotations

from collections.abc import Sequence

from stream.events.hashing import hash64
from stream.rules.experiment import CONTROL, DEFAULT, Experiment

_ALL = float(1 << 64)
_SEPARATOR = "\x1f"


def arm_of(
    rule_id: str, version: int, customer_id: str, experiment: Experiment, weights: Sequence[float] | None = None
) -> str:
    """The arm: `CONTROL`, a variant's id, or `DEFAULT`.

    Hold-out and variant are drawn independently, so the hold-out keeps its members when weights change, and two rules' groups have
    nothing to do with each other. ``weights`` take the place of the variants' own: those of a bandit.

    >>> arm_of("welcome", 1, "ann", Experiment(holdout_share=1.0)), arm_of("welcome", 1, "ann", Experiment())
    ('control', 'default')
    """
    name = _SEPARATOR.join((rule_id, str(version), experiment.salt, customer_id))
    if experiment.holdout_share and _share(f"holdout{_SEPARATOR}{name}") < experiment.holdout_share:
        return CONTROL
    variants = experiment.variants
    if not variants:
        return DEFAULT
    if weights is None or len(weights) != len(variants):
        weights = [variant.weight for variant in variants]
    left = _share(f"variant{_SEPARATOR}{name}") * sum(weights)
    for variant, weight in zip(variants, weights, strict=True):
        left -= weight
        if left < 0:
            return variant.id
    return variants[-1].id  # rounding, or weights that are all 0


def _share(name: str) -> float:
    """Evenly spread over [0, 1)."""
    return hash64(name) / _ALL
