"""What Winback has decided about a customer: needed to decide nothing twice. Not part of the order-free facts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stream.state.part import NO_ITEMS, NOTHING, AtRest, empty, part
from stream.state.plans import Plans

MOST_SENTIMENTS = 16
"""Texts of which it is kept what was told. Fewer: no trend can be read; more: a survey bot grows the record."""


class Population(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a customer contributes to the population's histograms; kept so that it can be taken out again."""

    last_day: int
    """UTC day of the last purchase."""
    frequency: int
    monetary_minor: int
    cycle_days: float
    tier: str
    """By fixed thresholds."""
    segment: str
    cell: int = 0
    """Where the customer is counted for ranks, `stream.segments.cells`; 0: nowhere."""
    classes: int = 0
    """What the customer is in the other schemes, `stream.segments.schemes`."""


class Memory(msgspec.Struct, array_like=True, gc=False):
    """Decisions about one customer."""

    _population: AtRest = NOTHING
    """First, for `stream.state.customer.Head`: a population is counted without decoding the rest."""
    _fired: AtRest = empty(dict)
    _decided_ms: AtRest = empty(dict)
    _sent_ms: AtRest = empty(list)
    score: float = -1.0
    """The last churn probability, −1 when never scored."""
    alert_armed: bool = False
    """True after a score below the threshold: only then may an upward crossing alert."""
    reviewed_ms: int = 0
    """Instant up to which reviews (tiers, scores) have been done."""
    grid_ms: int = 0
    """Instant up to which the calendar of churn snapshots has been done."""
    _snapshots: AtRest = empty(list)
    history_until_ms: int = 0
    """Timers due up to this instant come from imported history and never fire."""
    pending_ms: int = 0
    """When the first of the plans is due, 0 when there is none."""
    _plans: AtRest = NOTHING
    _sentiments: AtRest = empty(list)
    suspect: str = ""
    """Why the customer is suspected to be no person, see `stream.quality.suspicion`; empty: nothing speaks for it."""

    @part
    def population(self) -> Population | None:
        """What the customer contributes to the population, ``None`` until they are counted."""

    @property
    def is_counted(self) -> bool:
        """There is a ``population``; told without opening it."""
        population: object = self._population
        return population is not None and population != NOTHING

    @property
    def has_snapshots(self) -> bool:
        """There are ``snapshots``; told without opening them."""
        snapshots: object = self._snapshots
        return bool(snapshots) and snapshots != NO_ITEMS

    @part
    def fired(self) -> dict[str, tuple[str, int]]:  # type: ignore[empty-body]
        """Timer rule id → (last occurrence decided, when it was due): an occurrence is decided once, and one that was due
        earlier is over, even if a cancelled order makes it the latest again."""

    @part
    def decided_ms(self) -> dict[str, int]:  # type: ignore[empty-body]
        """Rule id → instant of its last published action, for cool-downs."""

    @part
    def sent_ms(self) -> list[int]:  # type: ignore[empty-body]
        """Instants of the newest published actions that count towards the frequency cap, ascending."""

    @part
    def snapshots(self) -> list[bytes]:  # type: ignore[empty-body]
        """Open churn snapshots, oldest first, encoded by `stream.churn`."""

    @part
    def plans(self) -> Plans | None:
        """Decisions to come, and what caps must know; ``None`` until there is something."""

    @part
    def sentiments(self) -> list[tuple[int, float]]:  # type: ignore[empty-body]
        """Instants of the newest texts and how likely each is praise, by the version of its day; ascending."""

    def plan(self) -> Plans:
        """The plans, to be added to."""
        plans = self.plans
        if plans is None:
            plans = self.plans = Plans()
        return plans

    def sent_on(self) -> Mapping[str, int]:
        """Channel → actions that have ever gone out on it."""
        plans = self.plans
        return {} if plans is None else plans.sent

    def sent_in(self, scope: str) -> list[int]:
        """Instants of the newest published actions in the scope of a cap, ascending."""
        plans = self.plans
        return [] if plans is None else plans.sent_ms.get(scope, [])
