"""The words a rule may use: variables with their types and units, event kinds, anchors, actions and channels.

This is the one list. Conditions are type-checked against it, the JSON Schema of rule files and the tables in
``docs/rules.md`` are generated from it, and every "did you mean" looks here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Literal, get_args

import msgspec

from stream.segments.lifecycle import STAGES
from stream.segments.loyalty import LOYALTY_KINDS
from stream.segments.named import SEGMENTS, WORDS
from stream.segments.personas import TAGS
from stream.segments.schemes import CLUSTERS, SUSPICIONS
from stream.segments.shares import CHURN_RISK, LAPSED, SHARE_TIERS
from stream.segments.tiers import TIERS
from stream.segments.value import VALUE_GROUPS
from stream.state.notes import CHANNELS

EventKind = Literal[
    "purchase",
    "refund",
    "cancellation",
    "order_updated",
    "product_viewed",
    "searched",
    "cart_added",
    "cart_removed",
    "cart_viewed",
    "checkout_started",
    "reviewed",
    "nps",
    "csat",
    "complaint_opened",
    "complaint_resolved",
    "identified",
    "consent_changed",
    "session",
    "outcome",
]
"""What can happen; `Order Completed` of the Segment vocabulary is ``purchase`` here, and so on."""

Anchor = Literal[
    "first_purchase", "last_purchase", "last_activity", "cart_changed", "profile_created", "complaint_opened"
]
"""The moments a silence is counted from. A newer moment starts the silence anew, so the old one never ends."""

Target = Literal["expected_purchase"]
"""The moments a rule can come before."""

Date = Literal["birthday", "first_purchase_anniversary", "profile_created_anniversary", "membership_expiry"]
"""The days of a customer's own that a rule can come on or before."""

Festival = Literal[
    "new-year",
    "spring-festival",
    "lantern-festival",
    "valentines",
    "womens-day",
    "easter",
    "mothers-day",
    "fathers-day",
    "dragon-boat",
    "mid-year-sale",
    "qixi",
    "mid-autumn",
    "national-day-china",
    "double-ninth",
    "halloween",
    "singles-day",
    "thanksgiving",
    "black-friday",
    "cyber-monday",
    "double-twelve",
    "christmas",
]
"""The days of everybody that a rule can come on or before; `stream.rules.festivals` knows when they are."""

Period = Literal["month", "quarter"]
"""How often a rule can be asked for as long as its condition holds."""

AlertKind = Literal["churn"]
"""The alerts a rule can answer."""

ActionKind = Literal["reminder", "recall", "offer", "care", "request"]
"""What an action is for."""

Channel = Literal["email", "sms", "push", "app", "wechat", "call", "none"]
"""How it reaches the customer: ``call`` is a person's task, ``none`` decides and publishes but sends nothing."""

OfferKind = Literal["percent", "amount_minor", "free_shipping", "points"]
"""What is given: per cent off, an amount off in minor units, free delivery, loyalty points."""

Recommend = Literal["together", "next"]
"""Which product an action names: what goes with the event's, or the customer's next best one."""

Purpose = Literal["marketing", "service"]
"""What a customer may allow or refuse: being wooed, being helped."""

Status = Literal["live", "dry_run"]
"""Whether a rule acts, or only decides."""

ANCHORS: Final[Mapping[Anchor, str]] = MappingProxyType(
    {
        "first_purchase": "the earliest purchase that was not cancelled",
        "last_purchase": "the latest purchase that was not cancelled",
        "last_activity": "the latest event that the customer caused",
        "cart_changed": "the latest change of the cart, as long as something lies in it",
        "profile_created": "the first event of any kind under this customer id, be it a sign-up or a purchase",
        "complaint_opened": "each complaint, as long as it is open",
    }
)
"""What each anchor means."""

