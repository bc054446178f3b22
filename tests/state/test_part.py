"""Parts of a record that stay bytes until they are asked for: whoever asks, whenever, nothing gets lost or old."""

from __future__ import annotations

import random
from operator import attrgetter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings
from stream.errors import StateError
from stream.events import kinds
from stream.events.instants import DAY_MS, parse_ms
from stream.events.kinds import Event
from stream.state.customer import Customer, decode, encode
from stream.state.memory import Population
from tests.state.parts import PARTS, at_rest

START = parse_ms("2026-01-01T00:00:00Z")
SETTINGS = Settings()


def _event(number: int) -> Event:
    """The kinds in turn, so that every part of the facts changes."""
    common: dict[str, Any] = {"message_id": f"m{number}", "customer": "c", "time_ms": START + number * DAY_MS // 3}
    match number % 7:
        case 0:
            return kinds.Purchase(**common, order_id=f"o{number}", amount_minor=100 + number)
        case 1:
            return kinds.ProductViewed(**common, product_id="tea")
        case 2:
            return kinds.NpsGiven(**common, score=number % 11)
        case 3:
            return kinds.Identified(**common, region=f"R{number}", consent=(("email", number % 2 == 0),))
        case 4:
            return kinds.ConsentChanged(**common, consent_channel="sms", granted=number % 2 == 0)
        case 5:
            return kinds.ComplaintOpened(**common, complaint_id=f"k{number}")
        case _:
            return kinds.Refund(**common, order_id=f"o{number - 6}", amount_minor=7)


def _decide(customer: Customer, number: int) -> None:
    """What rules and scores write into a record: some parts are set, some are changed in place."""
    memory = customer.memory
    match number % 5:
        case 0:
            memory.population = Population(number, 1, 2, 0.5, "medium", "champions")
        case 1:
            memory.fired[f"r{number % 3}"] = ("order", number)
        case 2:
            memory.decided_ms[f"r{number % 3}"] = number
        case 3:
            memory.sent_ms.append(number)
        case _:
            memory.snapshots = [*memory.snapshots, bytes((number % 256,))][-4:]
            memory.sentiments = [(START, 0.9)]


def _full() -> Customer:
    customer = Customer()
    for number in range(35):
        customer.apply(_event(number), SETTINGS)
        _decide(customer, number)
    return customer


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_who_opens_what_and_when_leaves_no_trace(numbers: list[int], rng: random.Random) -> None:
    """A record that rests between events, and whose parts are opened at will, is that of one never put to rest."""
    awake, resting = Customer(), Customer()
    for number in numbers:
        for customer in (awake, resting):
            customer.apply(_event(number), SETTINGS)
            if number % 2:
                _decide(customer, number)
        if rng.random() < 0.6:
            resting = decode(encode(resting))
        for name in rng.sample(PARTS, rng.randrange(4)):
            assert attrgetter(name)(awake) == attrgetter(name)(resting)

    assert encode(awake) == encode(resting)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_opened_and_left_as_it_was_is_the_same_bytes(name: str) -> None:
    """Looking is no change, and opens nothing else."""
    value = encode(_full())
    customer = decode(value)

    assert attrgetter(name)(_full()) == attrgetter(name)(customer)
    assert set(PARTS) - {name} == at_rest(customer)
    assert value == encode(customer)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_was_changed_is_never_the_old_bytes(name: str) -> None:
    """Encoded, changed, encoded, changed back, encoded: each time it is what the object says."""
    customer = decode(encode(_full()))
    owner, _, last = name.rpartition(".")
    holder = attrgetter(owner)(customer) if owner else customer
    empty = attrgetter(name)(Customer())

    assert encode(customer) == encode(_full())
    setattr(holder, last, empty)
    emptied = decode(encode(customer))
    setattr(holder, last, attrgetter(name)(_full()))

    assert empty == attrgetter(name)(emptied) != attrgetter(name)(_full())
    assert encode(_full()) == encode(customer)


def test_an_event_opens_only_what_it_changes() -> None:
    """A view leaves every part at rest, a purchase opens the orders, an answer the voice."""
    value = encode(_full())
    opened = {}
    for number in (70, 71, 72):
        customer = decode(value)
        customer.apply(_event(number), SETTINGS)
        opened[number] = set(PARTS) - at_rest(customer)

    assert {70: {"orders"}, 71: set(), 72: {"person.voice"}} == opened


def test_being_counted_is_told_without_opening() -> None:
    """Whether there is a population: of a record nobody counted, of one at rest, of one that is open."""
    fresh, counted = decode(encode(Customer())), decode(encode(_full()))

    assert (False, True) == (fresh.memory.is_counted, counted.memory.is_counted)
    assert set(PARTS) == at_rest(counted)
    assert fresh.memory.population is None
    assert counted.memory.population is not None
    assert (False, True) == (fresh.memory.is_counted, counted.memory.is_counted)


def test_a_damaged_part_is_told_when_it_is_opened() -> None:
    """Bytes that are well-formed and mean nothing raise what an unreadable record raises."""
    plain = msgspec.msgpack.decode(encode(_full()))
    plain[7] = ["no", "orders"]
    customer = decode(msgspec.msgpack.encode(plain))

    with pytest.raises(StateError, match="can't be read"):
        customer.apply(_event(70), SETTINGS)
