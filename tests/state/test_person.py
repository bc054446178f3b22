"""What a customer said and allowed, and the days they were there."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings
from stream.events import kinds
from stream.events.kinds import Event
from stream.state.customer import Customer, encode
from stream.state.person import ACTIVE_DAYS, MOST_CHANNELS, MOST_COMPLAINTS, MOST_FEEDBACK, Person

DAY = 86_400_000
SETTINGS = Settings()
BASE = 20_000


@given(st.lists(st.integers(BASE - 200, BASE), max_size=40), st.integers(-20, 90), st.integers(1, 60))
def test_active_days_are_a_set_of_days(days: list[int], later: int, width: int) -> None:
    """The bits give what a set gives, for every order of arrival, as far back as they reach; also as of an earlier day."""
    person = Person()
    for day in days:
        person.active(day * DAY, day)
    as_of = BASE + later
    newest = max(days, default=0)
    reach = {day for day in days if newest - day < ACTIVE_DAYS}

    assert len({day for day in reach if as_of - width < day <= as_of}) == person.active_days(as_of, width)
    assert newest * DAY == person.last_activity_ms


def test_the_later_choice_counts_and_at_one_instant_the_refusal() -> None:
    """Consent is a register by event time; a tie is decided for the customer's peace."""
    for order in ([(5, True), (5, False)], [(5, False), (5, True)]):
        person = Person()
        for at, granted in order:
            person.set_consent("email", at, granted)
        assert not person.may_contact("email", default=True)
    person.set_consent("email", 6, True)
    assert person.may_contact("email", default=False)
    person.set_consent("email", 4, False)
    assert person.may_contact("email", default=False)


def test_the_general_and_the_single_choice() -> None:
    """The later of ``*`` and the channel's own counts; at one instant a refusal in either."""
    person = Person()
    person.set_consent("*", 10, granted=False)

    assert not person.may_contact("email", default=True)
    person.set_consent("email", 11, granted=True)
    assert (True, False) == (person.may_contact("email", default=False), person.may_contact("sms", default=True))
    person.set_consent("*", 11, granted=False)
    assert not person.may_contact("email", default=True)


def test_invented_channels_are_bounded_and_the_general_choice_stays() -> None:
    """Of channels without end the newest choices stay, the same for every order; a general refusal is never pushed out."""
    choices = [("*", 1, False)] + [(f"c{n}", 10 + n, False) for n in range(100)]
    rng = random.Random(3)
    seen = set()
    for _ in range(5):
        rng.shuffle(choices)
        person = Person()
        for channel, at, granted in choices:
            person.set_consent(channel, at, granted)
        assert MOST_CHANNELS + 1 == len(person.consent)
        assert not person.may_contact("email", default=True)
        seen.add(tuple(person.consent))
    assert 1 == len(seen)


def test_an_unsubscribe_is_a_refusal() -> None:
    """The outcome "unsubscribed" forbids the channel that it names, or all of them."""
    for channel, left in (("email", True), ("", False)):
        customer = Customer()
        customer.apply(
            kinds.Outcome(
                message_id="m", customer="c", time_ms=DAY, action_id="a", status="unsubscribed", channel=channel
            ),
            SETTINGS,
        )
        assert not customer.person.may_contact("email", default=True)
        assert left == customer.person.may_contact("sms", default=True)


def test_complaints_open_close_and_open_again() -> None:
    """A complaint is open from its latest opening until a resolution at or after it, whichever arrives first."""
    person = Person()
    person.resolve_complaint(1, 50)

    assert [] == person.open_complaints()
    person.open_complaint(1, 40)
    assert [] == person.open_complaints()
    person.open_complaint(1, 60)
    assert [60] == person.open_complaints()
    person.open_complaint(2, 55)
    assert [55, 60] == person.open_complaints()
    for key in range(100, 160):
        person.open_complaint(key, key)
    assert MOST_COMPLAINTS == len(person.complaints)
    assert list(person.complaints) == sorted(person.complaints)


def test_answers_are_the_newest_ones() -> None:
    """Only so many answers stay, by event time; the last is the last by event time."""
    customer = Customer()
    for number in range(40):
        at = DAY + (number * 7919) % 40 * 1000
        customer.apply(kinds.NpsGiven(message_id=f"n{number}", customer="c", time_ms=at, score=number % 11), SETTINGS)
    times = [answer.time_ms for answer in customer.person.nps]

    assert [DAY + n * 1000 for n in range(40 - MOST_FEEDBACK, 40)] == times


@st.composite
def voices(draw: st.DrawFn) -> list[Event]:
    """Feedback, traits, consent and complaints, few enough for the memory."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, 25))):
        at = DAY * 100 + draw(st.integers(0, 6)) * 1000
        common: dict[str, Any] = {"message_id": f"m{number}", "customer": "c", "time_ms": at}
        channel = draw(st.sampled_from(["*", "email", "sms", "push"]))
        region = draw(st.sampled_from(["", "GB", "DE"]))
        case = f"k{draw(st.integers(0, 4))}"
        score = draw(st.integers(1, 5))
        events.append(
            draw(
                st.sampled_from(
                    [
                        kinds.NpsGiven(**common, score=score),
                        kinds.CsatGiven(**common, score=score),
                        kinds.Reviewed(**common, rating=score - 1.0),
                        kinds.ComplaintOpened(**common, complaint_id=case),
                        kinds.ComplaintResolved(**common, complaint_id=case),
                        kinds.ConsentChanged(**common, consent_channel=channel, granted=score > 2),
                        kinds.Identified(**common, region=region, level=channel, consent=((channel, True),)),
                    ]
                )
            )
        )
    return events


@given(voices(), st.randoms(use_true_random=False))
def test_voices_arrive_in_any_order(events: list[Event], rng: random.Random) -> None:
    """The record's bytes are the same for every order of arrival and every repetition."""
    in_order, shuffled = Customer(), Customer()
    for event in events:
        in_order.apply(event, SETTINGS)
    arriving = events + rng.choices(events, k=len(events))
    rng.shuffle(arriving)
    for event in arriving:
        shuffled.apply(event, SETTINGS)

    assert encode(in_order) == encode(shuffled)
