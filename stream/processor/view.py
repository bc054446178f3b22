"""A customer as JSON-able data: the line of ``customers.jsonl`` and the answer of ``/customers/{id}``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from stream.config import Settings
from stream.events.instants import DAY_MS, to_text
from stream.feedback.sentiment import in_a_word
from stream.processor.residents import Resident
from stream.products.associations import Associations, habit
from stream.segments.wanted import Wanted
from stream.state.messages import basket_orders
from stream.state.orders import WINDOWS_DAYS, Window
from stream.state.profile import Profile
from stream.worth.course import FEATURES
from stream.worth.forecast import Forecast

if TYPE_CHECKING:
    from stream.processor.customers import CustomerWork

_WINDOWS = tuple(map(str, WINDOWS_DAYS))
_NO_ORDERS = (Window(0, 0),) * len(WINDOWS_DAYS)


def customer_view(work: CustomerWork, resident: Resident, as_of_ms: int, settings: Settings) -> dict[str, Any]:
    """Everything a person may want to see of a customer, as of an instant. ``null`` stands for unknown."""
    # Replay asks this of everybody, so what takes a way to get at is got once.
    customer = resident.customer
    profile = work.profile(resident, as_of_ms)
    score = work.scorer.score(profile)
    ref, standing, purchases, cart = score.ref, profile.standing, profile.purchases, profile.cart
    last_ms, first_ms, cycle_days = purchases.last_ms, purchases.first_ms, purchases.cycle_days
    expected_ms = profile.expected_next_purchase_ms
    person = customer.person
    lifetime = purchases.lifetime
    last_nps, consent = profile.last_nps, person.consent
    return {
        "customer_id": resident.id,
        "as_of": to_text(as_of_ms),
        "recency_days": None if last_ms is None else profile.recency_days,
        "windows": {
            days: {"frequency": window.frequency, "monetary_minor": window.monetary_minor}
            for days, window in zip(_WINDOWS, _windows(profile), strict=True)
        },
        "lifetime": {"frequency": lifetime.frequency, "monetary_minor": lifetime.monetary_minor},
        "clamped_refunds": profile.clamped_refunds,
        "currency": settings.currency,
        "rfm": {"r": standing.r or None, "f": standing.f or None, "m": standing.m or None},
        "segment": standing.segment or None,
        "tier": standing.tier,
        "tiers": work.census.tiers(profile),
        **work.census.assessor.view(profile),
        "churn_probability": ref.churn_probability,
        "churn_abstained": ref.abstained,
        "churn_reasons": [msgspec.to_builtins(reason) for reason in score.explain()],
        "model_day": ref.model_day,
        "first_purchase_at": None if first_ms is None else to_text(first_ms),
        "last_purchase_at": None if last_ms is None else to_text(last_ms),
        "tenure_days": profile.tenure_days,
        "cycle_days": cycle_days or None,
        "cycle_spread_days": profile.cycle_spread_days if cycle_days else None,
        "expected_next_purchase_at": None if expected_ms is None else to_text(expected_ms),
        "views_30d": profile.views_30d,
        "active_days_30d": profile.active_days_30d,
        "last_activity_at": to_text(person.last_activity_ms) if person.last_activity_ms else None,
        "cart": {"items": cart.items, "value_minor": cart.value_minor},
        "last_nps": last_nps if last_nps >= 0 else None,
        "last_rating": profile.last_rating or None,
        "suspect": profile.suspect or None,
        "imputed": dict(profile.imputed),
        "last_csat": profile.last_csat or None,
        "rating_trend": round(profile.rating_trend, 3),
        "sentiment": None
        if (praise := profile.sentiment) < 0
        else {"praise": round(praise, 4), "word": in_a_word(praise)},
        "open_complaints": profile.open_complaints,
        "complaint_age_hours": round(profile.complaint_age_hours, 2),
        "buys_on": profile.buys_on or None,
        "browses_on": profile.browses_on or None,
        "answers_on": profile.answers_on or None,
        "preferred_hour": hour if (hour := profile.preferred_hour) >= 0 else None,
        "categories": profile.favourite_categories,
        "price_band": {"low_minor": profile.order_low_minor, "high_minor": profile.order_high_minor},
        "discount_share_365d": round(profile.discount_share_365d, 4),
        "next_products": _next_products(work, resident),
        "consent": {channel: granted for channel, (_, granted) in sorted(consent.items())} if consent else {},
    }


def brief_view(work: CustomerWork, resident: Resident, as_of_ms: int, who: Wanted) -> dict[str, Any] | None:
    """A line in a list of customers; ``None`` for who doesn't have a persona tag that is asked for, or is no such suspect."""
    profile = work.profile(resident, as_of_ms)
    personas = profile.personas
    if not who.opens(personas, profile.suspect):
        return None
    last_ms, year = profile.purchases.last_ms, profile.purchases.year(profile.day)
    ref = work.scorer.score(profile).ref
    return {
        "customer_id": resident.id,
        "last_purchase_at": None if last_ms is None else to_text(last_ms),
        "frequency_365d": year.frequency,
        "monetary_365d_minor": year.monetary_minor,
        "currency": work.census.currency,
        "churn_probability": ref.churn_probability,
        "churn_abstained": ref.abstained,
        "personas": list(personas),
        "suspect": profile.suspect or None,
    }


