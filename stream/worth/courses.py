"""Learns how loyalty goes on, from members of the panel as they were and as they are three months later. Pure.

What was said of a member is judged when the three months are over, and learnt after that (Dawid 1984, prequential). The regression is
Bayesian linear regression (Bishop 2006, section 3.3) by its sufficient statistics, which also tell the drivers, and which can fade: it
is what River's ``BayesianLinearRegression`` learns, which a test proves, but that one can't forget by time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log1p
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.worth.course import AHEAD_DAYS, NAMES, unpack
from stream.worth.forecast import TEN, Driver, Forecast, ahead
from stream.worth.panel import Look

MOST_MEMBERS: Final = 600
"""Whose course is kept, those with the smallest keys. More: 200 bytes of the owner's state each; fewer: it takes longer until the first
forecast, and seasons are learnt from few people."""
APART_DAYS: Final = 28
"""Looks that are kept of a member are so far apart at least. Nearer: more of the same."""
LATE_DAYS: Final = 60
"""So much later than three months a look is still taken for the one that was waited for."""
LEAST_PAIRS: Final = 200
"""Fewer: a handful of customers are the forecast; more: a young shop waits for ever."""
WORTH_IT: Final = 0.98
"""Of the error of saying that nothing changes, the forecast's may be so much at most. Nearer to 1: it is trusted for what may be luck."""
HALF_LIFE_DAYS: Final = 365
"""What is older counts half. Shorter: the season of last year is forgotten."""
WINDOWS: Final = 3
"""Pairs of a member that lie in each other's three months, so that three of them tell about as much as one."""

_CALENDAR: Final = ("spring", "summer", "festivals", "promotions")
VARIANTS: Final = ((), tuple(NAMES.index(name) for name in _CALENDAR), tuple(range(1, len(NAMES))))
"""What each of the forecasts that run side by side leaves out: nothing, the calendar, of which a young shop has seen too little, and
all but the loyalty then. The one with the smallest error is told."""

Floats = NDArray[np.float64]


class Open(msgspec.Struct, array_like=True, gc=False):
    """A member as they were, and what was said then (nothing before there was a forecast)."""

    day: int
    loyalty: float
    spent_minor: int
    values: bytes
    said: tuple[float, ...]
    """By each of `VARIANTS`."""


class CoursesState(msgspec.Struct, array_like=True, frozen=True):
    """All of its state."""

    open: dict[int, list[Open]] = {}
    moments: bytes = b""
    day: int = 0
    errors: tuple[float, ...] = (0.0,) * (len(VARIANTS) + 2)
    weights: tuple[tuple[float, ...], ...] = ()
    names: tuple[str, ...] = NAMES


