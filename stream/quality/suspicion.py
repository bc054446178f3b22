"""Who doesn't behave like a person: abnormal repurchase, fake interactions, returns without end (MISSION A5).

Robust rules, each of which says in words what it met; the one on repurchase is learnt from the population. A suspect is left out of
thresholds and of all training, until a later look finds nothing any more. Nothing of theirs is deleted, and nothing is held back
from them: that is for rules to decide (`customer.suspect`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from stream.segments.histogram import quantile
from stream.state.customer import Customer
from stream.state.messages import ROW as MESSAGE_ROW
from stream.state.orders import ROW, YEAR_DAYS

LEAST_BUYERS = 200
"""Buyers before the population says what is usual. Fewer: the first good customer is an outlier."""
LEAST_ORDERS = 60
"""Orders in 365 days that are nobody's outlier. Fewer: who buys bread every week is one."""
TIMES = 5
"""How many times what 99 of 100 buyers have at most is abnormal. Smaller: big customers; larger: small resellers."""
RUN = 64
"""Messages that pace and clockwork are read off. Fewer: a hasty page load is a bot; more: bots must be busier."""
RUN_MS = 60_000
"""No person does `RUN` things within this: about one a second for a minute. Larger: a page that sends much makes suspects."""
CLOCK_SPREAD = 0.02
"""Median deviation of the gaps between messages, as a share of the median gap: a person's is far above, a scraper's below."""
CLOCK_MOST_MS = 3_600_000
"""Gaps that are longer than this say nothing: who opens the app at breakfast is regular, too."""
LEAST_RETURNS, RETURN_SHARE = 10, 0.8
"""Orders of 365 days that were returned or cancelled, at least, and their share of all of them."""


class Usual(msgspec.Struct, frozen=True):
    """What is usual in the population."""

    most_orders: int = 0
    """Orders in 365 days beyond which somebody is an outlier; 0: not known yet."""


def usual(frequencies: Mapping[int, int]) -> Usual:
    """From the histogram of orders in 365 days.

    >>> usual({1: 900, 20: 100}), usual({1: 100})
    (Usual(most_orders=100), Usual(most_orders=0))
    """
    if sum(frequencies.values()) < LEAST_BUYERS:
        return Usual()
    return Usual(max(LEAST_ORDERS, TIMES * (quantile(frequencies, 0.99) or 0)))


def suspicion(customer: Customer, at_ms: int, day: int, known: Usual) -> str:
    """Why somebody is suspected as of an instant, empty for hardly anybody.

    ``orders``: far more than others; ``pace``: faster than a person; ``clockwork``: at regular intervals; ``returns``: nearly
    everything comes back.
    """
    book, messages = customer.orders, customer.messages
    if (
        known.most_orders
        and book.figures.frequency > known.most_orders
        and book.year(day).frequency > known.most_orders
    ):
        return "orders"
    if len(messages.rows) >= RUN * MESSAGE_ROW:
        times = [time_ms for time_ms, _, _ in messages.visits(at_ms)]
        if any(later - earlier < RUN_MS for earlier, later in zip(times, times[RUN - 1 :], strict=False)):
            return "pace"
        if _is_clockwork(times[-RUN:]):
            return "clockwork"
    if book.marks and len(book.marks) >= LEAST_RETURNS:
        back = book.refunds_since(day - YEAR_DAYS + 1)
        if back >= LEAST_RETURNS and back >= RETURN_SHARE * (len(book.rows) / ROW):
            return "returns"
    return ""


def in_words(reason: str, customer: Customer, day: int, known: Usual) -> str:
    """What was met, as a person would say it; of nothing, that it is over.

    >>> in_words("pace", Customer(), 0, Usual()), in_words("", Customer(), 0, Usual())
    ('64 messages within a minute', 'nothing is met any more')
    """
    book = customer.orders
    if reason == "orders":
        return f"{book.year(day).frequency} orders in 365 days, and {known.most_orders} are abnormal"
    if reason == "returns":
        back = book.refunds_since(day - YEAR_DAYS + 1)
        return f"{back} of {len(book.rows) // ROW} orders sent back or cancelled"
    if reason == "clockwork":
        return f"{RUN} messages at regular intervals"
    return f"{RUN} messages within a minute" if reason == "pace" else "nothing is met any more"


def _is_clockwork(times: Sequence[int]) -> bool:
    if len(times) < RUN:
        return False
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual_ms = median(gaps)
    return 0 < usual_ms <= CLOCK_MOST_MS and median(abs(gap - usual_ms) for gap in gaps) <= CLOCK_SPREAD * usual_ms
