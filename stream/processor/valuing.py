"""Between the models of value and the processor: values customers, and tells of the panel's members at the visits that every buyer gets."""

from __future__ import annotations

from stream.config import Settings
from stream.state.memory import Memory
from stream.state.profile import Profile, Prospects
from stream.worth.history import History, history_of
from stream.worth.model import ValueModel
from stream.worth.panel import ALL, MOST_REPEATS, Look, key_of

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
            self.looks.append(Look(key, profile.day, repeats, history.last_days, history.age_days, spent_minor))
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
