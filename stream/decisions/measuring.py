"""What a measured rule's customers did afterwards: who counts, from when on, and what is said of them when their window is over.

A customer counts once for a version of a rule, in the arm of their first time, whatever comes later (intention to treat): someone who
meets a rule ten times is one customer, and ten outcomes of theirs are no more independent than one purchase counted ten times.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream.events.hashing import digest64, hash64
from stream.events.instants import DAY_MS
from stream.experiments.tally import Key, Tally, acted, settled
from stream.rules.rule import Rule
from stream.rules.vocabulary import Channel
from stream.state.orders import OrderBook
from stream.state.person import Report
from stream.state.plans import MOST_ACTIONS, Exposure, Plans
from stream.state.profile import Profile


class Measuring:
    """Keeps the outcomes and actions of measured rules until they are contributed."""

    def __init__(self, spread_ms: int) -> None:
        self.tallied: list[Tally] = []
        """For the next contribution."""
        self._spread_ms = spread_ms

    def expose(self, rule: Rule, arm: str, channel: Channel, profile: Profile, now_ms: int) -> None:
        """Remembers the customer's part in a rule's experiment. It is settled at a midnight after the window, with all others of
        that day, and spread as timers are: a visit of its own would cost as much as the decision."""
        memory = profile.customer.memory
        until_ms = now_ms + rule.experiment.window_ms
        due_ms = (until_ms // DAY_MS + 1) * DAY_MS
        if self._spread_ms:
            due_ms += hash64(profile.customer_id) % self._spread_ms
        counts = rule.experiment.counts_reported
        plans = memory.plan()
        plans.expose(
            Exposure(
                due_ms, now_ms, until_ms, rule.id, rule.version, arm, channel, profile.tier, counts_reported=counts
            )
        )
        memory.pending_ms = plans.next_ms

    def decided(
        self, rule: Rule, action: str, cost_minor: int, plans: Plans | None, now_ms: int, *, published: bool
    ) -> None:
        """Notes an action of a customer who counts, for what is reported of it. Its cost counts where its outcome does: what goes
        out after the window is in neither."""
        exposure = None if plans is None else plans.exposed(rule.id, rule.version, now_ms)
        if exposure is None:
            return
        name = digest64(action)
        if name not in exposure.actions and len(exposure.actions) < MOST_ACTIONS:
            exposure.actions = [*exposure.actions, name]
        if published:
            self.tallied.append(acted(_key(exposure), cost_minor))

    def settle(self, profile: Profile, plans: Plans, now_ms: int) -> None:
        """Counts the outcomes whose window is over."""
        for exposure in plans.take_settled(now_ms):
            self.tallied.append(_outcome(exposure, profile.customer.orders, profile.person.conversions))


def _outcome(exposure: Exposure, orders: OrderBook, conversions: Sequence[Report]) -> Tally:
    """What one customer did. Conversions that were reported are no second purchase: one that names an order of the book is that
    order, and one that names none may be any in the window."""
    bought = orders.after(exposure.at_ms, exposure.until_ms)
    named: dict[bytes, int] = {}
    for time_ms, action, order, amount_minor in conversions:
        if action not in exposure.actions or not exposure.at_ms < time_ms <= exposure.until_ms:
            continue
        if not (orders.knows(order) if order else bought.frequency):
            named[order] = max(amount_minor, named.get(order, 0))
    if len(named) > 1:
        named.pop(b"", None)
    return settled(
        _key(exposure),
        bought.frequency,
        bought.monetary_minor,
        len(named),
        sum(named.values()),
        counts=exposure.counts_reported,
    )


def _key(exposure: Exposure) -> Key:
    return Key(exposure.rule_id, exposure.version, exposure.arm, exposure.channel, exposure.tier)
