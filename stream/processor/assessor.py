"""Between the schemes of value and loyalty and the processor: what a customer is in them, looked at as a whole. Pure.

All of it is computed when somebody reads it, and on the customer's own days of review, when changes are told.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.config import Settings, numbers
from stream.events.instants import DAY_MS
from stream.events.money import EXPONENT_OF
from stream.processor.ranks import Ranks
from stream.processor.valuing import Valuing
from stream.segments.cells import Cell, taken_apart
from stream.segments.lifecycle import STAGES
from stream.segments.loyalty import LOYALTY_KINDS, Shown, indicators, kind_of, loyalty_of
from stream.segments.personas import Habits, personas
from stream.segments.scales import value_as_written
from stream.segments.schemes import (
    CLUSTER,
    CLUSTERS,
    CORE,
    CORE_CLASSES,
    LIFECYCLE,
    LOYALTY,
    OTHER,
    VALUE,
    class_in,
    with_class,
)
from stream.segments.shares import position_of
from stream.segments.value import VALUE_GROUPS, Worth, group_of
from stream.state.profile import NEVER_DAYS, Assessment, Profile, Prospects

ChurnOf = Callable[[Profile], float | None]
"""P(churn) of a customer, ``None`` while it isn't to be trusted."""


class Assessor:
    """Value and loyalty of single customers under one shop's settings."""

    def __init__(self, settings: Settings, ranks: Ranks) -> None:
        schemes = settings.schemes.split(",")
        self.churn_of: ChurnOf = lambda profile: None
        self.cluster_of: Callable[[Profile], tuple[int, str]] = lambda profile: (0, "")
        self.valuing = Valuing(settings)
        self._ranks = ranks
        self._has_value = VALUE in schemes
        self._has_loyalty = LOYALTY in schemes
        self._has_core = CORE in schemes and self._has_loyalty
        self._has_stage = LIFECYCLE in schemes
        self._has_cluster = CLUSTER in schemes
        self._as_written = settings.value_index == "as_written"
        self._value_weights = numbers(settings.value_weights)
        self._loyalty_weights = numbers(settings.loyalty_weights)
        self._high_value_spend = settings.high_value_spend
        self._major = 10 ** EXPONENT_OF.get(settings.currency, 2)

    def assess(self, profile: Profile) -> Assessment:
        """What a customer is worth and how loyal, as of the profile's instant."""
        return self._assess(profile, is_review=False)

    def loyalty_ahead(self, profile: Profile) -> float:
        """Loyalty in three months, as of the profile's instant; −1 when it can't be told."""
        return self.valuing.loyalty_ahead(profile)

    def likeness(self, profile: Profile) -> tuple[str, str]:
        """The group of customers whom one is like, as of the profile's instant, and what sets it apart."""
        number, name = self.cluster_of(profile)
        return CLUSTERS[number], name

    def prospects(self, profile: Profile) -> Prospects:
        """What is to be expected of a customer, as of the profile's instant."""
        return self.valuing.prospects(profile)

    def reviewed(self, profile: Profile, last_review_ms: int, *, is_visit: bool) -> int:
        """The number of the classes of a customer who is reviewed now, and was so last at an instant (0: never).

        Value and loyalty are looked at on the customer's own calendar (``is_visit``) and at the first review of each 30 days: a
        customer who is close to an alert is reviewed every week, and neither moves that fast.
        """
        classes = profile.standing.classes
        # Who is of high value is decided once a month.
        is_monthly = last_review_ms // (30 * DAY_MS) != profile.as_of_ms // (30 * DAY_MS)
        if (self._has_value or self._has_loyalty) and (is_visit or is_monthly):
            found = self._assess(profile, is_review=is_monthly)
            if self._has_value:
                classes = with_class(classes, VALUE, VALUE_GROUPS.index(found.value_group))
            if self._has_loyalty:
                classes = with_class(classes, LOYALTY, LOYALTY_KINDS.index(found.loyalty_kind))
            if self._has_core:
                classes = with_class(classes, CORE, CORE_CLASSES.index(self._core_class(profile, found)))
        if self._has_stage:
            classes = with_class(classes, LIFECYCLE, STAGES.index(profile.lifecycle) + 1)
        if self._has_cluster and is_visit:
            classes = with_class(classes, CLUSTER, self.cluster_of(profile)[0])
        return classes

    def why(self, scheme: str, profile: Profile, figures: str) -> str:
        """What puts a customer in a class, as a person would say it."""
        if scheme == CLUSTER:
            return f"{profile.cluster_name}; {figures}"
        found = profile.assessment
        if scheme == VALUE and found.value_rank >= 0:
            return f"ahead of {found.value_rank:.1%} of buyers by the value index; {figures}"
        if scheme == CORE:
            year = profile.value_12m_minor / self._major
            return f"loyalty {found.loyalty:.0f} of 100, {year:.2f} expected in 12 months; {figures}"
        if scheme == LOYALTY:
            known = ", ".join(f"{name} {score:.0f}" for name, score in found.indicators.items())
            return f"loyalty {found.loyalty:.0f} of 100 out of {known or 'nothing'}; {figures}"
        return figures

    def view(self, profile: Profile) -> dict[str, object]:
        """What a person may want to see of it."""
        found = profile.assessment
        return {
            "loyalty": found.loyalty if found.loyalty >= 0 else None,
            "loyalty_indicators": {name: round(score, 1) for name, score in found.indicators.items()},
            "value_index": float(f"{found.value_index:.6g}") if found.value_index >= 0 else None,
            "value_rank": round(found.value_rank, 4) if found.value_rank >= 0 else None,
            "loyalty_in_90_days": self.valuing.loyalty_view(profile),
            "core": found.is_core,
            "lifetime_value": self.valuing.view(profile),
            "cluster": profile.cluster_name or None,
            "personas": list(profile.personas),
        }

    def personas(self, profile: Profile) -> tuple[str, ...]:
        """The customer's persona tags."""
        scales, cell = self._ranks.scales, profile.standing.cell
        order = -1.0
        if scales is not None and cell:
            order = scales.shares(taken_apart(cell))[2]
        return personas(
            Habits(
                profile.frequency_365d,
                profile.discount_share_365d,
                profile.views_30d,
                profile.recency_days,
                profile.last_nps,
                profile.last_rating,
                profile.open_complaints,
                profile.preferred_hour,
                profile.buys_on,
                profile.cycle_days,
                profile.cycle_spread_days,
                order,
                bool(profile.refunds_365d * 2 > profile.frequency_365d > 1),
            )
        )

    # -- inside

    def _assess(self, profile: Profile, *, is_review: bool) -> Assessment:
        if not profile.bought:
            return Assessment()
        scales, cell = self._ranks.scales, profile.standing.cell
        place = taken_apart(cell) if scales is not None and cell else None
        frequency = value = None
        if place is not None and scales is not None:
            _, frequency, value, _ = scales.shares(place)
        elif scales is not None:
            frequency = value = 0.0
        group, rank = ("", -1.0) if place is None else self._group(profile, place, is_review)
        loyalty, kind, known = -1.0, "", {}
        if self._has_loyalty:
            known = indicators(profile.last_nps, profile.last_csat, frequency, value, self.churn_of(profile))
            found = loyalty_of(known, self._loyalty_weights)
            if found is not None:
                loyalty, kind = found, kind_of(found, self._shown(profile))
        is_core = self._has_core and self.valuing.is_core(loyalty, profile)
        return Assessment(group, self._index(profile), rank, loyalty, kind, known, is_core)

    def _core_class(self, profile: Profile, found: Assessment) -> str:
        if not profile.bought or self.valuing.model.top_minor < 0:
            return ""
        return CORE if found.is_core else OTHER

    def _index(self, profile: Profile) -> float:
        weights = self._value_weights
        r, f, m = (round(1_000 * weights.get(name, 0.0)) for name in "rfm")
        spent = profile.monetary_365d_minor / self._major
        return value_as_written(profile.recency_days, profile.frequency_365d, spent, (r, f, m, 0))

    def _group(self, profile: Profile, place: Cell, is_review: bool) -> tuple[str, float]:
        scales = self._ranks.scales
        if scales is None or not self._has_value:
            return "", -1.0
        if self._as_written:
            step = scales.written.step(scales.value_as_written(place))
        else:
            step = scales.index.step(scales.value(place))
        rank = position_of(*step, self._ranks.hash_of(profile.customer_id))
        cart_days = (profile.as_of_ms - profile.cart_changed_ms) // DAY_MS if profile.cart_open else NEVER_DAYS
        worth = Worth(
            rank,
            profile.monetary_365d_minor / self._major,
            profile.frequency_365d,
            profile.lifetime_frequency,
            profile.recency_days,
            min(profile.recency_days, profile.days_since_activity),
            cart_days,
        )
        was = class_in(VALUE, profile.standing.classes)
        return group_of(worth, was, self._high_value_spend, is_review=is_review), rank

    def _shown(self, profile: Profile) -> Shown:
        engaged_ms = profile.person.engaged_ms
        return Shown(
            profile.lifecycle,
            profile.frequency_365d,
            len(profile.noted_365d),
            profile.discount_share_365d,
            profile.last_nps,
            profile.last_csat,
            profile.last_rating,
            profile.day - engaged_ms // DAY_MS if engaged_ms else NEVER_DAYS,
        )
