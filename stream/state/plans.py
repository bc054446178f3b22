"""What is still to be decided about a customer, and what the frequency caps must know. Like `Memory`, not order-free."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stream.actions.decision import Cause
from stream.state.ordered import put
from stream.state.running import MOST_BEGUN, Running

MOST_ACTIONS = 16
"""Actions of one exposure whose reported outcomes are known again. Fewer: a long journey's last steps are not; more: a rule on
every view grows the record."""


class Pending(msgspec.Struct, array_like=True, gc=False):
    """An action that was wanted and has to be judged (again) at a later instant: it waits for the end of quiet hours, for a
    place under the cap, for money, or for its decision window to close."""

    due_ms: int
    rule_id: str
    occurrence: str
    since_ms: int
    """When it was wanted; its expiry counts from then."""
    contest: str
    """The set of rules that it competes with until the window closes; empty: with none, it was judged and put off."""
    cause: Cause
    arm: str = ""
    """Of the rule's experiment, once it is drawn: it stays, whatever a bandit has learnt by then."""
    event: bytes = b""
    """The event that the rule answers, as conditions see it (the engine knows how it is encoded); empty: none."""
    paused: bool = False
    """It waits for the end of a pause."""


class Exposure(msgspec.Struct, array_like=True, gc=False):
    """A customer who has met a measured rule, treated or held out: their purchases up to an instant are the outcome."""

    due_ms: int
    """When the outcome is settled: some time after the window, so that several are settled together."""
    at_ms: int
    """Purchases after this instant count."""
    until_ms: int
    """And up to and with this one."""
    rule_id: str
    version: int
    arm: str
    channel: str
    tier: str
    counts_reported: bool = False
    """Conversions that are reported (`stream.state.person.Voice.conversions`) count as purchases do."""
    actions: list[bytes] = []
    """`digest64` of the action ids that were decided meanwhile, held out or not: outcomes are reported by action id."""


class Plans(msgspec.Struct, array_like=True, gc=False):
    """Decisions to come about one customer. Most customers have none."""

    pending: list[Pending] = []
    """Ascending by (due, rule, occurrence)."""
    sent_ms: dict[str, list[int]] = {}
    """Scope of a cap (``channel:sms``, ``group:recall``) → instants of the newest published actions in it, ascending."""
    exposures: list[Exposure] = []
    """Outcomes to come, ascending by when they are settled."""
    journeys: list[Running] = []
    """Journeys on their way, ascending by (due, rule)."""
    begun: dict[str, list[str]] = {}
    """Rule with a journey → its newest occurrences, oldest first: each begins once."""
    sent: dict[str, int] = {}
    """Channel → actions that have ever gone out on it, to know what share is answered."""
    measured: dict[str, int] = {}
    """Measured rule → the latest of its versions that has counted this customer: it does so once."""
    written_ms: int = 0
    """When the customer was last sent an action after having been silent for a horizon; 0 for never."""

    def count_sent(self, channel: str) -> None:
        """One more action has gone out on a channel."""
        self.sent[channel] = self.sent.get(channel, 0) + 1

    def put_off(self, pending: Pending) -> None:
        """Adds a pending decision, or moves the one there is about the same occurrence."""
        same = (pending.rule_id, pending.occurrence)
        kept = [p for p in self.pending if (p.rule_id, p.occurrence) != same]
        self.pending = sorted([*kept, pending], key=lambda p: (p.due_ms, p.rule_id, p.occurrence))

    def take_due(self, until_ms: int) -> list[Pending]:
        """Removes and returns what is due up to an instant."""
        due = [p for p in self.pending if p.due_ms <= until_ms]
        self.pending = self.pending[len(due) :]
        return due

    def wake(self, now_ms: int, is_paused: Callable[[str], bool]) -> bool:
        """Makes due what has waited for the end of a pause of its rule; whether there was any."""
        waiting: list[Pending | Running] = [*self.pending, *self.journeys]
        woken = [p for p in waiting if p.paused and p.due_ms > now_ms and not is_paused(p.rule_id)]
        for each in woken:
            each.due_ms = now_ms
        if woken:
            self.pending.sort(key=lambda p: (p.due_ms, p.rule_id, p.occurrence))
            self.journeys.sort(key=lambda r: (r.due_ms, r.rule_id))
        return bool(woken)

    def expose(self, exposure: Exposure) -> None:
        """Remembers that a measured rule was met, if for the first time in this version: what a customer does is no second
        customer's doing, however often they meet the rule."""
        if self.measured.get(exposure.rule_id, 0) >= exposure.version:
            return
        put(self.measured, exposure.rule_id, exposure.version)
        self.exposures = sorted([*self.exposures, exposure], key=lambda e: (e.due_ms, e.at_ms, e.rule_id))

    def exposed(self, rule_id: str, version: int, now_ms: int) -> Exposure | None:
        """The exposure to a rule whose window is open."""
        for exposure in self.exposures:
            if exposure.rule_id == rule_id and exposure.version == version and now_ms <= exposure.until_ms:
                return exposure
        return None

    def take_settled(self, until_ms: int) -> list[Exposure]:
        """Removes and returns the exposures whose outcome is settled."""
        settled = [e for e in self.exposures if e.due_ms <= until_ms]
        self.exposures = self.exposures[len(settled) :]
        return settled

    def begin(self, rule_id: str, occurrence: str) -> bool:
        """Notes that an occurrence of a journey begins; whether it is new."""
        begun = self.begun.setdefault(rule_id, [])
        if occurrence in begun:
            return False
        begun.append(occurrence)
        del begun[:-MOST_BEGUN]
        return True

    def rest(self, running: Running) -> None:
        """Adds a journey that goes on later."""
        self.journeys = sorted([*self.journeys, running], key=lambda r: (r.due_ms, r.rule_id))

    def take_journeys(self, until_ms: int) -> list[Running]:
        """Removes and returns the journeys that go on up to an instant."""
        due = [r for r in self.journeys if r.due_ms <= until_ms]
        self.journeys = self.journeys[len(due) :]
        return due

    @property
    def next_ms(self) -> int:
        """When the first of all this is due, 0 when there is nothing."""
        dues = [first[0].due_ms for first in (self.pending, self.exposures, self.journeys) if first]
        return min(dues) if dues else 0
