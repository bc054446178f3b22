"""A decision: an action for marketing automation, or the same record with the reason why it was held back.

Both have one shape, so that whoever reads `crm.actions.v1` can read `crm.suppressions.v1`. The id is made of rule,
customer and occurrence only: the same decision has the same id in live, in replay and after a crash (MISSION E9).
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream.actions.association import Association
from stream.events.hashing import hex_hash

SCHEMA_VERSION = 1
"""Version of the messages that leave; raised when a reader of the old one would misunderstand the new one."""


class RuleRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which rule decided, in which version, and the version of the whole rule set."""

    id: str
    version: int
    rules_version: str


class StateRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The customer's state that the decision was made on."""

    recency_days: int | None
    frequency_365d: int
    monetary_365d_minor: int
    currency: str
    tier: str
    segment: str
    r: int
    f: int
    m: int
    expected_next_purchase_at: str | None


class ScoreRef(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The churn score that was known, by which model; ``abstained`` says why it must not be trusted, if so."""

    churn_probability: float | None
    model_day: str | None
    labels: int
    abstained: str | None


class Matched(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One part of the rule's condition with the value it met."""

    condition: str
    actual: Any = None


class Contribution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one feature added to the churn score's log-odds (negative: spoke against churn)."""

    feature: str
    value: float
    log_odds: float
    text: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why, for a person and for a machine."""

    text: str
    matched: tuple[Matched, ...] = ()
    contributions: tuple[Contribution, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One check of governance, what it said, and the facts that it said it by: enough to judge again."""

    check: str
    passed: bool
    detail: str
    facts: dict[str, Any] = {}


class Cause(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What made the rule decide: an event, a timer or an alert. ``at`` is its event time or due time."""

    kind: str
    at: str
    message_id: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


class Experiment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The arm of the experiment; everybody is in ``default`` until a rule has variants."""

    arm: str = "default"
    holdout: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An action to carry out (``verdict`` ``publish``), one that was held back (``suppressed``, with ``reason``), or one that was
    put off (``deferred``: it is judged again at ``not_before``, and then has the same ``action_id``). ``ended`` tells that a
    journey is over, and ``reason`` then how."""

    schema_version: int = SCHEMA_VERSION
    action_id: str
    verdict: str
    reason: str | None
    kind: str
    customer_id: str
    rule: RuleRef
    occurrence: str
    channel: str
    template: str
    offer: dict[str, Any] | None
    product: Association | None = None
    """The product to recommend, where the rule asks for one and one is known."""
    priority: int
    decided_at: str
    not_before: str
    expires_at: str
    experiment: Experiment
    state: StateRef
    score: ScoreRef
    explanation: Explanation
    governance: tuple[Verdict, ...]
    cause: Cause


def action_id(rule_id: str, customer_id: str, occurrence: str) -> str:
    """The deterministic id of a decision: 32 hex digits, fit for every sender's idempotency key.

    The rule's version is not part of it: mending a typing error must not send everything again.

    >>> action_id("lapsed-60", "c1", "o1") == action_id("lapsed-60", "c1", "o1") != action_id("lapsed-60", "c1", "o2")
    True
    """
    return hex_hash("action", rule_id, customer_id, occurrence)