class Courses:
    """Collects and learns pairs."""

    def __init__(self) -> None:
        self._size = len(NAMES) + 3
        self._open: dict[int, list[Open]] = {}
        self._moments: Floats = np.zeros((self._size, self._size))
        self._day = 0
        self._errors: Floats = np.zeros(len(VARIANTS) + 2)
        """Judged pairs, sums of the distances from what came of what was then, and of what each variant said."""
        self._weights: tuple[tuple[float, ...], ...] = ()
        self.forecast = Forecast()

    def learn(self, looks: Iterable[Look], below: int) -> None:
        """Takes looks in canonical order. Only members with keys below are followed."""
        for look in looks:
            if look.loyalty < 0 or not look.values or look.key >= below:
                continue
            self._fade(look.day)
            waiting = []
            for then in self._open.get(look.key, []):
                over = look.day - then.day - AHEAD_DAYS
                if over < 0:
                    waiting.append(then)
                elif over <= LATE_DAYS:
                    self._take(then, look)
            if not waiting or look.day - waiting[-1].day >= APART_DAYS:
                values = unpack(look.values)
                said = tuple([ahead(weights, look.loyalty, values) for weights in self._weights])
                waiting.append(Open(look.day, look.loyalty, look.spent_minor, look.values, said))
            self._open[look.key] = waiting

    def leave(self, below: int) -> None:
        """Forgets the members that others have crowded out."""
        self._open = {key: waiting for key, waiting in self._open.items() if key < below}

    def freeze(self) -> Forecast:
        """The version that holds from now on."""
        pairs = float(self._moments[0, 0])
        judged, off_unchanged, *offs = self._errors.tolist()
        best = min(range(len(VARIANTS)), key=lambda variant: offs[variant])
        error, error_unchanged = (offs[best] / judged, off_unchanged / judged) if judged else (None, None)
        if pairs >= LEAST_PAIRS / 2:
            self._weights = tuple([_weights(self._moments, without) for without in VARIANTS])
        why = ""
        if pairs < LEAST_PAIRS:
            why = f"{pairs:.0f} of {LEAST_PAIRS} pairs of then and three months later"
        elif judged < LEAST_PAIRS / 2:
            why = f"{judged:.0f} of {LEAST_PAIRS // 2} forecasts judged"
        elif error is not None and error_unchanged is not None and error > WORTH_IT * error_unchanged:
            why = f"it was off by {error:.1f} points, and to say that nothing changes by {error_unchanged:.1f}"
        drivers, noise = _drivers(self._moments) if pairs >= LEAST_PAIRS else ((), 0.0)
        self.forecast = Forecast(
            weights=self._weights[best] if self._weights else (),
            pairs=pairs,
            judged=judged,
            error=error,
            error_unchanged=error_unchanged,
            abstained=why,
            drivers=drivers,
            noise=noise,
        )
        return self.forecast

    def state(self) -> CoursesState:
        """Everything that is needed to go on, besides the forecast."""
        errors = tuple(self._errors.tolist())
        open_ = {key: self._open[key] for key in sorted(self._open)}
        return CoursesState(open_, self._moments.astype("<f8").tobytes(), self._day, errors, self._weights)

    def restore(self, saved: CoursesState, forecast: Forecast) -> None:
        """Goes on where a state was made; one with other features is of no use, and it is begun afresh."""
        if saved.names != NAMES or not saved.moments:
            return
        self._open, self._day, self._errors = saved.open, saved.day, np.array(saved.errors)
        self._weights = saved.weights
        self._moments = np.frombuffer(saved.moments, dtype="<f8").reshape(self._size, self._size).copy()
        self.forecast = forecast

    # -- inside

    def _fade(self, day: int) -> None:
        if day > self._day:
            if self._day:
                weight = 0.5 ** ((day - self._day) / HALF_LIFE_DAYS)
                self._moments *= weight
                self._errors *= weight
            self._day = day

    def _take(self, then: Open, now: Look) -> None:
        if then.said:
            self._errors += (1.0, *[abs(said - now.loyalty) for said in (then.loyalty, *then.said)])
        spent = log1p(max(0, now.spent_minor - then.spent_minor))
        pair = np.array([1.0, *unpack(then.values), (now.loyalty - then.loyalty) / TEN, spent])
        self._moments += np.outer(pair, pair)


def _weights(moments: Floats, without: Sequence[int]) -> tuple[float, ...]:
    """The posterior's mean under a prior of variance 1 for each weight and for the noise; of features left out it is 0."""
    size = len(NAMES) + 1
    used = [0, *(at + 1 for at in range(len(NAMES)) if at not in without)]
    found = np.zeros(size)
    found[used] = np.linalg.solve(moments[np.ix_(used, used)] + np.eye(len(used)), moments[used, size])
    weights: list[float] = found.tolist()
    return tuple(weights)


def _drivers(moments: Floats) -> tuple[tuple[Driver, ...], float]:
    """Strengths from the moments; the loyalty to come is loyalty then plus its change."""
    pairs = float(moments[0, 0])
    # The last column but one becomes the loyalty to come, in units of ten points.
    to_level = np.eye(len(moments))
    to_level[1, -2] = TEN
    moments = to_level.T @ moments @ to_level
    means = moments[0] / pairs
    spread = moments[1:, 1:] / pairs - np.outer(means[1:], means[1:])
    deviation = np.sqrt(np.maximum(spread.diagonal(), 0.0))
    moved = deviation > 1e-6
    scale = np.where(moved, deviation, 1.0)
    correlation = np.where(np.outer(moved, moved), spread / np.outer(scale, scale), 0.0)
    many = len(NAMES)
    firm = correlation[:many, :many] + np.eye(many) / pairs + np.diag(np.where(moved[:many], 0.0, 1.0))
    beside_value = np.linalg.solve(firm, correlation[:many, -1])
    beside_loyalty = np.concatenate(([0.0], np.linalg.solve(firm[1:, 1:], correlation[1:many, -2])))
    rows = zip(NAMES, correlation[:many, -2], beside_loyalty, correlation[:many, -1], beside_value, strict=True)
    drivers = [Driver(name, *(round(float(figure), 4) for figure in figures)) for name, *figures in rows]
    drivers.sort(key=lambda each: (-max(abs(each.loyalty), abs(each.value)), each.feature))
    return tuple(drivers), round(1.96 / (pairs / WINDOWS) ** 0.5, 4)