def _next_products(work: CustomerWork, resident: Resident) -> list[dict[str, Any]]:
    known, baskets = work.engine.associations, resident.customer.messages.baskets
    if not baskets or not known.known:
        return []
    return [msgspec.to_builtins(found) for found in known.next_best(habit(basket_orders(baskets)))]


def product_view(known: Associations, product_id: str, epoch_day: int | None) -> dict[str, Any]:
    """What is known of a product, as of the version in use."""
    return {
        "product_id": product_id,
        "known": known.knows(product_id),
        "as_of": None if epoch_day is None else to_text(epoch_day * DAY_MS),
        "orders": known.orders_with(product_id),
        "orders_of_all": known.orders,
        "together": [msgspec.to_builtins(found) for found in known.together(product_id)],
        "next": [msgspec.to_builtins(found) for found in known.later(product_id)],
    }


def drivers_view(forecast: Forecast, epoch_day: int | None) -> dict[str, Any]:
    """What goes along with loyalty and with money three months later, and how good the loyalty forecast has been, as of the
    version in use."""
    meanings = {feature.name: feature.meaning for feature in FEATURES}
    return {
        "as_of": None if epoch_day is None else to_text(epoch_day * DAY_MS),
        "pairs": round(forecast.pairs, 1),
        "judged": round(forecast.judged, 1),
        "error_points": _rounded(forecast.error),
        "error_points_unchanged": _rounded(forecast.error_unchanged),
        "abstained": forecast.abstained or None,
        "noise": forecast.noise,
        "drivers": [
            {
                "feature": driver.feature,
                "meaning": meanings.get(driver.feature, ""),
                "loyalty": driver.loyalty,
                "loyalty_beside": driver.loyalty_beside,
                "value": driver.value,
                "value_beside": driver.value_beside,
            }
            for driver in forecast.drivers
        ],
    }


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)


def _windows(profile: Profile) -> Iterable[Window]:
    """The customer's windows of `WINDOWS_DAYS`. Most customers of most shops are new or have bought once."""
    orders, day, first_ms = profile.customer.orders, profile.day, profile.first_purchase_ms
    if first_ms is None and not orders.rows and orders.gone is None:
        return _NO_ORDERS
    if first_ms is not None and first_ms > (day - WINDOWS_DAYS[0] + 1) * DAY_MS:
        return (profile.purchases.year(day),) * len(WINDOWS_DAYS)
    return orders.windows(day)


def score_view(work: CustomerWork, resident: Resident, as_of_ms: int) -> dict[str, Any] | None:
    """The churn score of somebody who has ordered, with the features it was made of: the line of ``scores.jsonl``.

    Orders that were given back, or were worth nothing, are orders here: whoever measures the model knows these customers.
    """
    profile = work.profile(resident, as_of_ms)
    if profile.placed.last_ms is None:
        return None
    ref = work.scorer.raw_score(profile)
    return {
        "as_of": to_text(as_of_ms),
        "customer_id": resident.id,
        "churn_probability": ref.churn_probability,
        "abstained": ref.abstained,
        "model_day": ref.model_day,
        "features": work.scorer.features(profile),
    }
