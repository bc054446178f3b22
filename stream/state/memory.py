"""What Winback has decided about a customer: needed to decide nothing twice. Not part of the order-free facts."""

from __future__ import annotations

import msgspec


class Population(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a customer contributes to the population's histograms; kept so that it can be taken out again."""

    last_day: int
    """UTC day of the last purchase."""
    frequency: int
    monetary_minor: int
    cycle_days: float
    tier: str
    segment: str


class Memory(msgspec.Struct, array_like=True, gc=False):
    """Decisions about one customer."""

    population: Population | None = None
    """First, for `stream.state.customer.Head`: a population is counted without decoding the rest."""
    fired: dict[str, tuple[str, int]] = {}
    """Timer rule id → (last occurrence decided, when it was due): an occurrence is decided once, and one that was due
    earlier is over, even if a cancelled order makes it the latest again."""
    decided_ms: dict[str, int] = {}
    """Rule id → instant of its last published action, for cool-downs."""
    sent_ms: list[int] = []
    """Instants of the newest published actions that count towards the frequency cap, ascending."""
    score: float = -1.0
    """The last churn probability, −1 when never scored."""
    alert_armed: bool = False
    """True after a score below the threshold: only then may an upward crossing alert."""
    reviewed_ms: int = 0
    """Instant up to which reviews (tiers, scores) have been done."""
    grid_ms: int = 0
    """Instant up to which the calendar of churn snapshots has been done."""
    snapshots: list[bytes] = []
    """Open churn snapshots, oldest first, encoded by `stream.churn`."""
    history_until_ms: int = 0
    """Timers due up to this instant come from imported history and never fire."""
    timed_by: int = 0
    """Which timers the record's ``next_due_ms`` was found with (a hash of rules and settings): while they are the same, an event
    that moves none of them need not look at any. 0: it has to be found anew."""
