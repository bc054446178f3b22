"""What the churn model knows of a customer: a short vector of bounded figures, the same for a grocer and a gift shop.

Every figure is a logarithm, a share or a count that can't run away, so that a customer with a million orders is unusual,
not explosive. Missing history is 0 before centring where "nothing known" is the ordinary case. Half-lives and the
anniversary are the only calendar constants; the customer's own rhythm and the horizon give the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import StrEnum
from math import exp, expm1, log, log1p

import msgspec

from stream.events.instants import DAY_MS
from stream.state.profile import NEVER_DAYS, Profile
from stream.state.purchases import Purchases


class Theme(StrEnum):
    """What a marketer would call the figures that tell of one thing; explanations go by theme."""

    SILENCE = "silence"
    LOYALTY = "loyalty"
    SPEND = "spend"
    SEASON = "season"
    BROWSING = "browsing"
    CART = "cart"
    RETURNS = "returns"
    VOICE = "voice"


class Feature(msgspec.Struct, frozen=True):
    """One column of the vector. The learner sees ``(value − centre) / scale``, constants by hand: a scaler that moves
    would change the meaning of weights already learnt."""

    name: str
    unit: str
    theme: Theme
    centre: float
    scale: float
    meaning: str
    prior: float = 0.0
    """Weight per ``scale`` before any label: what holds of shops in general. The first labels of a young shop are all about new
    customers, and tell nothing of the others; without this its model ranked them worse than their silence alone does."""


FEATURES: tuple[Feature, ...] = (
    Feature("silence", "ln(1 + days)", Theme.SILENCE, 4.0, 1.2, "days since the last purchase", 0.3),
    Feature(
        "silence_squared", "ln²(1 + days)", Theme.SILENCE, 17.0, 8.0, "the same squared: long silences weigh more", 0.3
    ),
    Feature(
        "overdue", "ln ratio", Theme.SILENCE, 0.0, 1.2, "silence against the customer's median gap; 0 without a gap"
    ),
    Feature("overdue_beyond", "ln ratio", Theme.SILENCE, 0.0, 0.8, "the same, only what exceeds the median gap", 0.3),
    Feature(
        "due",
        "ln ratio",
        Theme.SILENCE,
        0.0,
        1.0,
        "own gaps that end within the horizon, against those that last longer",
    ),
    Feature("faded", "−ln P", Theme.SILENCE, 0.5, 1.5, "chance to be still there, as in BG/NBD", 0.5),
    Feature(
        "silence_share",
        "share × ln",
        Theme.SILENCE,
        0.0,
        0.3,
        "silence as a share of tenure, times ln of repeat orders",
    ),
    Feature("repeats", "ln(1 + orders)", Theme.LOYALTY, 0.9, 0.8, "orders after the first one", -0.3),
    Feature("single", "0 or 1", Theme.LOYALTY, 0.4, 0.5, "has bought on one day only"),
    Feature(
        "momentum_60d",
        "ln of weighted days",
        Theme.LOYALTY,
        -0.6,
        1.2,
        "purchase days, each halving every 60 days",
        -0.6,
    ),
    Feature(
        "momentum_180d",
        "ln of weighted days",
        Theme.LOYALTY,
        0.2,
        0.9,
        "purchase days, each halving every 180 days",
        -0.3,
    ),
    Feature("order_value", "ln(1 + minor units)", Theme.SPEND, 8.5, 1.0, "money per order over all time"),
    Feature(
        "anniversary", "purchase days, at most 3", Theme.SEASON, 0.0, 0.5, "bought in the coming horizon, a year ago"
    ),
    Feature("views", "ln(1 + views)", Theme.BROWSING, 0.0, 1.0, "product views of the last 30 days"),
    Feature("visits", "ln(1 + days)", Theme.BROWSING, 0.0, 1.0, "active days of the last 30 without a purchase"),
    Feature("seen_since", "ln ratio", Theme.BROWSING, 0.0, 1.0, "silence against the days since any activity"),
    Feature("cart", "0 or 1", Theme.CART, 0.0, 0.5, "something is in the cart"),
    Feature(
        "returns", "ln(1 + orders)", Theme.RETURNS, 0.0, 0.7, "orders of the last 365 days given back or cancelled"
    ),
    Feature("nps", "points from 7", Theme.VOICE, 0.0, 3.0, "the last NPS answer; 0 when there is none"),
    Feature("rating", "stars from 4", Theme.VOICE, 0.0, 1.0, "the last product rating; 0 when there is none"),
    Feature("complaints", "ln(1 + complaints)", Theme.VOICE, 0.0, 0.7, "complaints not yet resolved"),
)
"""The columns of `vector`, in order."""

NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
BIAS = "bias"
"""The constant input of the model: the intercept is learnt like any weight."""
COLUMNS: tuple[str, ...] = (*NAMES, BIAS)
BIAS_PRIOR = 0.8
"""The intercept before any label: 69 of 100 customers who are at every centre stay away."""
PRIOR: tuple[float, ...] = (*[feature.prior for feature in FEATURES], BIAS_PRIOR)
"""Weights of `COLUMNS` before any label. Set by hand near the median of the weights that sixteen simulated and real shops ended with."""
LAYOUT: int = zlib.crc32(",".join(NAMES).encode()) & 0xFFFF
"""Tells vectors of this layout from those of another version, in snapshots and checkpoints."""

_YEAR_DAYS = 365
_ANCIENT_DAYS = 4_096
"""A longer silence counts as one of so many days: beyond any memory."""
_LEAVING_ODDS = 0.22
"""Odds that somebody has left for good when they bought last, BG/NBD's a / (b + x − 1). Larger: whoever is silent for a moment has
left; smaller: only many purchases can tell."""
_MOST_EVIDENCE = 20.0
"""Log-odds of having left stop here: nobody is further away."""
_FAINT = 0.01
"""Added before the logarithm of the momentum; a long-gone customer is at ln(0.01), not at minus infinity."""


def vector(profile: Profile, horizon_days: int) -> tuple[float, ...]:
    """The figures of `FEATURES` for a customer who has bought, as of the profile's instant.

    ``horizon_days`` is the span that is predicted; the anniversary, ``due`` and ``faded`` look at it. Orders are those that were
    placed, whatever became of them.
    """
    purchases, today = profile.placed, profile.day
    customer = profile.customer
    person, messages = customer.person, customer.messages
    known: _Bought | None = purchases.memo
    if known is None or known[0] != today or known[1] != horizon_days:
        known = purchases.memo = _of_purchases(profile, horizon_days)
    _, _, bought, silence, bought_on, returns = known
    visits = person.active_days(today) - bought_on
    active_ms = person.last_activity_ms
    seen_since = silence - log1p(max(0, today - active_ms // DAY_MS) if active_ms else NEVER_DAYS)
    nps = rating = complaints = 0.0
    if person.voice is not None:
        answer, stars = profile.last_nps, profile.last_rating
        nps = answer - 7.0 if answer >= 0 else 0.0
        rating = stars - 4.0 if stars > 0.0 else 0.0
        complaints = log1p(profile.open_complaints)
    return (
        *bought,
        log1p(messages.views(profile.as_of_ms)),
        log1p(visits) if visits > 0 else 0.0,
        max(0.0, seen_since),
        1.0 if messages.carts and profile.cart_open else 0.0,
        returns,
        nps,
        rating,
        complaints,
    )


_Bought = tuple[int, int, tuple[float, ...], float, int, float]
"""UTC day and horizon that hold, the first 13 figures, silence, days of the last 30 with a purchase, returns."""


def _of_purchases(profile: Profile, horizon_days: int) -> _Bought:
    """What depends on nothing but orders and the UTC day; most of the vector, and the same for a whole day."""
    purchases, today = profile.placed, profile.day
    light_60d, light_180d = purchases.momentum(today)
    year_ago = today - _YEAR_DAYS
    last_ms, first_ms = purchases.last_ms, purchases.first_ms
    lifetime = purchases.lifetime
    orders, minor = lifetime.frequency or 1, lifetime.monetary_minor
    recency_days = NEVER_DAYS if last_ms is None else max(0, today - last_ms // DAY_MS)
    tenure_days = 0 if first_ms is None else max(0, today - first_ms // DAY_MS)
    bounded_days = min(_ANCIENT_DAYS, recency_days)
    silence = log1p(bounded_days)
    repeats = log1p(orders - 1)
    cycle_days = purchases.cycle_days
    overdue = silence - log1p(cycle_days) if cycle_days > 0.0 else 0.0
    bought = (
        silence,
        silence * silence,
        overdue,
        max(0.0, overdue),
        _due(purchases, recency_days, horizon_days),
        _faded(purchases.gaps, recency_days, tenure_days, horizon_days),
        bounded_days / (tenure_days + 1) * repeats,
        repeats,
        1.0 if tenure_days <= recency_days else 0.0,
        log(_FAINT + light_60d),
        log(_FAINT + light_180d),
        log1p(minor / orders) if minor > 0 else 0.0,
        float(min(3, purchases.days_between(year_ago, year_ago + horizon_days))),
    )
    returns = log1p(profile.refunds_365d) if profile.purchases.any_marked else 0.0
    return today, horizon_days, bought, silence, purchases.recent_days(today), returns


def _due(purchases: Purchases, recency_days: int, horizon_days: int) -> float:
    """How many own gaps longer than the silence are over within the horizon, against how many aren't; 0 where none is longer.

    One of each is added, as if it had been seen: a single gap is no rhythm. Tells a subscriber whose month is nearly over from one
    who has just been served, and whoever comes once a year, which the median gap alone can't.
    """
    longer = purchases.gaps_beyond(recency_days)
    if not longer:
        return 0.0
    later = purchases.gaps_beyond(recency_days + horizon_days)
    return log((longer - later + 1) / (later + 1))


def _faded(gaps: int, recency_days: int, tenure_days: int, horizon_days: int) -> float:
    """−ln P(alive) of the BG/NBD model (Fader, Hardie, Lee, "Counting your customers the easy way", 2005), equation 11 of their note on
    it: 1 / (1 + odds × ((α + T) / (α + t))^(r + x)) for x repeat purchases, the last at t of a tenure T. The many who bought often and
    stopped are told from the few who always came seldom. α is a third of the horizon and r one half, for any shop: the
    weight of it is learnt, so that it needn't be fitted.

    >>> [round(_faded(gaps, 100, 300, 90), 2) for gaps in (0, 1, 10)]
    [0.2, 0.32, 2.37]
    """
    if not gaps:
        return log1p(_LEAVING_ODDS)
    grace_days = horizon_days / 3.0
    last_days = max(0, tenure_days - recency_days)
    evidence = (gaps + 0.5) * log((grace_days + tenure_days) / (grace_days + last_days))
    return log1p(_LEAVING_ODDS * exp(min(_MOST_EVIDENCE, evidence)))


_SILENCE, _OVERDUE, _SINGLE = (NAMES.index(name) for name in ("silence", "overdue", "single"))


def cycle_days_of(values: Sequence[float]) -> float:
    """The median gap that a vector tells of, 0.0 for one-time buyers; right to half a percent if it has been packed.

    >>> values = [0.0] * len(NAMES)
    >>> values[_SILENCE], values[_OVERDUE] = log1p(60), log1p(60) - log1p(20)
    >>> round(cycle_days_of(values), 6)
    20.0
    """
    return 0.0 if values[_SINGLE] else expm1(values[_SILENCE] - values[_OVERDUE])


def markdown_table() -> str:
    """The table of features for the docs."""
    lines = ["| feature | unit | tells of | meaning |", "|---|---|---|---|"]
    lines += [f"| `{f.name}` | {f.unit} | {f.theme} | {f.meaning} |" for f in FEATURES]
    return "\n".join(lines)
