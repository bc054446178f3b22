"""The customer as rules, segments and the churn model see it: plain figures as of an instant, computed when read.

Decay needs no sweep: every figure is a function of the remembered facts and ``as_of_ms``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from stream.events.instants import DAY_MS, day_of
from stream.state.customer import Customer
from stream.state.interests import Interests
from stream.state.lazy import lazy
from stream.state.messages import Cart
from stream.state.opinions import Opinions
from stream.state.orders import Window
from stream.state.purchases import Purchases
from stream.state.traits import Traits

NEVER_DAYS = 1_000_000
"""Stands for "never" in day counts, so that "longer ago than" holds for customers without the event."""


class Standing(NamedTuple):
    """What a customer is in the population: tier, named segment, RFM scores of 1 to 5 (0: not known yet)."""

    tier: str = ""
    """In the scheme that is the primary one."""
    segment: str = ""
    r: int = 0
    f: int = 0
    m: int = 0
    fixed: str = ""
    """The tier by fixed thresholds."""
    cell: int = 0
    classes: int = 0
    """As `stream.state.memory.Population` has them."""


class Outlook(NamedTuple):
    """What a shop may want of a customer next: stage of life, what is missing for the tier above (empty and 0: nothing), and what the
    customer is in the other schemes."""

    lifecycle: str = ""
    next_tier: str = ""
    orders: int = 0
    monetary_minor: int = 0
    share_tier: str = ""


class Assessment(NamedTuple):
    """What a customer is worth and how loyal; figures of whom nothing is known are −1."""

    value_group: str = ""
    value_index: float = -1.0
    """As the documents have it."""
    value_rank: float = -1.0
    """Share of the living buyers whose index is lower, by the index that is chosen."""
    loyalty: float = -1.0
    """0 to 100."""
    loyalty_kind: str = ""
    indicators: Mapping[str, float] = MappingProxyType({})
    """What the loyalty is made of, each 0 to 100."""
    is_core: bool = False
    """Both loyal and valuable."""


class Prospects(NamedTuple):
    """What is to be expected of a customer; −1 for what isn't known yet."""

    lifetime_value_minor: int = 0
    """Average order × orders of 365 days × `lifetime_years`, as the documents have it."""
    purchases_12m: float = -1.0
    """Days with orders in the coming year."""
    purchase_minor: int = -1
    """What one of them is worth."""
    value_12m_minor: int = -1


class Assessing(Protocol):
    """Whoever knows what customers are worth."""

    def assess(self, profile: Profile) -> Assessment:
        """Value and loyalty."""

    def prospects(self, profile: Profile) -> Prospects:
        """What is to be expected."""

    def loyalty_ahead(self, profile: Profile) -> float:
        """Loyalty in three months."""

    def likeness(self, profile: Profile) -> tuple[str, str]:
        """The group of customers whom one is like, and what sets it apart."""

    def personas(self, profile: Profile) -> tuple[str, ...]:
        """Persona tags."""