DATES: Final[Mapping[Date, str]] = MappingProxyType(
    {
        "birthday": "every year, from the trait `birthday`; of 29 February on the 28th in other years",
        "first_purchase_anniversary": "every year from the first on, the day of the earliest purchase that counts",
        "profile_created_anniversary": "every year from the first on, the day of the first event under this customer id",
        "membership_expiry": "once, from the trait `membership_expires`",
    }
)
"""What each date means."""

EVENT_KINDS: Final[tuple[str, ...]] = get_args(EventKind)

CelType = Literal["int", "double", "string", "bool", "list"]
"""``list`` is one of texts, which only `in` asks."""


class Variable(msgspec.Struct, frozen=True):
    """One row of the vocabulary.

    ``kinds`` names the event kinds that carry the value (empty: always there); a rule on other kinds that uses it could
    never mean anything, so loading refuses it. ``low`` and ``high`` bound what the value can be, so that
    ``churn.probability > 70`` is found when the file is read and not by silence in production.
    """

    name: str
    type: CelType
    unit: str
    meaning: str
    kinds: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """``customer``, ``event`` or ``churn``."""
        return self.name.partition(".")[0]

    @property
    def attribute(self) -> str:
        """The Python attribute of the root object that holds the value."""
        return self.name.partition(".")[2]


class EventFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event as conditions see it; a field that the event's kind doesn't carry has its neutral value.

    >>> EventFacts(kind="nps", nps=3).rating
    0.0
    """

    kind: str
    product_id: str = ""
    category: str = ""
    order_id: str = ""
    price_minor: int = 0
    revenue_minor: int = 0
    quantity: int = 0
    rating: float = 0.0
    nps: int = -1
    channel: str = ""
    store: str = ""
    coupon: str = ""
    discount_minor: int = 0
    name: str = ""


class ChurnFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A churn score as conditions see it: the raw probability, whether to trust it, what it has learnt from."""

    probability: float
    abstained: bool
    labels: int


_PRODUCT = ("product_viewed", "cart_added", "cart_removed")
_ORDER = ("purchase", "order_updated")


def _v(
    name: str,
    kind: CelType,
    unit: str,
    meaning: str,
    *,
    on: tuple[str, ...] = (),
    among: tuple[str, ...] = (),
    low: float = 0,
    high: float | None = None,
) -> Variable:
    return Variable(name, kind, unit, meaning, on, low if kind in ("int", "double") else None, high, among)


