"""What a rule changes, against those who were held out, with intervals that are valid whenever one looks (MISSION F2).

An interval of a fixed sample is wrong for whoever looks every day: sooner or later it excludes zero by chance. These are
confidence sequences: with probability 1 − α they contain the truth at *all* looks at once.

Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52 (2024), theorem 2.2 (the normal mixture); for small groups the same mixture with the variance that a
proportion can't exceed (Hoeffding's 1/4; Howard, Ramdas, McAuliffe, Sekhon 2021), which needs no limit theorem.

What they assume: outcomes of different customers don't influence each other. A customer counts once in a version of a rule, however
often they meet it (`stream.decisions.measuring`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, log, sqrt

import msgspec

from stream.experiments.tally import Key, Sums, Tally
from stream.rules.experiment import CONTROL

ALPHA = 0.05
"""How often an interval may miss the truth, over all looks together."""
BEST_AT = 4_000
"""Customers, both groups together, at which the interval is narrowest for what it can be. Smaller: early looks say more and late ones
less; larger: the other way round. At a tenth or ten times of it an interval is about a sixth wider than at its best."""
ENOUGH = 300
"""Customers a group needs before its own variance is believed, and the limit theorem with it. With 100, 7 % of the intervals for
money missed the truth in a shop whose hold-out is a tenth (the test's A/A); larger: young rules wait longer for an interval."""
ENOUGH_CONVERTED = 40
"""And customers who bought: rarer outcomes are too far from normal (with 10, as above)."""


class Interval(msgspec.Struct, frozen=True):
    """A figure with the bounds between which the truth lies, at this look and all others."""

    value: float
    low: float
    high: float

    @property
    def is_above(self) -> bool:
        """The truth is above zero."""
        return self.low > 0

    @property
    def is_below(self) -> bool:
        """The truth is below zero."""
        return self.high < 0

    def scaled(self, by: float) -> Interval:
        """The same in another unit."""
        return Interval(self.value * by, self.low * by, self.high * by)


class Effect(msgspec.Struct, frozen=True):
    """One arm against the hold-out."""

    treated: Sums
    control: Sums
    conversion: Interval
    """Difference of the shares who bought."""
    revenue_minor: Interval | None
    """Difference of the money per customer; ``None`` while there are too few for an interval of something without bounds."""
    uplift: Interval | None
    """Ratio of the shares who bought, less one; ``None`` while nobody in the hold-out has bought. It excludes zero just when
    `conversion` does, and has no upper end (infinity) while the hold-out's share may be nothing."""

    @property
    def extra_minor(self) -> Interval | None:
        """The money that all treated customers brought beyond what they would have anyway."""
        return None if self.revenue_minor is None else self.revenue_minor.scaled(self.treated.exposed)

    @property
    def roi(self) -> Interval | None:
        """Return on the cost: extra money over cost, less one; ``None`` without a cost or an interval."""
        extra, cost = self.extra_minor, self.treated.cost_minor
        if extra is None or not cost:
            return None
        return Interval(extra.value / cost - 1, extra.low / cost - 1, extra.high / cost - 1)


def effect(treated: Sums, control: Sums, alpha: float = ALPHA) -> Effect:
    """The effect of an arm, for groups of any size: with few customers the interval is wide.

    >>> few = effect(Sums(exposed=20, converted=6, orders=6), Sums(exposed=10, converted=1, orders=1))
    >>> few.conversion.low < 0 < few.conversion.high, few.revenue_minor
    (True, None)
    """
    return Effect(
        treated,
        control,
        _conversion(treated, control, alpha),
        _revenue(treated, control, alpha),
        _uplift(treated, control, alpha),
    )


def effects(tallies: Iterable[Tally]) -> Mapping[tuple[str, int, str], Effect]:
    """The effect of each arm of each rule and version that has a hold-out, over all channels and tiers."""
    sums: dict[tuple[str, int, str], Sums] = {}
    for tally in tallies:
        key = Key(*tally.key)
        sums.setdefault((key.rule_id, key.version, key.arm), Sums()).add(tally.sums)
    return {
        (rule_id, version, arm): effect(treated, sums[rule_id, version, CONTROL])
        for (rule_id, version, arm), treated in sorted(sums.items())
        if arm != CONTROL and (rule_id, version, CONTROL) in sums
    }


def radius(variance: float, number: int, alpha: float = ALPHA) -> float:
    """Half the width of a time-uniform interval for a mean of ``number`` values with this variance, by the normal mixture.

    >>> fixed_sample = 1.96 * sqrt(1 / 4_000)
    >>> 1.2 < radius(1.0, 4_000) / fixed_sample < 1.8
    True
    """
    if not number:
        return inf
    best = -2 * log(alpha)
    rho2 = (best + log(best) + 1) / BEST_AT
    scaled = number * rho2 + 1
    return sqrt(variance) * sqrt(2 * scaled / (number * number * rho2) * log(sqrt(scaled) / alpha))


def _conversion(treated: Sums, control: Sums, alpha: float) -> Interval:
    one, other = _mean(treated), _mean(control)
    difference = one - other
    if _are_enough(treated, control):
        half = _half(one * (1 - one), treated.exposed, other * (1 - other), control.exposed, alpha)
    else:
        # A proportion's variance is at most 1/4, whatever the truth: an interval for each group, at half the risk.
        half = radius(0.25, treated.exposed, alpha / 2) + radius(0.25, control.exposed, alpha / 2)
    return Interval(difference, max(-1.0, difference - half), min(1.0, difference + half))


def _uplift(treated: Sums, control: Sums, alpha: float) -> Interval | None:
    """All ratios λ for which zero lies in the interval of ``treated − λ · control`` (Fieller 1954, with a time-uniform bound for
    his t): the true ratio is in it at all looks, as zero is for that λ. To divide `_conversion` by the hold-out's share is not
    enough: with a hold-out of a tenth that missed a true uplift of a half in 19 of 100 shops.
    """
    one, other = _mean(treated), _mean(control)
    if not other:
        return None
    if _are_enough(treated, control):
        bound = _half(one * (1 - one), treated.exposed, 0.0, control.exposed, alpha) ** 2
        base_bound = _half(0.0, treated.exposed, other * (1 - other), control.exposed, alpha) ** 2
        both, above, below = one * other, one * one - bound, other * other - base_bound
        # The roots of below · λ² − 2 · both · λ + above, written so that neither cancels.
        root = both + sqrt(max(both * both - above * below, 0.0))
        low, high = above / root, root / below if below > 0 else inf
    else:
        half, base_half = (radius(0.25, group.exposed, alpha / 2) for group in (treated, control))
        low, high = (one - half) / (other + base_half), (one + half) / (other - base_half) if other > base_half else inf
    return Interval(one / other - 1, max(low, 0.0) - 1, high - 1)


def _revenue(treated: Sums, control: Sums, alpha: float) -> Interval | None:
    if not _are_enough(treated, control):
        return None
    one, other = treated.revenue_minor / treated.exposed, control.revenue_minor / control.exposed
    half = _half(_variance(treated), treated.exposed, _variance(control), control.exposed, alpha)
    return Interval(one - other, one - other - half, one - other + half)


def _half(one: float, number: int, other: float, others: int, alpha: float) -> float:
    """Of a difference of means: the variance that one value would have, had all been drawn from one sequence."""
    together = number + others
    return radius(together * (one / number + other / others), together, alpha)


def _are_enough(*groups: Sums) -> bool:
    return all(group.exposed >= ENOUGH and group.converted >= ENOUGH_CONVERTED for group in groups)


def _mean(sums: Sums) -> float:
    return sums.converted / sums.exposed if sums.exposed else 0.0


def _variance(sums: Sums) -> float:
    """Of the revenue per customer, from whole numbers: no cancellation."""
    number = sums.exposed
    return (number * int(sums.revenue_squared) - sums.revenue_minor**2) / (number * number)
