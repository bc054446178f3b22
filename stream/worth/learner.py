"""The one who learns values: keeps the panel, fits the models to it now and then, and publishes what everybody values customers with.

A pure fold over the looks of the partitions: the same looks give the same versions, wherever and however often it is restored in between.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from stream.errors import StateError
from stream.worth.courses import MOST_MEMBERS, Courses, CoursesState
from stream.worth.model import ValueModel
from stream.worth.panel import ALL, Look, pack, unpack

FIT_EVERY_DAYS: Final = 7
"""Rarer: a young shop is valued by how it began; more often: some 50 ms of the owner of the version each time, for parameters that
have hardly moved."""
TOP_SHARE: Final = 0.2
"""Of the living buyers are of the highest value."""
TOP_OF: Final = 500
"""Members whose values say where the highest begin: the border is right to 2 percentage points. More: 20 µs each, at every fit."""
LIVING_DAYS: Final = 365


class State(msgspec.Struct, kw_only=True):
    """All of a learner's state. Plain numbers: reading one can't run anything."""

    members: bytes = b""
    below: int = ALL
    model: ValueModel = ValueModel()
    courses: CoursesState = CoursesState()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


class Learner:
    """Keeps ``most`` members; 0 switches values off."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._members: dict[int, Look] = {}
        self.below = ALL if most else 0
        """Keys from here on never get into the panel."""
        self._followed_below = ALL
        self._model = ValueModel()
        self._courses = Courses()

    def learn(self, days: Mapping[int, Iterable[Look]]) -> None:
        """Takes the looks of some days, in canonical order whatever the order they come in."""
        for day in sorted(days):
            looks = [look for look in sorted(days[day], key=_canonical) if look.key < self.below]
            for look in looks:
                self._members[look.key] = look
            self._courses.learn(looks, self._followed_below)
            if len(self._members) > self._most:
                kept = sorted(self._members)[: self._most]
                self._members = {key: self._members[key] for key in kept}
                self.below = kept[-1] + 1 if kept else 0
            if len(self._members) > MOST_MEMBERS:
                self._followed_below = min(self._followed_below, sorted(self._members)[MOST_MEMBERS - 1] + 1)
                self._courses.leave(self._followed_below)

    def freeze(self, day: int) -> ValueModel:
        """The version that holds from the start of UTC day ``day``. The last good models stay when others can't be found."""
        model = self._model
        if self._most and (model.fitted_day < 0 or day - 1 - model.fitted_day >= FIT_EVERY_DAYS):
            self._model = self._fitted(model, day)
        if self._most:
            self._model = msgspec.structs.replace(self._model, forecast=self._courses.freeze())
        return self._model

    def state(self) -> bytes:
        """Everything that is needed to go on."""
        members = pack(self._members[key] for key in sorted(self._members))
        return _encoder.encode(
            State(members=members, below=self.below, model=self._model, courses=self._courses.state())
        )

    def restore(self, state: bytes) -> None:
        """Goes on where a state was made; of a larger panel than is kept now the rest leaves with the next looks.

        Raises `StateError` when it can't be read.
        """
        if not state:
            return
        try:
            saved = _decoder.decode(state)
            members = unpack(saved.members)
        except (msgspec.DecodeError, struct.error) as error:
            raise StateError(f"the state of the models of value can't be read: {error}") from error
        self._members = {look.key: look for look in members}
        self.below = min(saved.below, self.below)
        self._model = saved.model
        if len(members) > MOST_MEMBERS:
            self._followed_below = sorted(self._members)[MOST_MEMBERS - 1] + 1
        self._courses.restore(saved.courses, saved.model.forecast)

    # -- inside

    def _fitted(self, model: ValueModel, day: int) -> ValueModel:
        from stream.worth.fitting import LEAST_CUSTOMERS, LEAST_REPEATERS, fit_rates, fit_spending

        members = [self._members[key] for key in sorted(self._members)]
        repeaters = sum(look.repeats > 0 for look in members)
        if model.rates is None and (len(members) < LEAST_CUSTOMERS or repeaters < LEAST_REPEATERS):
            why = f"{len(members)} of {LEAST_CUSTOMERS} customers in the panel, {repeaters} of {LEAST_REPEATERS} of them bought again"
            return msgspec.structs.replace(model, customers=len(members), abstained=why)
        histories = [look.history for look in members]
        rates = fit_rates(histories, model.rates) or model.rates
        spending = fit_spending(histories, model.spending) or model.spending
        fitted = rates is not None and spending is not None
        found = ValueModel(
            fitted_day=day - 1,
            customers=len(members),
            rates=rates,
            spending=spending,
            forecast=model.forecast,
            abstained="" if fitted else "no maximum of the likelihood was found yet",
        )
        living = [look for look in members[:TOP_OF] if look.age_days - look.last_days + day - look.day < LIVING_DAYS]
        values = sorted(value for look in living if (value := found.value_minor(look.history)) is not None)
        if not values:
            return found
        return msgspec.structs.replace(
            found, top_minor=values[min(len(values) - 1, round(len(values) * (1 - TOP_SHARE)))]
        )


def _canonical(look: Look) -> tuple[int, int]:
    return look.day, look.key
