"""What the checks are asked about: one rule's action for one customer at one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stream.governance.ledger import Ledger
from stream.governance.policy import Policy
from stream.rules.rule import Rule
from stream.rules.vocabulary import Channel
from stream.state.customer import Customer


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """What people have switched at run time, the same on all workers."""

    paused_by: str = ""
    """Who has paused everything; empty: nobody."""
    dry_rules: frozenset[str] = frozenset()
    """Rules that decide and don't act, besides those whose files say so."""
    stopped_rules: frozenset[str] = frozenset()
    """Rules that are paused: by a person, or because they were shown to have no effect."""
    test_customers: frozenset[str] = frozenset()

    def stops(self, rule_id: str) -> bool:
        """Whether a rule is paused, with all others or by itself."""
        return bool(self.paused_by) or rule_id in self.stopped_rules

    def is_lifted_by(self, after: Controls) -> bool:
        """Whether what comes after has ended a pause."""
        return bool(self.paused_by and not after.paused_by) or not self.stopped_rules <= after.stopped_rules


@dataclass(slots=True)
class Asked:
    """The question. Whoever asks makes one per action and throws it away."""

    rule: Rule
    channel: Channel
    customer_id: str
    customer: Customer
    tier: str
    now_ms: int
    expires_ms: int
    cost_minor: int
    """Of this action in its arm, on its channel."""
    policy: Policy
    ledger: Ledger
    controls: Controls
    held_out: bool = False
    """The customer is in the rule's hold-out."""
    useless: str = ""
    """What was shown of the rule, if it does no good and is to be held back for that."""
    outranked_by: str = ""
    """The rule that won the decision window, if this one has lost."""
    error: str = ""
    """Why the rule's condition could not be told, if it couldn't."""
    choice: Mapping[str, Any] | None = None
    """How the channel was chosen, where the rule names several (`stream.governance.judge.settle_channel`)."""
    holds: bool = True
    """What the rule waits for is still so. An action that was put off may have lost its reason."""