_ROWS: Final = (
    _v("customer.customer_id", "string", "", "the customer's key; `anon:…` while nobody has signed in"),
    _v("customer.as_of_ms", "int", "Unix ms", "the instant of the decision"),
    _v("customer.bought", "bool", "", "has at least one purchase that was not cancelled"),
    _v("customer.recency_days", "int", "days", "since the last purchase (1000000: never)"),
    _v("customer.tenure_days", "int", "days", "since the first purchase (0: none)"),
    _v("customer.lifecycle", "string", "", "stage of life as a customer, see below", among=STAGES),
    _v("customer.frequency_7d", "int", "orders", "purchases in the last 7 days"),
    _v("customer.frequency_30d", "int", "orders", "purchases in the last 30 days"),
    _v("customer.frequency_90d", "int", "orders", "purchases in the last 90 days"),
    _v("customer.frequency_365d", "int", "orders", "purchases in the last 365 days"),
    _v("customer.monetary_7d_minor", "int", "minor units", "spent in the last 7 days"),
    _v("customer.monetary_30d_minor", "int", "minor units", "spent in the last 30 days"),
    _v("customer.monetary_90d_minor", "int", "minor units", "spent in the last 90 days"),
    _v("customer.monetary_365d_minor", "int", "minor units", "spent in the last 365 days"),
    _v("customer.lifetime_frequency", "int", "orders", "purchases ever"),
    _v("customer.lifetime_monetary_minor", "int", "minor units", "spent ever"),
    _v(
        "customer.average_order_minor",
        "int",
        "minor units",
        "own price band: what an order was worth on average, of all ever (0: none)",
    ),
    _v(
        "customer.refunds_365d", "int", "orders", "orders of the last 365 days cancelled or refunded, wholly or in part"
    ),
    _v(
        "customer.buys_on",
        "string",
        "",
        "channel of most orders of the last 365 days (empty: not told)",
        among=CHANNELS,
    ),
    _v(
        "customer.browses_on",
        "string",
        "",
        "channel of most other visits of the last 30 days (empty: not told)",
        among=CHANNELS,
    ),
    _v("customer.answers_on", "string", "", "channel on which most messages were opened or clicked (empty: none)"),
    _v(
        "customer.preferred_hour",
        "int",
        "0–23",
        "hour of the own clock at which they come most (-1: too few visits)",
        low=-1,
        high=23,
    ),
    _v(
        "customer.favourite_category",
        "string",
        "",
        "first category of most orders of the last 365 days (empty: unknown)",
    ),
    _v(
        "customer.order_low_minor",
        "int",
        "minor units",
        "own price band: a quarter of the orders of the last 365 days are worth less (0: none)",
    ),
    _v("customer.order_high_minor", "int", "minor units", "own price band: a quarter of them are worth more (0: none)"),
    _v(
        "customer.discount_share_365d",
        "double",
        "share",
        "of the orders of the last 365 days, how many were bought on discount or with a coupon (0.0 also without one)",
        high=1,
    ),
    _v(
        "customer.cycle_days",
        "double",
        "days",
        "own purchase cycle, the median gap between days of purchase (0.0: unknown)",
    ),
    _v(
        "customer.cycle_spread_days",
        "double",
        "days",
        "how far the gaps lie from the cycle (median absolute deviation)",
    ),
    _v("customer.gaps", "int", "gaps", "how many gaps the cycle is the median of"),
    _v(
        "customer.days_until_expected_purchase",
        "int",
        "days",
        "until the own expected purchase (negative: overdue; 1000000: unknown)",
        low=-1_000_000,
    ),
    _v("customer.views_30d", "int", "views", "product views in the last 30 days"),
    _v(
        "customer.views_of_product",
        "int",
        "views",
        "views of the event's product in the last 30 days and since it was last bought, this one included",
        on=(*_PRODUCT, "reviewed"),
    ),
    _v("customer.active_days_30d", "int", "days", "days with any activity among the last 30", high=30),
    _v("customer.days_since_activity", "int", "days", "since the last activity (1000000: never)"),
    _v("customer.hours_since_activity", "double", "hours", "since the last activity (24000000.0: never)"),
    _v("customer.cart_open", "bool", "", "something lies in the cart"),
    _v("customer.cart_items", "int", "pieces", "how much lies in the cart"),
    _v("customer.cart_value_minor", "int", "minor units", "what the cart is worth (0 also when no prices are sent)"),
    _v("customer.last_nps", "int", "0–10", "latest answer to “would you recommend us” (-1: none)", low=-1, high=10),
    _v("customer.last_rating", "double", "1–5", "latest product rating (0.0: none)", high=5),
    _v("customer.last_csat", "int", "1–5", "latest satisfaction answer (0: none)", high=5),
    _v(
        "customer.rating_trend",
        "double",
        "stars",
        "newer half of the ratings against the older half (0.0 before four)",
        low=-5,
        high=5,
    ),
    _v(
        "customer.sentiment",
        "double",
        "probability",
        "that what they write is praise, mean of the last five texts (-1.0: unknown)",
        low=-1,
        high=1,
    ),
    _v(
        "customer.suspect",
        "string",
        "",
        "why the customer is suspected to be no person (empty: they aren't)",
        among=(*SUSPICIONS, ""),
    ),
    _v(
        "customer.nps_or_mean",
        "double",
        "0–10",
        "latest NPS answer, else the mean of the tier (-1.0: unknown)",
        low=-1,
        high=10,
    ),
    _v(
        "customer.rating_or_mean",
        "double",
        "1–5",
        "latest product rating, else the mean of the tier (0.0: unknown)",
        high=5,
    ),
    _v("customer.open_complaints", "int", "complaints", "complaints not yet resolved"),
    _v(
        "customer.complaint_age_hours",
        "double",
        "hours",
        "since the oldest complaint that is not resolved was opened (0.0: none)",
    ),
    _v(
        "customer.tier",
        "string",
        "",
        "tier, in the scheme of the setting `tier_scheme`, which says what words there are: docs/segments.md",
        among=(*TIERS, CHURN_RISK, LAPSED, *VALUE_GROUPS[1:], *LOYALTY_KINDS[1:], *STAGES, *WORDS.values()),
    ),
    _v(
        "customer.fixed_tier",
        "string",
        "",
        "loyalty tier by fixed thresholds, whatever `tier_scheme` says",
        among=TIERS,
    ),
    _v(
        "customer.share_tier",
        "string",
        "",
        "loyalty tier by share of the living buyers, see docs/segments.md (empty: no ranks yet)",
        among=SHARE_TIERS,
    ),
    _v(
        "customer.value_group",
        "string",
        "",
        "group by the value index, see docs/segments.md (empty: not ranked)",
        among=VALUE_GROUPS,
    ),
    _v(
        "customer.lifetime_value_minor",
        "int",
        "minor units",
        "average order × orders of 365 days × `lifetime_years`, as the documents have the value of a customer",
    ),
    _v(
        "customer.purchases_12m",
        "double",
        "purchases",
        "days with orders to be expected in the coming 12 months (-1: not known yet)",
        low=-1,
    ),
    _v(
        "customer.value_12m_minor",
        "int",
        "minor units",
        "money to be expected in the coming 12 months (-1: not known yet)",
        low=-1,
    ),
    _v("customer.loyalty", "double", "0–100", "loyalty (-1: nothing is known)", low=-1, high=100),
    _v(
        "customer.loyalty_90d",
        "double",
        "0–100",
        "loyalty in three months, as it is forecast (-1: it can't be told, or the forecast abstains)",
        low=-1,
        high=100,
    ),
    _v("customer.core", "bool", "", "both loyal and valuable, see docs/value.md"),
    _v("customer.loyalty_kind", "string", "", "what kind of loyalty (empty: never bought)", among=LOYALTY_KINDS),
    _v(
        "customer.cluster",
        "string",
        "",
        "group of customers who are alike, see docs/segments.md (empty: none yet); the number stays, what it stands for is learnt",
        among=CLUSTERS,
    ),
    _v(
        "customer.cluster_name",
        "string",
        "",
        "what sets that group apart, such as `silent for long, few orders` (empty: none yet)",
    ),
    _v(
        "customer.personas",
        "list",
        "tags",
        'persona tags that fit, as in `"night_owl" in customer.personas`, see docs/segments.md',
        among=TAGS,
    ),
    _v("customer.next_tier", "string", "", "the tier above (empty: there is none)", among=(*TIERS[2:], "")),
    _v("customer.orders_to_next_tier", "int", "orders", "orders of 365 days that are missing for the tier above"),
    _v(
        "customer.spend_to_next_tier_minor",
        "int",
        "minor units",
        "money of 365 days that is missing for the tier above",
    ),
    _v("customer.segment", "string", "", "named RFM segment (empty: too few buyers yet)", among=(*SEGMENTS, "")),
    _v("customer.r", "int", "1–5", "recency score, 5 is best (0: unknown)", high=5),
    _v("customer.f", "int", "1–5", "frequency score, 5 is best (0: unknown)", high=5),
    _v("customer.m", "int", "1–5", "monetary score, 5 is best (0: unknown)", high=5),
    _v("customer.language", "string", "", "language, as the sender gave it"),
    _v("customer.region", "string", "", "region or country, as the sender gave it"),
    _v("customer.membership_level", "string", "", "level of membership, as the sender gave it"),
    _v("customer.birthday_known", "bool", "", "there is a date of birth that can be read"),
    _v("customer.referred_by", "string", "", "who brought the customer, as the sender gave it"),
    _v("event.kind", "string", "", "what happened", among=EVENT_KINDS),
    _v("event.product_id", "string", "", "the product", on=(*_PRODUCT, "reviewed")),
    _v(
        "event.category",
        "string",
        "",
        "the product's category; of an order, the first one named",
        on=("product_viewed", "cart_added", *_ORDER),
    ),
    _v("event.order_id", "string", "", "the order", on=(*_ORDER, "refund", "cancellation")),
    _v("event.price_minor", "int", "minor units", "price of one piece", on=_PRODUCT),
    _v(
        "event.revenue_minor",
        "int",
        "minor units",
        "worth of the order or the cart; of a refund, what went back (0: all)",
        on=(*_ORDER, "refund", "cart_viewed", "checkout_started"),
    ),
    _v("event.quantity", "int", "pieces", "how many pieces", on=(*_ORDER, *_PRODUCT)),
    _v("event.rating", "double", "1–5", "stars or satisfaction (0.0: none)", on=("reviewed", "csat"), high=5),
    _v("event.nps", "int", "0–10", "answer to “would you recommend us” (-1: none)", on=("nps",), low=-1, high=10),
    _v("event.channel", "string", "", "where it happened: web, app, pos, …"),
    _v("event.store", "string", "", "the shop's branch", on=_ORDER),
    _v("event.coupon", "string", "", "the coupon used", on=_ORDER),
    _v("event.discount_minor", "int", "minor units", "discount given", on=_ORDER),
    _v("event.name", "string", "", "the sender's name of it, such as `Feature Used`", on=("session",)),
    _v("churn.probability", "double", "probability", "that no purchase follows within the horizon", high=1),
    _v("churn.abstained", "bool", "", "the model has seen too few outcomes to be trusted"),
    _v("churn.labels", "int", "labels", "outcomes that the model has learnt from"),
)

