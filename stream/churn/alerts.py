"""Should this score become an alert? A pure decision, with its reason.

In most shops most customers don't buy within the horizon, so "P > 0.7" alone would alert nearly everybody, the welcome
mail beside the recall. An alert needs an upward crossing, a silence that is long for this customer, and a purchase that
isn't fresh (MISSION D1).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from stream.churn.model import FrozenModel
from stream.config import Settings
from stream.state.profile import Profile

SILENCE_SHARE = 0.5
"""Silence needed, as a share of the usual gap. Smaller: a monthly buyer is recalled in the first week; larger: the recall
comes when they have gone."""


class Reason(StrEnum):
    """Why there was an alert, or none."""

    ALERT = "alert"
    NEVER_BOUGHT = "never_bought"
    ABSTAINED = "abstained"
    """The model says itself that its score isn't to be acted upon."""
    BELOW_THRESHOLD = "below_threshold"
    NOT_ARMED = "not_armed"
    """Above the threshold, but never yet below it since the first score or since the last alert."""
    RECENT_PURCHASE = "recent_purchase"
    """Ordered within ``churn_quiet_days``."""
    SILENCE_TOO_SHORT = "silence_too_short"
    """Less than `SILENCE_SHARE` of the customer's own usual gap, or of the population's for one-time buyers."""


class AlertDecision(msgspec.Struct, frozen=True):
    """The decision. ``armed`` is to be remembered for the next one: true while an upward crossing would count.

    A crossing that comes too early is not lost: the customer stays armed, and the alert follows when the silence is long
    enough, if the score is still above the threshold then.
    """

    reason: Reason
    armed: bool

    @property
    def alert(self) -> bool:
        """Publish an alert."""
        return self.reason is Reason.ALERT


def decide(
    profile: Profile,
    probability: float,
    model: FrozenModel,
    *,
    armed: bool,
    population_cycle_days: float,
    settings: Settings,
) -> AlertDecision:
    """Decides about a customer's new score. ``armed`` is what the last decision said, false at first.

    ``population_cycle_days`` is the population's median gap between purchase days, 0.0 when unknown: then one-time
    buyers are judged by half the horizon.
    """
    if not profile.bought:
        return _NEVER_BOUGHT
    if model.abstained:
        return _ABSTAINED_ARMED if armed else _ABSTAINED
    if probability < settings.churn_threshold:
        return _BELOW_THRESHOLD
    if not armed:
        return _NOT_ARMED
    silent_days = profile.order_recency_days
    if silent_days < settings.churn_quiet_days:
        return _RECENT_PURCHASE
    usual_days = profile.cycle_days or population_cycle_days or float(settings.churn_horizon_days)
    if silent_days < SILENCE_SHARE * usual_days:
        return _SILENCE_TOO_SHORT
    return _ALERT


def is_too_early(recency_days: int, usual_days: float, settings: Settings) -> bool:
    """Whether whoever is armed stays so without an alert, whatever the score: the silence is too short for one.

    >>> [is_too_early(days, 40.0, Settings()) for days in (13, 19, 20)]
    [True, True, False]
    """
    return recency_days < settings.churn_quiet_days or recency_days < SILENCE_SHARE * usual_days


# One of these is the answer to every visit and every purchase.
_NEVER_BOUGHT = AlertDecision(Reason.NEVER_BOUGHT, False)
_ABSTAINED = AlertDecision(Reason.ABSTAINED, False)
_ABSTAINED_ARMED = AlertDecision(Reason.ABSTAINED, True)
_BELOW_THRESHOLD = AlertDecision(Reason.BELOW_THRESHOLD, True)
_NOT_ARMED = AlertDecision(Reason.NOT_ARMED, False)
_RECENT_PURCHASE = AlertDecision(Reason.RECENT_PURCHASE, True)
_SILENCE_TOO_SHORT = AlertDecision(Reason.SILENCE_TOO_SHORT, True)
_ALERT = AlertDecision(Reason.ALERT, False)
