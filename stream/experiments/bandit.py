"""Which variant of a rule works better, learnt while it runs (MISSION F4): Thompson sampling, with River's policy.

What a bandit knows is the outcomes that are counted anyway, so its state is on the epochs topic with them. Once a UTC day the owner of
the epochs turns it into weights: the probability of each arm to be the best. Decisions draw with those weights by hashing, so
they repeat in replay, whoever makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream.events.hashing import hash64
from stream.experiments.tally import Key, Sums, Tally
from stream.rules.experiment import CONTROL, DEFAULT

FLOOR = 0.05
"""Least share of an arm. Smaller: an unlucky start buries a good variant for months; larger: more customers get the worse one."""
DRAWS = 1_000
"""Pulls of the policy that weights are counted from: they are right to about one and a half per cent."""
MOST_OUTCOMES = 5_000
"""Outcomes of one arm that the policy is told of; with more, their proportions. It would be sure of itself long before."""


def weights(tallies: Iterable[Tally], day: int) -> Mapping[str, Mapping[str, float]]:
    """Rule → arm → weight, of every rule with at least two arms besides the hold-out, by its latest version.

    ``day`` (UTC) and the rule seed the draws: the same outcomes give the same weights.
    """
    arms: dict[tuple[str, int], dict[str, Sums]] = {}
    for tally in tallies:
        key = Key(*tally.key)
        if key.arm not in (CONTROL, DEFAULT):
            arms.setdefault((key.rule_id, key.version), {}).setdefault(key.arm, Sums()).add(tally.sums)
    latest = {rule_id: known for (rule_id, _), known in sorted(arms.items())}
    return {rule_id: _weights_of(known, f"{rule_id} {day}") for rule_id, known in latest.items() if len(known) > 1}


def _weights_of(arms: Mapping[str, Sums], seed: str) -> Mapping[str, float]:
    from river.bandit import ThompsonSampling
    from river.proba import Beta

    names: list[int | str] = [*sorted(arms)]
    policy = ThompsonSampling(reward_obj=Beta(), seed=hash64(seed))
    for name in names:
        sums = arms[str(name)]
        told = min(sums.exposed, MOST_OUTCOMES)
        won = round(sums.converted * told / sums.exposed) if sums.exposed else 0
        for number in range(told):
            policy.update(name, number < won)  # type: ignore[no-untyped-call]
    pulled = [policy.pull(names) for _ in range(DRAWS)]
    free = 1 - FLOOR * len(names)
    return {str(name): round(FLOOR + free * pulled.count(name) / DRAWS, 6) for name in names}


def regret(conversions: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """Conversions lost per customer by not giving everybody the best arm, for known conversion rates.

    >>> round(regret({"a": 0.02, "b": 0.04}, {"a": 0.5, "b": 0.5}), 3)
    0.01
    """
    total = sum(shares.values())
    return max(conversions.values()) - sum(conversions[arm] * share / total for arm, share in shares.items())
