"""What one partition has spent on a day, and how fast it acts: for the budget and the circuit breaker (E8).

A part of the partition's own record, so it is durable with the actions that it counts, and rolled back with them.
"""

from __future__ import annotations

import msgspec

from stream.events.instants import DAY_MS
from stream.governance.policy import SHARED_TIERS, Policy, share
from stream.rules.rule import Rule

MINUTE_MS = 60_000
ALL_RULES = "*"


class Ledger(msgspec.Struct, array_like=True):
    """Money by UTC day and actions by minute of one partition."""

    day: int = -1
    spent_minor: int = 0
    """On that day, on everybody."""
    spent_others_minor: int = 0
    """Of it, on customers outside of `SHARED_TIERS`."""
    minute: int = -1
    acted: dict[str, int] = {}
    """Rule id, or `ALL_RULES` → actions in that minute."""
    open_until_ms: dict[str, int] = {}
    """Rule id, or `ALL_RULES` → until when its circuit is open."""
    waits: bool = False
    """Some action waits for the end of a pause: whoever ends it has to look for it, also after a restart."""

    def money_left(self, tier: str, now_ms: int, policy: Policy) -> int:
        """What is left of the day's money for a customer of a tier, minor units."""
        spent, others = (
            (self.spent_minor, self.spent_others_minor) if now_ms // DAY_MS <= self.day else (0, 0)
        )  # time that runs backwards opens no second budget
        left = policy.budget_minor - spent
        if tier not in SHARED_TIERS:
            left = min(left, policy.budget_minor - policy.reserved_minor - others)
        return left

    def open_until(self, rule: Rule, now_ms: int) -> int:
        """Until when the circuit of a rule, or of all, is open; 0: it is closed."""
        if not self.open_until_ms:
            return 0
        until_ms = max(self.open_until_ms.get(rule.id, 0), self.open_until_ms.get(ALL_RULES, 0))
        return until_ms if until_ms > now_ms else 0

    def note(self, rule: Rule, tier: str, cost_minor: int, now_ms: int, policy: Policy) -> bool:
        """Counts a published action; opens the circuit when it was the last one of its minute. Whether anything changed."""
        changed = False
        if policy.budget_minor and cost_minor:
            day = now_ms // DAY_MS
            if day > self.day:
                self.day, self.spent_minor, self.spent_others_minor = day, 0, 0
            self.spent_minor += cost_minor
            if tier not in SHARED_TIERS:
                self.spent_others_minor += cost_minor
            changed = True
        for name, most in (
            (rule.id, share(rule.max_per_minute, policy.partitions)),
            (ALL_RULES, policy.breaker_most),
        ):
            if most:
                self._count(name, most, now_ms, policy)
                changed = True
        return changed

    def _count(self, name: str, most: int, now_ms: int, policy: Policy) -> None:
        minute = now_ms // MINUTE_MS
        if minute > self.minute:
            self.minute, self.acted = minute, {}
            self.open_until_ms = {n: until for n, until in self.open_until_ms.items() if until > now_ms}
        number = self.acted.get(name, 0) + 1
        self.acted = {**self.acted, name: number}
        if number >= most:
            self.open_until_ms = {**self.open_until_ms, name: now_ms + policy.breaker_open_ms}
