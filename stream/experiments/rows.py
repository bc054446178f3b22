"""The outcomes of all measured rules as plain rows: for files, for the terminal, for whoever wants to draw them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stream.experiments.effect import Interval
from stream.experiments.tally import Key, Sums, Tally, merged
from stream.experiments.validation import validate


def rows(tallies: Iterable[Tally]) -> list[dict[str, Any]]:
    """One JSON-able row per rule, version and arm, over all channels and tiers; those with a hold-out say what they change.

    Conversions and uplifts are shares; money is in minor units; intervals are ``[low, high]`` and valid at every look, an
    infinite end (``null`` in JSON) is none.
    """
    arms = merged(Tally(Key(*t.key)._replace(channel="", tier=""), t.sums) for t in tallies)
    known = {(v.rule_id, v.version, v.arm): v for v in validate(arms)}
    found = []
    for tally in arms:
        key = Key(*tally.key)
        row = _row(key, tally.sums)
        validation = known.get((key.rule_id, key.version, key.arm))
        if validation is not None:
            effect = validation.effect
            row |= {
                "verdict": validation.verdict,
                "text": validation.text,
                "difference": _interval(effect.conversion),
                "uplift": _interval(effect.uplift),
                "extra_revenue_minor": _interval(effect.extra_minor),
                "roi": _interval(effect.roi),
            }
        found.append(row)
    return found


PARTS = ("channel", "tier")
"""What outcomes are broken down by."""


def report(tallies: Iterable[Tally]) -> dict[str, list[dict[str, Any]]]:
    """All that is told of the outcomes, each part under its name."""
    known = [*tallies]
    return {"experiments": rows(known)} | {f"by_{part}": breakdown(known, part) for part in PARTS}


def breakdown(tallies: Iterable[Tally], by: str) -> list[dict[str, Any]]:
    """The same counts by ``channel`` or ``tier``, without effects: the groups are too small to tell one."""
    parts = merged(
        Tally(Key(*t.key)._replace(tier="") if by == "channel" else Key(*t.key)._replace(channel=""), t.sums)
        for t in tallies
    )
    return [_row(Key(*t.key), t.sums) | {by: getattr(Key(*t.key), by)} for t in parts]


def _row(key: Key, sums: Sums) -> dict[str, Any]:
    return {
        "rule": key.rule_id,
        "version": key.version,
        "arm": key.arm,
        "exposed": sums.exposed,
        "converted": sums.converted,
        "conversion": round(sums.converted / sums.exposed, 6) if sums.exposed else None,
        "orders": sums.orders,
        "revenue_minor": sums.revenue_minor,
        "actions": sums.actions,
        "cost_minor": sums.cost_minor,
    }


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {"value": round(interval.value, 6), "interval": [round(interval.low, 6), round(interval.high, 6)]}
