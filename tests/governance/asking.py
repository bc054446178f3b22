"""Questions to governance, with everything at ease unless a test says otherwise."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from stream.config import make_settings
from stream.governance.asked import Asked, Controls
from stream.governance.ledger import Ledger
from stream.governance.policy import make_policy
from stream.rules.loader import load_rules
from stream.state.customer import Customer

NOW = 1_800_000_000_000
"""2027-01-15 08:00 UTC."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ask(
    customer: Customer | None = None,
    *,
    rule: str = "service-recovery",
    now_ms: int = NOW,
    expires_ms: int | None = None,
    tier: str = "low",
    customer_id: str = "c1",
    ledger: Ledger | None = None,
    controls: Controls | None = None,
    partitions: int = 1,
    changes: dict[str, Any] | None = None,
    asked: dict[str, Any] | None = None,
    **settings: Any,
) -> Asked:
    """A question about a shipped rule with ``changes``, under settings."""
    made = msgspec.structs.replace(_shipped().by_id[rule], **(changes or {}))
    return Asked(
        rule=made,
        channel=made.channel,
        customer_id=customer_id,
        customer=customer or Customer(),
        tier=tier,
        now_ms=now_ms,
        cost_minor=made.cost_minor,
        expires_ms=now_ms + 10 * DAY_MS if expires_ms is None else expires_ms,
        policy=make_policy(make_settings(**settings), partitions),
        ledger=ledger or Ledger(),
        controls=controls or Controls(),
        **(asked or {}),
    )


_shipped = cache(load_rules)
"""Reading them takes longer than asking."""
