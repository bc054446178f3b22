"""Expected against found: actions and dead letters by their ids, customers by their figures, and each difference by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from stream.config import Settings
from stream.events.hashing import owner_partition
from stream.processor import Partition
from stream.rules.rule import RuleSet
from tests.bench._crash.feed import Feed
from tests.bench._crash.oracle import Oracle, action_id
from tests.bench._crash.tap import Tap


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it must be."""

    kind: str
    """lost, duplicated or mismatched."""
    what: str
    customer: str = ""
    expected: Any = None
    found: Any = None

    def __str__(self) -> str:
        where = f" of {self.customer}" if self.customer else ""
        return f"{self.kind}: {self.what}{where}: expected {self.expected!r}, found {self.found!r}"


class Account:
    """Compares, again and again, only what has changed."""

    def __init__(self, settings: Settings, rules: RuleSet, oracle: Oracle, tap: Tap, feed: Feed) -> None:
        self._settings = settings
        self._rules = rules
        self._oracle = oracle
        self._tap = tap
        self._feed = feed
        self._open: set[str] = set()
        """Customers that were not right when they were last looked at."""
        self._round: set[str] = set()
        """Customers of whom something was heard in this round."""
        self._clock_of: dict[str, int] = {}
        """Customer → the latest time of the workers' clocks when everything of the customer was right."""

    def compare(self, as_of_ms: int, clock_ms: int) -> list[Difference]:
        """Every difference, if all that was sent is applied, and all timers that are due at ``clock_ms`` have fired."""
        found = list(self._arrivals())
        if found:
            return found
        oracle = self._oracle
        touched, self._tap.touched = self._tap.touched, set()
        self._round |= touched
        views = self._processors()
        wrong: set[str] = set()
        for customer in sorted((touched | self._open) & oracle.customers.keys()):
            at_ms = max(clock_ms, self._clock_of.get(customer, 0))
            differing = [*self._decisions(customer, at_ms), *self._figures(customer, as_of_ms, views)]
            if differing:
                wrong.add(customer)
                found += differing
            else:
                self._clock_of[customer] = at_ms
        self._open = wrong
        return [*found, *self._doubles(), *self._letters()]

    def look_again(self) -> None:
        """Look at all customers of the round next time, whether or not anything more was heard of them."""
        self._open |= self._round

    def recheck_all(self) -> None:
        """Look at every customer next time."""
        self._open = set(self._oracle.customers)

    def round_over(self) -> None:
        """What comes now is another round's."""
        self._round = set()

    def _processors(self) -> list[Partition]:
        """A processor for each partition, over its latest committed records."""
        settings, rules = self._settings, self._rules
        return [
            Partition(settings, rules, partition=number, partitions=settings.partitions, store=records)
            for number, records in enumerate(self._tap.records)
        ]

    def _arrivals(self) -> Iterator[Difference]:
        """What the brokers have acknowledged is there, before anything is asked of the workers."""
        for value, times in (self._feed.sent - self._tap.inputs).items():
            yield Difference(
                "lost", "an acknowledged record is not in its topic", "", times, value.decode(errors="replace")
            )

    def _decisions(self, customer: str, clock_ms: int) -> Iterator[Difference]:
        expected = self._oracle.decisions(customer, clock_ms)
        for rule, occurrence in expected - self._found(customer):
            yield Difference(
                "lost", f"the decision of {rule} on {occurrence}", customer, action_id(rule, customer, occurrence)
            )
        for rule, occurrence in self._found(customer) - expected:
            if rule in ("crash-half-day", "crash-born", "crash-cart") and self._may(customer, rule, occurrence):
                continue
            yield Difference("duplicated", f"a decision of {rule} that nothing asked for: {occurrence}", customer)
        for rule, occurrence in expected & self._found(customer):
            found = self._tap.named[customer, rule, occurrence]
            if found != action_id(rule, customer, occurrence):
                right = action_id(rule, customer, occurrence)
                yield Difference("mismatched", f"the action id of {rule} on {occurrence}", customer, right, found)

    def _may(self, customer: str, rule: str, occurrence: str) -> bool:
        """A timer that a clock set forward for a moment has let fire early: right, if it is one of the customer's."""
        return (rule, occurrence) in self._oracle.decisions(customer, 2**62)

    def _found(self, customer: str) -> set[tuple[str, str]]:
        return self._tap.by_customer.get(customer, set())

    def _doubles(self) -> Iterator[Difference]:
        if self._settings.delivery == "exactly_once":
            for name, times in self._tap.doubled.items():
                yield Difference("duplicated", f"action {name}", "", 1, times)

    def _letters(self) -> Iterator[Difference]:
        tap, expected = self._tap, self._oracle.letters
        for where in expected.keys() - tap.letters.keys():
            yield Difference("lost", f"the dead letter of {_where(where)}", "", expected[where])
        for where in tap.letters.keys() - expected.keys():
            yield Difference(
                "duplicated", f"a dead letter that was not planted, of {_where(where)}", "", None, tap.reasons[where]
            )
        for where, times in tap.letters.items():
            if where in expected and expected[where] != tap.reasons[where]:
                why = tap.reasons[where]
                yield Difference(
                    "mismatched", f"the reason of the dead letter of {_where(where)}", "", expected[where], why
                )
            if times > 1 and self._settings.delivery == "exactly_once":
                yield Difference("duplicated", f"the dead letter of {_where(where)}", "", 1, times)

    def _figures(self, customer: str, as_of_ms: int, views: list[Partition]) -> Iterator[Difference]:
        """The latest committed record as the HTTP API would show it."""
        owner = views[owner_partition(customer.encode(), len(views))]
        view = owner.customer(customer, as_of_ms)
        if view is None:
            yield Difference("lost", "the customer's record", customer, "a record", None)
            return
        yield from differences(customer, self._oracle.figures(customer, as_of_ms), view)


def differences(customer: str, expected: dict[str, Any], view: dict[str, Any]) -> Iterable[Difference]:
    """Figures that are not the oracle's."""
    for name, right in expected.items():
        if view[name] != right:
            yield Difference("mismatched", name, customer, right, view[name])


def _where(source: tuple[str, int, int]) -> str:
    return f"{source[0]}[{source[1]}]@{source[2]}"