VARIABLES: Final[Mapping[str, Variable]] = MappingProxyType({row.name: row for row in _ROWS})
"""Every variable of the condition language by name, in the order of the docs."""

OF_THE_EVENT: Final[frozenset[str]] = frozenset(
    {"customer.views_of_product"} | {n for n in VARIABLES if n.startswith("event.")}
)
"""Variables that mean something only when an event triggers the rule."""


OF_EVENTS: Final[frozenset[str]] = frozenset(name for name in VARIABLES if name.startswith("event."))
"""Variables that an event has by itself."""

OF_TRAITS: Final[frozenset[str]] = frozenset(
    f"customer.{name}"
    for name in ("customer_id", "language", "region", "membership_level", "birthday_known", "referred_by")
)
"""Variables that nothing moves but what is said of the person; see `stream.state.traits.Traits`."""


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that a mistyped one most likely means; empty when none is near.

    >>> closest("customer.recencydays", VARIABLES)
    'customer.recency_days'
    >>> closest("xyz", ("email", "sms"))
    ''
    """
    # 0.6 is difflib's own default: lower proposes words that share only a prefix, higher misses two swapped letters.
    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


SEGMENT_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Order Completed": "purchase",
        "Order Refunded": "refund",
        "Order Cancelled": "cancellation",
        "Order Updated": "order_updated",
        "Product Viewed": "product_viewed",
        "Products Searched": "searched",
        "Product Added": "cart_added",
        "Product Removed": "cart_removed",
        "Cart Viewed": "cart_viewed",
        "Checkout Started": "checkout_started",
        "Product Reviewed": "reviewed",
        "identify": "identified",
    }
)
"""What senders call the event kinds; for suggestions when a rule uses their name."""
