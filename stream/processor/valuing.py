"""Between the models of value and the processor: values customers, and tells of the panel's members at the visits that every buyer gets."""

from __future__ import annotations

from stream.config import Settings, spans
from stream.rules.festivals import days_of
from stream.segments.loyalty import LOYAL_FROM
from stream.state.memory import Memory
from stream.state.profile import Profile, Prospects
from stream.worth.course import AHEAD_DAYS, Context, features, pack
from stream.worth.history import History, history_of
from stream.worth.model import ValueModel
from stream.worth.panel import ALL, MOST_REPEATS, Look, key_of

GIFT_FESTIVALS = (
    "spring-festival",
    "valentines",
    "mothers-day",
    "fathers-day",
    "mid-year-sale",
    "mid-autumn",
    "singles-day",
    "black-friday",
    "christmas",
)
"""Those before which people buy more than they need themselves."""
NOT_YET = "no models of value yet: the first come with the first full day"
NEVER_BOUGHT = "nothing was bought before today, so there is nothing to go by"
OFF = "the setting panel_customers is 0"


class Valuing:
    """Values customers under one shop's settings, by the version in force."""

    def __init__(self, settings: Settings) -> None:
        self.is_on = settings.panel_customers > 0
        self.model = ValueModel(abstained=NOT_YET if self.is_on else OFF)
        self.below = ALL
        """Only customers with smaller keys are told of."""
        self.looks: list[Look] = []
        """Not contributed yet."""
        self._years = settings.lifetime_years
        self._festivals = frozenset(day for name in GIFT_FESTIVALS for day in days_of(name))
        self._promotions = frozenset(
            day for first, last in spans(settings.promotions) for day in range(first, last + 1)
        )
        self._context = -1, Context()

    def follow(self, model: ValueModel, below: int) -> None:
        """Values by another version from now on."""
        if self.is_on:
            self.model, self.below = model, below

    def visit(self, profile: Profile, memory: Memory) -> History | None:
        """One visit: a member of the panel is told of. Returns what customers are valued by; ``None`` for who isn't valued."""
        if not self.is_on or memory.suspect:
            return None
        history = history_of(profile)
        if history is None:
            return None
        key = key_of(profile.customer_id)
        if key < self.below:
            spent_minor = profile.lifetime_monetary_minor
            repeats = min(history.repeats, MOST_REPEATS)
            loyalty = profile.loyalty
            values = pack(features(profile, self.context(profile.day))) if loyalty >= 0 else b""
            known = history.last_days, history.age_days, spent_minor
            self.looks.append(Look(key, profile.day, repeats, *known, loyalty, values))
        return history

    def ahead_minor(self, history: History | None) -> int | None:
        """What a customer is expected to be worth in the coming year, if that is known."""
        return None if history is None else self.model.value_minor(history)

    def prospects(self, profile: Profile) -> Prospects:
        """What is to be expected of a customer, as of the profile's instant."""
        as_written = round(profile.average_order_minor * profile.frequency_365d * self._years)
        history = history_of(profile) if self.is_on else None
        if history is None:
            return Prospects(as_written)
        purchases, spending = self.model.purchases(history), self.model.spending
        if purchases is None or spending is None:
            return Prospects(as_written)
        return Prospects(
            as_written, purchases, round(spending.purchase_minor(history)), self.model.value_minor(history) or 0
        )

    def loyalty_ahead(self, profile: Profile) -> float:
        """Loyalty in three months, 0 to 100; −1 when it can't be told, or must not be acted upon."""
        forecast = self.model.forecast
        if forecast.abstained or not profile.bought or profile.loyalty < 0:
            return -1.0
        found = forecast.ahead(profile.loyalty, features(profile, self.context(profile.day)))
        return -1.0 if found is None else found

    def is_core(self, loyalty: float, profile: Profile) -> bool:
        """Whether a customer of a loyalty is both loyal and among the most valuable fifth of the panel."""
        top_minor = self.model.top_minor
        return loyalty >= LOYAL_FROM and 0 <= top_minor <= profile.value_12m_minor

    def context(self, day: int) -> Context:
        """What the shop has before it as of a UTC day, and has behind it."""
        known, found = self._context
        if known != day:
            then, before = range(day, day + AHEAD_DAYS), range(day - AHEAD_DAYS, day)
            festivals = len(self._festivals.intersection(then)) - len(self._festivals.intersection(before))
            promotions = len(self._promotions.intersection(then)) - len(self._promotions.intersection(before))
            found = Context(float(festivals), promotions / AHEAD_DAYS)
            self._context = day, found
        return found

    def loyalty_view(self, profile: Profile) -> dict[str, object]:
        """What a person may want to see of the forecast."""
        found, forecast = profile.loyalty_90d, self.model.forecast
        return {
            "expected": found if found >= 0 else None,
            "change": round(found - profile.loyalty, 1) if found >= 0 else None,
            "abstained": None if found >= 0 else forecast.abstained or NEVER_BOUGHT,
        }

    def view(self, profile: Profile) -> dict[str, object]:
        """What a person may want to see of it."""
        found = profile.prospects
        known = found.value_12m_minor >= 0
        why_not = None if known else self.model.abstained or NEVER_BOUGHT
        return {
            "as_written_minor": found.lifetime_value_minor,
            "next_12_months_minor": found.value_12m_minor if known else None,
            "purchases_12_months": round(found.purchases_12m, 4) if known else None,
            "purchase_minor": found.purchase_minor if known else None,
            "abstained": why_not,
        }
