"""Does a rule work? A verdict after its window, for people and for the rule's own switch (MISSION F3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from stream.experiments.effect import Effect, effects
from stream.experiments.tally import Tally

Verdict = Literal["works", "harms", "no_effect", "too_early"]

MATTERS = 0.1
"""An uplift of less than a tenth isn't worth a message. Smaller: it takes a hundred times the customers to tell a rule from
nothing; larger: rules that pay are called useless."""


class Validation(msgspec.Struct, frozen=True):
    """What is known of one arm of a rule."""

    rule_id: str
    version: int
    arm: str
    verdict: Verdict
    text: str
    effect: Effect


def validate(tallies: Iterable[Tally]) -> list[Validation]:
    """Every arm that has a hold-out, by rule, version and arm."""
    return [
        Validation(rule_id, version, arm, *_verdict(found), found)
        for (rule_id, version, arm), found in effects(tallies).items()
    ]


def without_effect(validations: Iterable[Validation]) -> Mapping[str, tuple[int, str]]:
    """Rules none of whose arms works or may still turn out to: their latest version, and what was shown of it."""
    latest: dict[str, list[Validation]] = {}
    for validation in validations:
        known = latest.setdefault(validation.rule_id, [])
        if known and known[0].version < validation.version:
            known.clear()
        known.append(validation)
    return {
        rule_id: (known[0].version, known[0].text)
        for rule_id, known in latest.items()
        if all(validation.verdict in ("harms", "no_effect") for validation in known)
    }


def _verdict(found: Effect) -> tuple[Verdict, str]:
    bought = found.conversion
    if bought.is_above:
        return "works", f"{bought.value:.1%} of the customers buy because of it, at least {bought.low:.1%}"
    if bought.is_below:
        return "harms", f"{-bought.value:.1%} of the customers don't buy because of it, at least {-bought.high:.1%}"
    uplift = found.uplift
    if uplift is not None and uplift.high < MATTERS:
        return "no_effect", f"at most {uplift.high:+.0%} more customers buy because of it: less than a tenth"
    number = found.treated.exposed + found.control.exposed
    return "too_early", f"between {bought.low:+.1%} and {bought.high:+.1%} of the customers, after {number:,}"