class Profile(Traits, Interests, Opinions):
    """A lazy, read-only view of one customer at ``as_of_ms``.

    ``standing`` depends on the population and is asked of whoever knows it, when it is read; so are the purchases, if somebody
    has them at hand already.
    """

    views_of_product = 0
    """Views of the product that the event is about; set by whoever knows the event."""

    def __init__(
        self,
        customer_id: str,
        customer: Customer,
        as_of_ms: int,
        purchases: Callable[[], Purchases] | None = None,
        judge: Callable[[Profile], Standing] = lambda profile: Standing(),
        foresee: Callable[[Profile], Outlook] = lambda profile: Outlook(),
    ) -> None:
        self.customer_id = customer_id
        self.customer = customer
        self.person = customer.person
        self.as_of_ms = as_of_ms
        self.day = as_of_ms // DAY_MS
        self._purchases = purchases
        self._judge = judge
        self._foresee = foresee
        self.assessor: Assessing = _NOBODY

    # -- in the population

    @lazy
    def standing(self) -> Standing:
        """Tier, segment and scores, as the population's thresholds have them."""
        return self._judge(self)

    @property
    def tier(self) -> str:
        """Loyalty tier."""
        return self.standing.tier

    @lazy
    def assessment(self) -> Assessment:
        """Value and loyalty."""
        return self.assessor.assess(self)

    @lazy
    def prospects(self) -> Prospects:
        """What is to be expected."""
        return self.assessor.prospects(self)

    @lazy
    def loyalty_90d(self) -> float:
        """Loyalty in three months, −1 when it can't be told."""
        return self.assessor.loyalty_ahead(self)

    @property
    def core(self) -> bool:
        """Both loyal and valuable."""
        return self.assessment.is_core

    @property
    def lifetime_value_minor(self) -> int:
        """Value as the documents have it, minor units."""
        return self.prospects.lifetime_value_minor

    @property
    def purchases_12m(self) -> float:
        """Purchases to be expected in the coming year, −1 before that is known."""
        return self.prospects.purchases_12m

    @property
    def value_12m_minor(self) -> int:
        """Money to be expected in the coming year, minor units; −1 before that is known."""
        return self.prospects.value_12m_minor

    @property
    def value_group(self) -> str:
        """Group by the value index, empty before there are ranks."""
        return self.assessment.value_group

    @property
    def loyalty(self) -> float:
        """Loyalty from 0 to 100, −1 when nothing is known."""
        return self.assessment.loyalty

    @property
    def loyalty_kind(self) -> str:
        """What kind of loyalty it is, empty for who never bought."""
        return self.assessment.loyalty_kind

    @lazy
    def likeness(self) -> tuple[str, str]:
        """The group of customers whom one is like, and what sets it apart; both empty while there is none."""
        return self.assessor.likeness(self)

    @property
    def cluster(self) -> str:
        """The group of customers whom one is like; its number stays, what it stands for is learnt."""
        return self.likeness[0]

    @property
    def cluster_name(self) -> str:
        """What sets that group apart, in words."""
        return self.likeness[1]

    @lazy
    def personas(self) -> tuple[str, ...]:
        """Persona tags that fit."""
        return self.assessor.personas(self)

    @property
    def fixed_tier(self) -> str:
        """Tier by fixed thresholds, whichever scheme is the primary one."""
        return self.standing.fixed

    @property
    def share_tier(self) -> str:
        """Tier by population share, empty before there are ranks."""
        return self.outlook.share_tier

    @property
    def segment(self) -> str:
        """Named RFM segment, empty before there are thresholds."""
        return self.standing.segment

    @property
    def r(self) -> int:
        """Recency score."""
        return self.standing.r

    @property
    def f(self) -> int:
        """Frequency score."""
        return self.standing.f

    @property
    def m(self) -> int:
        """Monetary score."""
        return self.standing.m

    @lazy
    def outlook(self) -> Outlook:
        """Stage of life and what the tier above asks for."""
        return self._foresee(self)

    @property
    def lifecycle(self) -> str:
        """Stage of life as a customer; `stream.segments.lifecycle` has the stages."""
        return self.outlook.lifecycle

    @property
    def next_tier(self) -> str:
        """The tier above, empty when there is none."""
        return self.outlook.next_tier

    @property
    def orders_to_next_tier(self) -> int:
        """Orders that are missing for it."""
        return self.outlook.orders

    @property
    def spend_to_next_tier_minor(self) -> int:
        """Money that is missing for it, minor units."""
        return self.outlook.monetary_minor

    # -- purchases

    @lazy
    def purchases(self) -> Purchases:
        """What the order book says as of the day."""
        whole = Purchases(self.customer.orders) if self._purchases is None else self._purchases()
        return whole.until(self.day)

    @lazy
    def placed(self) -> Purchases:
        """As `purchases`, of all orders that were placed, whatever became of them: who orders and gives back hasn't left."""
        book = self.customer.orders
        as_placed = book.as_placed()
        return self.purchases if as_placed is book else Purchases(as_placed).until(self.day)

    @property
    def order_recency_days(self) -> int:
        """UTC days since the last of these; `NEVER_DAYS` without one."""
        last_ms = self.placed.last_ms
        return NEVER_DAYS if last_ms is None else max(0, self.day - last_ms // DAY_MS)

    @lazy
    def _last_7d(self) -> Window:
        return self.customer.orders.window(self.day, 7)

    @lazy
    def _last_30d(self) -> Window:
        return self.customer.orders.window(self.day, 30)

    @lazy
    def _last_90d(self) -> Window:
        return self.customer.orders.window(self.day, 90)

    @property
    def last_purchase_ms(self) -> int | None:
        """Instant of the last order that counts."""
        return self.purchases.last_ms

    @property
    def first_purchase_ms(self) -> int | None:
        """Instant of the first order that counts."""
        return self.purchases.first_ms

    @property
    def last_order_name(self) -> str:
        """Names the last purchase in occurrences."""
        return self.purchases.last_order_name

    @property
    def bought(self) -> bool:
        """Has any order that counts."""
        return self.purchases.last_ms is not None

    @lazy
    def recency_days(self) -> int:
        """UTC days since the last purchase; `NEVER_DAYS` without one."""
        last = self.purchases.last_ms
        return NEVER_DAYS if last is None else max(0, self.day - last // DAY_MS)

    @property
    def tenure_days(self) -> int:
        """UTC days since the first purchase, 0 without one."""
        first = self.purchases.first_ms
        return 0 if first is None else max(0, self.day - first // DAY_MS)

    @property
    def frequency_7d(self) -> int:
        """Orders in the last 7 days."""
        return self._last_7d.frequency

    @property
    def frequency_30d(self) -> int:
        """Orders in the last 30 days."""
        return self._last_30d.frequency

    @property
    def frequency_90d(self) -> int:
        """Orders in the last 90 days."""
        return self._last_90d.frequency

    @property
    def frequency_365d(self) -> int:
        """Orders in the last 365 days."""
        return self.purchases.year(self.day).frequency

    @property
    def monetary_7d_minor(self) -> int:
        """Money of the last 7 days, minor units."""
        return self._last_7d.monetary_minor

    @property
    def monetary_30d_minor(self) -> int:
        """Money of the last 30 days, minor units."""
        return self._last_30d.monetary_minor

    @property
    def monetary_90d_minor(self) -> int:
        """Money of the last 90 days, minor units."""
        return self._last_90d.monetary_minor

    @property
    def monetary_365d_minor(self) -> int:
        """Money of the last 365 days, minor units."""
        return self.purchases.year(self.day).monetary_minor

    @property
    def lifetime_frequency(self) -> int:
        """All orders that count."""
        return self.purchases.lifetime.frequency

    @property
    def lifetime_monetary_minor(self) -> int:
        """All money, minor units."""
        return self.purchases.lifetime.monetary_minor

    @property
    def average_order_minor(self) -> int:
        """What an order was worth on average, minor units rounded down; 0 without one."""
        ever = self.purchases.lifetime
        return ever.monetary_minor // ever.frequency if ever.frequency > 0 else 0

    @property
    def purchase_days(self) -> tuple[int, ...]:
        """Distinct UTC days of remembered purchases, ascending."""
        return self.purchases.days

    @property
    def purchase_amounts_minor(self) -> tuple[int, ...]:
        """Money of each of `purchase_days`, minor units."""
        return tuple(amount for _, amount in self.customer.orders.purchase_days(self.day).values())

    @property
    def refunds_365d(self) -> int:
        """Orders of the last 365 days that were cancelled or got money back."""
        return self.customer.orders.refunds_since(self.day - 364)

    @property
    def clamped_refunds(self) -> int:
        """Remembered orders from which more was asked back than they were worth; their money is 0, not negative."""
        return self.customer.orders.clamped()

    # -- rhythm

    @property
    def cycle_days(self) -> float:
        """Median gap between purchase days, 0.0 when unknown."""
        return self.purchases.cycle_days

    @property
    def cycle_spread_days(self) -> float:
        """Median absolute deviation of the gaps, 0.0 when unknown."""
        return self.purchases.cycle_spread_days

    @property
    def gaps(self) -> int:
        """Gaps between purchase days that the rhythm is read off."""
        return self.purchases.gaps

    @property
    def expected_next_purchase_ms(self) -> int | None:
        """Midnight UTC of the day on which the next purchase is expected."""
        day = self.purchases.expected_next_day
        return None if day is None else day * DAY_MS

    @property
    def days_until_expected_purchase(self) -> int:
        """Days until the expected purchase, negative when overdue, `NEVER_DAYS` when there is no rhythm."""
        at = self.expected_next_purchase_ms
        return NEVER_DAYS if at is None else day_of(at) - self.day

    # -- browsing

    @lazy
    def cart(self) -> Cart:
        """The open cart."""
        return self.customer.messages.cart(self.as_of_ms)

    @property
    def cart_open(self) -> bool:
        """Something is in the cart."""
        return self.cart.items > 0

    @property
    def cart_items(self) -> int:
        """Pieces in the cart."""
        return self.cart.items

    @property
    def cart_value_minor(self) -> int:
        """Value of the cart, minor units."""
        return self.cart.value_minor

    @property
    def cart_changed_ms(self) -> int:
        """Instant of the cart's last change, 0 when there was none."""
        return self.cart.changed_ms

    @property
    def views_30d(self) -> int:
        """Product views of the last 30 days (of the remembered messages)."""
        return self.customer.messages.views(self.as_of_ms)

    def views_of(self, product_id: str) -> int:
        """Views of a product in the last 30 days and since it was last bought."""
        return self.customer.messages.views_of(product_id, self.as_of_ms)

    @property
    def active_days_30d(self) -> int:
        """Distinct days of the last 30 on which the customer did something."""
        return self.customer.person.active_days(self.day)

    @property
    def last_activity_ms(self) -> int:
        """Instant of the last thing the customer did, 0 when nothing."""
        return self.customer.person.last_activity_ms

    @property
    def days_since_activity(self) -> int:
        """UTC days since the customer last did something; `NEVER_DAYS` when nothing."""
        at = self.customer.person.last_activity_ms
        return max(0, self.day - day_of(at)) if at else NEVER_DAYS

    @property
    def hours_since_activity(self) -> float:
        """Hours since the customer last did something; 24 × `NEVER_DAYS` when nothing."""
        at = self.customer.person.last_activity_ms
        return max(0, self.as_of_ms - at) / 3_600_000 if at else 24.0 * NEVER_DAYS

    @property
    def created_ms(self) -> int:
        """Event time of the first event of this customer."""
        return self.customer.person.created_ms

    # -- voice and person

    @property
    def last_nps(self) -> int:
        """The last NPS answer, −1 when there is none."""
        answers = self.customer.person.nps
        return int(answers[-1].value) if answers else -1

    @property
    def last_rating(self) -> float:
        """The last product rating, 0.0 when there is none."""
        answers = self.customer.person.ratings
        return answers[-1].value if answers else 0.0

    @property
    def open_complaints(self) -> int:
        """Complaints not yet resolved."""
        return len(self.customer.person.open_complaints())

    @property
    def complaint_age_hours(self) -> float:
        """Hours since the oldest open complaint was opened, 0.0 when there is none."""
        opened = self.customer.person.open_complaints()
        return max(0, self.as_of_ms - opened[0]) / 3_600_000 if opened else 0.0


class _Nobody:
    def assess(self, _: Profile) -> Assessment:
        return Assessment()

    def prospects(self, _: Profile) -> Prospects:
        return Prospects()

    def loyalty_ahead(self, _: Profile) -> float:
        return -1.0

    def likeness(self, _: Profile) -> tuple[str, str]:
        return "", ""

    def personas(self, _: Profile) -> tuple[str, ...]:
        return ()


_NOBODY = _Nobody()
