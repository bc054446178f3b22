"""What a customer said and allowed: traits, consent, feedback, complaints, and the days they were active.

Every register keeps the value of the latest event time (ties by value), so that order of arrival never matters.
Source: MISSION A1, B3, B4, E8.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence

import msgspec

from stream.state.ordered import put
from stream.state.part import NOTHING, AtRest, empty, part

MOST_FEEDBACK = 16
"""Answers kept of each kind. Fewer: no trend can be read; more: a survey bot grows the record."""
MOST_COMPLAINTS = 16
"""Complaints kept, newest first. Same trade."""
MOST_CHANNELS = 40
"""Consent channels kept besides ``*``, those with the newest choices. A sender could otherwise invent channels without
end; real shops have a handful, so no refusal of theirs is ever forgotten."""
MOST_CONVERSIONS = 16
"""Reported conversions kept, the newest. Same trade."""
ACTIVE_DAYS = 64
"""Days of activity remembered as bits. Must cover the 30-day figures with room for late events."""
ALL_DAYS = (1 << ACTIVE_DAYS) - 1


class Answer(msgspec.Struct, array_like=True, gc=False):
    """One answer: when, the digest of its message id, and its value."""

    time_ms: int
    message: bytes
    value: float


Report = tuple[int, bytes, bytes, int]
"""A reported conversion: when, digest of the action id, digest of the order id (empty: not told), minor units (0: not told)."""


class Voice(msgspec.Struct, array_like=True, gc=False):
    """Feedback of one customer. Most never say anything."""

    nps: list[Answer] = []
    csat: list[Answer] = []
    ratings: list[Answer] = []
    complaints: dict[int, tuple[int, int]] = {}
    """Hash of the complaint id → (opened_ms, resolved_ms); 0 means not seen."""
    reach: dict[str, tuple[int, int, int]] = {}
    """Channel → (bounced_ms, answered_ms, answers): the latest bounce, the latest sign that somebody is there, how many signs."""
    engaged_ms: int = 0
    """When the customer last opened or clicked a message, or followed one to a purchase."""
    conversions: list[Report] = []
    """What was reported, ascending."""


class Person(msgspec.Struct, array_like=True, gc=False):
    """Traits, consent, feedback and activity of one customer."""

    created_ms: int = 0
    """Event time of the earliest event of this customer."""
    last_activity_ms: int = 0
    """Event time of the latest thing that the customer did (not what was done to them)."""
    active_day: int = 0
    active_bits: int = 0
    """Bit i: active on UTC day ``active_day`` − i."""
    _traits: AtRest = empty(dict)
    _consent: AtRest = empty(dict)
    _voice: AtRest = NOTHING

    @part
    def traits(self) -> dict[str, tuple[int, str]]:  # type: ignore[empty-body]
        """Trait → (time_ms, value): region, language, timezone, birthday, level, membership_expires, referred_by."""

    @part
    def consent(self) -> dict[str, tuple[int, bool]]:  # type: ignore[empty-body]
        """Channel (or ``*``) → (time_ms, granted)."""

    @part
    def voice(self) -> Voice | None:
        """Feedback, ``None`` until there is some."""

    @property
    def nps(self) -> Sequence[Answer]:
        """NPS answers, ascending by time."""
        voice = self.voice
        return voice.nps if voice is not None else ()

    @property
    def csat(self) -> Sequence[Answer]:
        """CSAT answers, ascending by time."""
        voice = self.voice
        return voice.csat if voice is not None else ()

    @property
    def ratings(self) -> Sequence[Answer]:
        """Product ratings, ascending by time."""
        voice = self.voice
        return voice.ratings if voice is not None else ()

    @property
    def complaints(self) -> Mapping[int, tuple[int, int]]:
        """Hash of the complaint id → (opened_ms, resolved_ms); 0 means not seen."""
        voice = self.voice
        return voice.complaints if voice is not None else {}

    def speaks(self) -> Voice:
        """The feedback, to be added to."""
        voice = self.voice
        if voice is None:
            voice = self.voice = Voice()
        return voice

    def set_trait(self, name: str, time_ms: int, value: str) -> None:
        """Remembers a trait unless a later event has said otherwise."""
        traits = self.traits
        if value and (name not in traits or (time_ms, value) > traits[name]):
            put(traits, name, (time_ms, value))

    def trait(self, name: str) -> str:
        """The value of a trait, empty when unknown."""
        known = self.traits.get(name)
        return "" if known is None else known[1]

    def set_consent(self, channel: str, time_ms: int, granted: bool) -> None:
        """Remembers a choice; at the same instant a refusal wins over a permission."""
        consent = self.consent
        known = consent.get(channel)
        if known is not None and (time_ms, not granted) <= (known[0], not known[1]):
            return
        put(consent, channel, (time_ms, granted))
        if len(consent) > MOST_CHANNELS:
            named = [name for name in consent if name != "*"]
            if len(named) > MOST_CHANNELS:
                del consent[min(named, key=lambda name: (consent[name][0], name))]

    def may_contact(self, channel: str, default: bool) -> bool:
        """May this customer be contacted on a channel? The later of the channel's and the general choice counts.

        >>> person = Person(); person.set_consent("*", 10, True); person.set_consent("sms", 20, False)
        >>> person.may_contact("email", False), person.may_contact("sms", True)
        (True, False)
        """
        consent = self.consent
        choices = [consent[c] for c in (channel, "*") if c in consent]
        if not choices:
            return default
        return max(choices, key=lambda choice: (choice[0], not choice[1]))[1]

    def reach(self, channel: str) -> tuple[int, int]:
        """When the latest message on a channel bounced, and when the customer last answered one; 0 for never."""
        voice = self.voice
        bounced_ms, answered_ms, _ = (0, 0, 0) if voice is None else voice.reach.get(channel, (0, 0, 0))
        return bounced_ms, answered_ms

    def answers(self, channel: str) -> int:
        """How often the customer has opened, clicked or followed a message on a channel."""
        voice = self.voice
        return 0 if voice is None else voice.reach.get(channel, (0, 0, 0))[2]

    def reached(self, channel: str, time_ms: int, *, bounced: bool = False, answered: bool = False) -> None:
        """A message on a channel came back, was delivered, or was answered."""
        known = self.speaks().reach
        bounced_ms, answered_ms, answers = known.get(channel, (0, 0, 0))
        if bounced:
            bounced_ms = max(bounced_ms, time_ms)
        else:
            answered_ms = max(answered_ms, time_ms)
        put(known, channel, (bounced_ms, answered_ms, answers + answered))

    @property
    def engaged_ms(self) -> int:
        """When the customer last opened or clicked a message, or followed one to a purchase; 0 for never."""
        voice = self.voice
        return 0 if voice is None else voice.engaged_ms

    @property
    def conversions(self) -> Sequence[Report]:
        """Purchases that actions are reported to have led to, ascending by time."""
        voice = self.voice
        return voice.conversions if voice is not None else ()

    def engaged(self, time_ms: int) -> None:
        """The customer answered a message."""
        voice = self.speaks()
        voice.engaged_ms = max(voice.engaged_ms, time_ms)

    def converted(self, report: Report) -> None:
        """An action is reported to have led to a purchase."""
        known = self.speaks().conversions
        if report not in known:
            insort(known, report)
            del known[:-MOST_CONVERSIONS]

    def open_complaint(self, key: int, time_ms: int) -> None:
        """A complaint was opened, or opened again after it was resolved; the latest opening counts."""
        opened, resolved = self.complaints.get(key, (0, 0))
        self._keep_complaint(key, max(opened, time_ms), resolved)

    def resolve_complaint(self, key: int, time_ms: int) -> None:
        """A complaint was resolved, perhaps before we heard of its opening; the latest resolution counts."""
        opened, resolved = self.complaints.get(key, (0, 0))
        self._keep_complaint(key, opened, max(resolved, time_ms))

    def open_complaints(self) -> list[int]:
        """Opening instants of complaints that are still open, oldest first."""
        complaints = self.complaints
        if not complaints:
            return []
        return sorted(opened for opened, resolved in complaints.values() if opened and resolved < opened)

    def seen(self, time_ms: int) -> None:
        """Something about the customer happened at this instant."""
        if not self.created_ms or time_ms < self.created_ms:
            self.created_ms = time_ms

    def active(self, time_ms: int, day: int) -> None:
        """The customer did something at this instant, on this UTC day; so something happened."""
        last_ms = self.last_activity_ms
        if not last_ms or time_ms <= last_ms:
            self.seen(time_ms)
        if time_ms > last_ms:
            self.last_activity_ms = time_ms
            if day == self.active_day and self.active_bits:
                return
        if day > self.active_day:
            self.active_bits = later_activity(self.active_bits, day - self.active_day)
            self.active_day = day
        elif self.active_day - day < ACTIVE_DAYS:
            self.active_bits |= 1 << (self.active_day - day)

    def active_days(self, day: int, days: int = 30) -> int:
        """Distinct UTC days with activity among the ``days`` days up to and with ``day``."""
        age = day - self.active_day
        if age >= days:
            return 0
        bits = self.active_bits >> -age if age < 0 else self.active_bits & ((1 << (days - age)) - 1)
        return (bits & ((1 << days) - 1)).bit_count()

    def _keep_complaint(self, key: int, opened: int, resolved: int) -> None:
        complaints = self.speaks().complaints
        put(complaints, key, (opened, resolved))
        if len(complaints) > MOST_COMPLAINTS:
            del complaints[min(complaints, key=lambda k: (max(complaints[k]), k))]


_voice = msgspec.msgpack.Decoder(Voice).decode


def voice_in(voice: AtRest) -> Voice | None:
    """Feedback at rest, opened; ``None`` when there is none."""
    return None if voice == NOTHING else _voice(voice)


def later_activity(bits: int, days: int) -> int:
    """``active_bits`` with activity so many days after the newest that they know of."""
    return (bits << days | 1) & ALL_DAYS if days < ACTIVE_DAYS else 1


def keep_answer(answers: list[Answer], answer: Answer) -> None:
    """Adds an answer, ascending by (time, message), and keeps the newest `MOST_FEEDBACK`."""
    is_newest = not answers or answer.time_ms > answers[-1].time_ms
    answers.append(answer)
    if not is_newest:
        answers.sort(key=lambda a: (a.time_ms, a.message))
    if len(answers) > MOST_FEEDBACK:
        del answers[:-MOST_FEEDBACK]
