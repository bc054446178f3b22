"""A customer as JSON-able data: the line of ``customers.jsonl`` and the answer of ``/customers/{id}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream.config import Settings
from stream.events.instants import to_text
from stream.processor.residents import Resident
from stream.state.orders import WINDOWS_DAYS

if TYPE_CHECKING:
    from stream.processor.customers import CustomerWork


def customer_view(work: CustomerWork, resident: Resident, as_of_ms: int, settings: Settings) -> dict[str, Any]:
    """Everything a person may want to see of a customer, as of an instant. ``null`` stands for unknown."""
    customer = resident.customer
    profile = work.profile(resident, as_of_ms)
    score = work.scorer.score(profile)
    last_ms, first_ms = profile.last_purchase_ms, profile.first_purchase_ms
    expected_ms = profile.expected_next_purchase_ms
    person = customer.person
    windows = customer.orders.windows(profile.day)
    return {
        "customer_id": resident.id,
        "as_of": to_text(as_of_ms),
        "recency_days": profile.recency_days if profile.bought else None,
        "windows": {
            str(days): {"frequency": window.frequency, "monetary_minor": window.monetary_minor}
            for days, window in zip(WINDOWS_DAYS, windows, strict=True)
        },
        "lifetime": {
            "frequency": profile.lifetime_frequency,
            "monetary_minor": profile.lifetime_monetary_minor,
        },
        "clamped_refunds": profile.clamped_refunds,
        "currency": settings.currency,
        "rfm": {"r": profile.r or None, "f": profile.f or None, "m": profile.m or None},
        "segment": profile.segment or None,
        "tier": profile.tier,
        "churn_probability": score.ref.churn_probability,
        "churn_abstained": score.ref.abstained,
        "churn_reasons": [msgspec.to_builtins(reason) for reason in score.explain()],
        "model_day": score.ref.model_day,
        "first_purchase_at": None if first_ms is None else to_text(first_ms),
        "last_purchase_at": None if last_ms is None else to_text(last_ms),
        "tenure_days": profile.tenure_days,
        "cycle_days": profile.cycle_days or None,
        "cycle_spread_days": profile.cycle_spread_days if profile.cycle_days else None,
        "expected_next_purchase_at": None if expected_ms is None else to_text(expected_ms),
        "views_30d": profile.views_30d,
        "active_days_30d": profile.active_days_30d,
        "last_activity_at": to_text(person.last_activity_ms) if person.last_activity_ms else None,
        "cart": {"items": profile.cart_items, "value_minor": profile.cart_value_minor},
        "last_nps": profile.last_nps if profile.last_nps >= 0 else None,
        "last_rating": profile.last_rating or None,
        "open_complaints": profile.open_complaints,
        "consent": {channel: granted for channel, (_, granted) in sorted(person.consent.items())},
    }


def score_view(work: CustomerWork, resident: Resident, as_of_ms: int) -> dict[str, Any] | None:
    """The churn score of somebody who has bought, with the features it was made of: the line of ``scores.jsonl``."""
    profile = work.profile(resident, as_of_ms)
    if not profile.bought:
        return None
    score = work.scorer.score(profile)
    return {
        "as_of": to_text(as_of_ms),
        "customer_id": resident.id,
        "churn_probability": score.ref.churn_probability,
        "abstained": score.ref.abstained,
        "model_day": score.ref.model_day,
        "features": work.scorer.features(profile),
    }
