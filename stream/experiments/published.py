"""The outcomes of measured rules as they are published, and how long their details are kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from math import isfinite

from stream.actions.effects import Bounds, Effects, Part, effects_id
from stream.events.instants import DAY_MS, to_text
from stream.experiments.effect import Interval
from stream.experiments.tally import Key, Tally, merged
from stream.experiments.validation import Validation, validate
from stream.rules.experiment import CONTROL

Version = tuple[str, int]
"""A rule and its version."""
DETAIL_DAYS = 90
"""Days without an outcome after which an old version's counts are no longer told apart by channel and tier. Fewer: the last windows of a
version (at most a year, mostly a month) come in pieces; more: every edit of a rule costs each day's version some 40 rows for longer.
The sums themselves are kept for ever: they are what a shop has learnt."""
ALL = "all"
"""Channel and tier of counts that are no longer told apart."""


def versions_of(tallies: Iterable[Tally]) -> set[Version]:
    """The rules and versions that there are outcomes of."""
    return {(key.rule_id, key.version) for key in (Key(*tally.key) for tally in tallies)}


def with_old_ones_added_up(
    tallies: Iterable[Tally], heard: Mapping[str, Mapping[int, int]], day: int
) -> tuple[list[Tally], Mapping[str, Mapping[int, int]]]:
    """The tallies with those of old versions as one per arm, and of when the others were last heard.

    ``heard``: rule → version → UTC day of its latest outcome, of versions with details.
    """
    over = {
        (rule_id, version)
        for rule_id, versions in heard.items()
        for version, last in versions.items()
        if version < max(versions) and last + DETAIL_DAYS < day
    }
    if not over:
        return list(tallies), heard
    kept = (Tally(Key(*t.key)._replace(channel=ALL, tier=ALL), t.sums) if t.key[:2] in over else t for t in tallies)
    left = {
        rule_id: {version: last for version, last in versions.items() if (rule_id, version) not in over}
        for rule_id, versions in heard.items()
    }
    return merged(kept), left


def newly_heard(
    heard: Mapping[str, Mapping[int, int]], versions: Iterable[Version], day: int
) -> Mapping[str, Mapping[int, int]]:
    """``heard`` with outcomes of a UTC day."""
    found = {rule_id: dict(known) for rule_id, known in heard.items()}
    for rule_id, version in sorted(versions):
        found.setdefault(rule_id, {})[version] = day
    return {rule_id: dict(sorted(found[rule_id].items())) for rule_id in sorted(found)}


def effects(tallies: Iterable[Tally], versions: Collection[Version], day: int, currency: str) -> list[Effects]:
    """What is published at the end of a UTC day: every arm of the versions that there was something new of."""
    mine = [tally for tally in tallies if tuple(tally.key[:2]) in versions]
    known = {(v.rule_id, v.version, v.arm): v for v in validate(mine)}
    named = to_text(day * DAY_MS)[:10]
    return [
        _effects(arm, list(tallies), known.get(arm), named, to_text((day + 1) * DAY_MS), currency)
        for arm, tallies in groupby(merged(mine), key=_arm)
    ]


def newest(tallies: Iterable[Tally]) -> set[Version]:
    """The newest version of each rule."""
    return set(dict(sorted(versions_of(tallies))).items())


def _arm(tally: Tally) -> tuple[str, int, str]:
    key = Key(*tally.key)
    return key.rule_id, key.version, key.arm


def _effects(
    named: tuple[str, int, str],
    parts: list[Tally],
    validation: Validation | None,
    day: str,
    computed_at: str,
    currency: str,
) -> Effects:
    rule_id, version, arm = named
    (whole,) = merged(Tally(Key(*named, ALL, ALL), part.sums) for part in parts)
    sums, found = whole.sums, None if validation is None else validation.effect
    return Effects(
        effects_id=effects_id(day, rule_id, version, arm),
        day=day,
        computed_at=computed_at,
        currency=currency,
        rule_id=rule_id,
        version=version,
        arm=arm,
        holdout=arm == CONTROL,
        exposed=sums.exposed,
        converted=sums.converted,
        conversion=round(sums.converted / sums.exposed, 6) if sums.exposed else None,
        orders=sums.orders,
        revenue_minor=sums.revenue_minor,
        actions=sums.actions,
        cost_minor=sums.cost_minor,
        reported=sums.reported,
        reported_minor=sums.reported_minor,
        verdict=None if validation is None else validation.verdict,
        text=None if validation is None else validation.text,
        difference=None if found is None else _bounds(found.conversion),
        uplift=None if found is None else _bounds(found.uplift),
        extra_revenue_minor=None if found is None else _bounds(found.extra_minor),
        roi=None if found is None else _bounds(found.roi),
        by_channel_and_tier=tuple(_part(part) for part in parts),
    )


def _part(tally: Tally) -> Part:
    key, sums = Key(*tally.key), tally.sums
    return Part(
        channel=key.channel,
        tier=key.tier,
        exposed=sums.exposed,
        converted=sums.converted,
        orders=sums.orders,
        revenue_minor=sums.revenue_minor,
        actions=sums.actions,
        cost_minor=sums.cost_minor,
        reported=sums.reported,
        reported_minor=sums.reported_minor,
    )


def _bounds(interval: Interval | None) -> Bounds | None:
    if interval is None:
        return None
    low, high = (round(end, 6) if isfinite(end) else None for end in (interval.low, interval.high))
    return Bounds(round(interval.value, 6), low, high)
