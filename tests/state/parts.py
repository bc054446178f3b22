"""The parts of a record that stay bytes until they are asked for."""

from __future__ import annotations

from operator import attrgetter

from stream.state.customer import Customer
from stream.state.part import AtRest

PARTS = (
    "orders",
    "memory.population",
    "memory.fired",
    "memory.decided_ms",
    "memory.sent_ms",
    "memory.snapshots",
    "memory.sentiments",
    "person.traits",
    "person.consent",
    "person.voice",
)


def opened(customer: Customer) -> Customer:
    """The same record with nothing left at rest, so that it can be compared with another."""
    for name in PARTS:
        attrgetter(name)(customer)
    return customer


def at_rest(customer: Customer) -> set[str]:
    """The parts nobody has opened."""
    split = {name: name.rpartition(".") for name in PARTS}
    holders = {"": customer, "memory": customer.memory, "person": customer.person}
    return {name for name, (owner, _, last) in split.items() if type(getattr(holders[owner], "_" + last)) is AtRest}
