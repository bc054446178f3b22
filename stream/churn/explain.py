"""A score in words: what speaks for and against churn, by theme, in sentences that a marketer understands.

The contributions of a theme are the sum of its features' contributions, so that all themes and the baseline still sum to
the score's log-odds. Correlated features (there are several of silence) would otherwise explain each other away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream.actions.decision import Contribution
from stream.churn.features import FEATURES, Theme
from stream.churn.model import FrozenModel
from stream.events.money import amount_text
from stream.state.profile import NEVER_DAYS, Profile

MOST_REASONS = 4
"""Themes named. More: nobody reads them."""
LEAST_LOG_ODDS = 0.05
"""Smaller contributions are not named: they move a probability by about one point at most."""

_THEMES = [feature.theme for feature in FEATURES]
_COLUMNS = tuple(
    (theme.value, slice(_THEMES.index(theme), _THEMES.index(theme) + _THEMES.count(theme))) for theme in Theme
)
"""Name and columns of each theme: the features of one stand together."""


def by_theme(model: FrozenModel, vector: Sequence[float], profile: Profile, currency: str) -> tuple[Contribution, ...]:
    """All themes, the strongest first; with ``model.baseline`` their log-odds sum to the score's."""
    return _told(_log_odds(model, vector), profile, About(model.horizon_days, currency))


def reasons(model: FrozenModel, vector: Sequence[float], profile: Profile, currency: str) -> tuple[Contribution, ...]:
    """The strongest themes, at most `MOST_REASONS`, without those that hardly matter."""
    strongest = _log_odds(model, vector)[:MOST_REASONS]
    named = [(log_odds, theme) for log_odds, theme in strongest if abs(log_odds) >= LEAST_LOG_ODDS]
    return _told(named, profile, About(model.horizon_days, currency))


def _log_odds(model: FrozenModel, vector: Sequence[float]) -> list[tuple[float, str]]:
    """What each theme adds, the strongest first."""
    added = model.contributions(vector)
    found: list[tuple[float, str, float]] = []
    for theme, columns in _COLUMNS:
        log_odds = sum(added[columns])
        found.append((-abs(log_odds), theme, log_odds))
    found.sort()  # no theme comes twice, so the sum itself is never compared
    return [(log_odds, theme) for _, theme, log_odds in found]


def _told(themes: Sequence[tuple[float, str]], profile: Profile, about: About) -> tuple[Contribution, ...]:
    told = []
    for log_odds, theme in themes:
        value, text = _FACTS[theme](profile, about)
        told.append(Contribution(feature=theme, value=value, log_odds=log_odds, text=text))
    return tuple(told)


def sentence(probability: float, horizon_days: int, why: Sequence[Contribution]) -> str:
    """One sentence for the alert.

    >>> sentence(0.83, 90, [Contribution(feature="silence", value=95.0, log_odds=1.2, text="no purchase for 95 days")])
    '83 % likely not to buy in the next 90 days: no purchase for 95 days (raises the risk)'
    """
    facts = "; ".join(f"{c.text} ({'raises' if c.log_odds > 0 else 'lowers'} the risk)" for c in why if c.text)
    head = f"{probability * 100:.0f} % likely not to buy in the next {horizon_days} days"
    return f"{head}: {facts}" if facts else head


class About(NamedTuple):
    """What the facts are told of, besides the customer."""

    horizon_days: int
    currency: str


Fact = tuple[float, str]


def _silence(profile: Profile, about: About) -> Fact:
    days = profile.order_recency_days
    if days < profile.recency_days:
        return float(days), f"last order {_days(days)} ago, which was not kept"
    usual = f" (usual gap {_days(profile.cycle_days)})" if profile.gaps else ""
    return float(profile.recency_days), f"no purchase for {_days(profile.recency_days)}{usual}"


def _loyalty(profile: Profile, about: About) -> Fact:
    orders = profile.lifetime_frequency
    if orders <= 1:
        return float(orders), "has bought once only"
    span = _days(max(1, profile.tenure_days))
    return float(orders), f"{orders} orders in {span}, {profile.frequency_90d} of them in the last 90"


def _spend(profile: Profile, about: About) -> Fact:
    average = profile.lifetime_monetary_minor / max(1, profile.lifetime_frequency)
    if not average:
        return average, "no order of theirs is worth anything"
    return (
        average,
        f"an order of theirs is worth {amount_text(round(average), about.currency)} {about.currency} on average",
    )


def _season(profile: Profile, about: About) -> Fact:
    first = profile.day - 365
    bought = profile.purchases.days_between(first, first + about.horizon_days)
    return float(bought), "bought at this time of last year" if bought else "did not buy at this time of last year"


def _browsing(profile: Profile, about: About) -> Fact:
    views = profile.views_30d
    if views:
        return float(views), f"{views} product view{'s' if views != 1 else ''} in the last 30 days"
    if profile.days_since_activity >= NEVER_DAYS or profile.days_since_activity >= profile.recency_days:
        return 0.0, "no visit since the last purchase"
    return 0.0, f"last seen {_days(profile.days_since_activity)} ago"


def _cart(profile: Profile, about: About) -> Fact:
    items = profile.cart_items
    return float(items), f"{items} in the cart" if items else "nothing in the cart"


def _returns(profile: Profile, about: About) -> Fact:
    orders = profile.refunds_365d
    noun = "order" if orders == 1 else "orders"
    return float(orders), f"{orders} {noun} given back within a year" if orders else "nothing given back within a year"


def _voice(profile: Profile, about: About) -> Fact:
    said = []
    if complaints := profile.open_complaints:
        said.append("an open complaint" if complaints == 1 else f"{complaints} open complaints")
    if profile.last_nps >= 0:
        said.append(f"last NPS answer {profile.last_nps}")
    if profile.last_rating > 0.0:
        said.append(f"last rating {profile.last_rating:g} of 5")
    return float(complaints), ", ".join(said) or "has given no feedback"


def _days(days: float) -> str:
    return f"{days:g} day{'' if days == 1 else 's'}"


_FACTS: dict[str, Callable[[Profile, About], Fact]] = {
    Theme.SILENCE.value: _silence,
    Theme.LOYALTY.value: _loyalty,
    Theme.SPEND.value: _spend,
    Theme.SEASON.value: _season,
    Theme.BROWSING.value: _browsing,
    Theme.CART.value: _cart,
    Theme.RETURNS.value: _returns,
    Theme.VOICE.value: _voice,
}
