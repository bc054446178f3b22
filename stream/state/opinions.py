"""What a customer's feedback says, as of an instant: satisfaction, the trend of ratings, the sentiment of words (MISSION B4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stream.state.customer import Customer
from stream.state.lazy import lazy

RECENT_TEXTS = 5
"""Texts that the sentiment is the mean of. Fewer: one bad day is an opinion; more: last year's is."""
LEAST_RATINGS = 4
"""Ratings before there is a trend: two against two."""


class Opinions:
    """The figures of whoever has a `Customer`."""

    customer: Customer
    stand_ins: Callable[[Any], Mapping[str, float]] = staticmethod(lambda profile: {})
    """Means of the tier for the figures that the customer lacks; set by whoever knows."""

    @property
    def suspect(self) -> str:
        """Why the customer is suspected to be no person, empty when they aren't."""
        return self.customer.memory.suspect

    @lazy
    def imputed(self) -> Mapping[str, float]:
        """Figure → mean of the tier, of those that the customer lacks and that are known."""
        return self.stand_ins(self)

    @property
    def nps_or_mean(self) -> float:
        """The last NPS answer, else the mean of the tier, −1.0 when that isn't known."""
        answers = self.customer.person.nps
        return answers[-1].value if answers else self.imputed.get("nps", -1.0)

    @property
    def rating_or_mean(self) -> float:
        """The last rating, else the mean of the tier, 0.0 when that isn't known."""
        answers = self.customer.person.ratings
        return answers[-1].value if answers else self.imputed.get("rating", 0.0)

    @property
    def last_csat(self) -> int:
        """The last satisfaction answer, 0 when there is none."""
        answers = self.customer.person.csat
        return int(answers[-1].value) if answers else 0

    @property
    def rating_trend(self) -> float:
        """Mean of the newer half of the remembered ratings minus that of the older half; 0.0 before `LEAST_RATINGS`. Of an odd
        number the middle one is in neither."""
        ratings = [answer.value for answer in self.customer.person.ratings]
        half = len(ratings) // 2
        return (sum(ratings[-half:]) - sum(ratings[:half])) / half if len(ratings) >= LEAST_RATINGS else 0.0

    @property
    def sentiment(self) -> float:
        """Probability that what the customer writes is praise, the mean of the newest `RECENT_TEXTS`; −1.0 when nothing is known."""
        found = [praise for _, praise in self.customer.memory.sentiments[-RECENT_TEXTS:]]
        return sum(found) / len(found) if found else -1.0
