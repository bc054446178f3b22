"""Praise or blame: a logistic regression over hashed n-grams, learnt online from the ratings that come with texts (MISSION B4).

The learner is River's, on the epoch's owner; everybody else reads its weights. It says nothing before it has heard enough of
both sides, and of a text that it can't tell it says that.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from math import exp, fsum, sqrt
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.feedback.text import BITS, codes_of

if TYPE_CHECKING:
    from river.linear_model import LogisticRegression

LEAST_TEXTS = 100
"""Rated texts of each side before anything is told. Fewer: a few customers' words are the model; more: small shops wait."""
UNCLEAR = 0.2
"""A text this near to even is unclear. Smaller: more are told and more wrongly (of the held-back texts of
`python -m tests.bench sentiment` 18 to 27 % with 0, 12 to 16 % with this); larger: fewer are told."""
LEAST_KNOWN = 0.5
"""Share of a text's n-grams that must have been heard before. Smaller: another language is told by accident; larger: long words
are never told."""
PRAISE, BLAME = 4.0, 2.0
"""Ratings from which on, and down to which, a text is praise or blame. In between it is neither, and teaches nothing."""
_RATE, _BIAS_RATE = 1.0, 0.1
"""Learning rates. Larger: the last texts count too much; smaller: it takes longer. (Of 0.3 and 3 each is up to 3 points worse on the bench.)"""
_FADE = 0.999
"""What a judged text counts for in the accuracy against the next one: the last thousand or so."""


class Heard(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rated text on its way to the learner, without its words. Sorted by ``(time_ms, customer, drawn)``."""

    time_ms: int
    customer: str
    drawn: int
    """Of its message's digest: the smallest are learnt from when there are too many."""
    praise: bool
    told: float
    """What was said of it before, `UNTOLD` when nothing was."""
    grams: bytes


UNTOLD = -1.0


class State(msgspec.Struct, kw_only=True):
    """All that the learner knows, and what readers need."""

    weights: bytes = b""
    """float32 of each hash, compressed."""
    intercept: float = 0.0
    praised: int = 0
    blamed: int = 0
    judged: float = 0.0
    """Rated texts of which something could have been said, each counting less the longer ago."""
    told: float = 0.0
    """Of them, those of which something was."""
    right: float = 0.0
    """Of these, the right ones."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Quality(msgspec.Struct, frozen=True):
    """How good the sentiment is, judged on ratings that it hadn't seen."""

    labels: int
    told: float
    """Share of rated texts of which something was told."""
    accuracy: float
    """Share of these that was right."""


class Sentiment:
    """One version of what is known; opened when there is a text."""

    def __init__(self, data: bytes = b"") -> None:
        self._state = _decode(data) if data else State()
        self._weights: NDArray[np.float32] | None = None

    @property
    def quality(self) -> Quality:
        """How good it is."""
        state = self._state
        accuracy = state.right / state.told if state.told else 0.0
        share = state.told / state.judged if state.judged else 0.0
        return Quality(state.praised + state.blamed, share, accuracy)

    @property
    def abstains(self) -> bool:
        """Too little has been heard to tell anything."""
        return min(self._state.praised, self._state.blamed) < LEAST_TEXTS

    def of(self, grams: bytes) -> float:
        """Probability that a text is praise; 0.5 for one in words that were hardly ever heard, `UNTOLD` before enough was."""
        if self.abstains:
            return UNTOLD
        if self._weights is None:
            self._weights = np.frombuffer(zlib.decompress(self._state.weights), "<f4")
        found = self._weights[np.frombuffer(grams, "<u2")].tolist()
        if len(found) - found.count(0.0) < LEAST_KNOWN * len(found) or not found:
            return 0.5
        # Exact, so that no processor's way of adding up tells a text otherwise.
        return round(_sigmoid(fsum(found) / sqrt(len(found)) + self._state.intercept), 4)


def in_a_word(praise: float) -> str:
    """What a probability means.

    >>> [in_a_word(p) for p in (0.9, 0.6, 0.1)]
    ['praise', 'unclear', 'blame']
    """
    if abs(praise - 0.5) <= UNCLEAR:
        return "unclear"
    return "praise" if praise > 0.5 else "blame"


class Learner:
    """Learns rated texts, day by day."""

    def __init__(self, texts_per_day: int) -> None:
        self._most = texts_per_day
        self._state = State()
        self._bytes = b""
        self._weights: NDArray[np.float32] | None = None

    def restore(self, data: bytes) -> None:
        """Goes on from a state."""
        self._state, self._bytes, self._weights = _decode(data) if data else State(), data, None

    def state(self) -> bytes:
        """All that is known, empty while that is nothing."""
        return self._bytes

    def learn(self, days: Mapping[int, Sequence[Heard]]) -> None:
        """Learns the texts of UTC days, whatever the order they come in. What was told of one is judged before it is learnt."""
        chosen = [heard for day in sorted(days) for heard in sorted(days[day], key=_drawn)[: self._most]]
        if not chosen:
            return
        state, weights = self._state, self._known()
        texts = [(heard, codes_of(heard.grams)) for heard in sorted(chosen, key=_canonical)]
        # Goes on from what was published, as whoever takes over does. Weights of other n-grams stay as they are.
        model = _river({code: float(weights[code]) for _, codes in texts for code in codes}, state.intercept)
        for heard, codes in texts:
            if not codes:
                continue
            if heard.told != UNTOLD:
                word = in_a_word(heard.told)
                state.judged = state.judged * _FADE + 1.0
                state.told = state.told * _FADE + (word != "unclear")
                state.right = state.right * _FADE + (word == ("praise" if heard.praise else "blame"))
            model.learn_one(dict.fromkeys(codes, 1.0 / sqrt(len(codes))), heard.praise)
            state.praised += heard.praise
            state.blamed += not heard.praise
        for code, weight in model.weights.items():
            weights[code] = weight
        state.weights, state.intercept = zlib.compress(weights.tobytes(), 1), float(model.intercept)
        self._bytes = _encode(state)

    def _known(self) -> NDArray[np.float32]:
        """The weights by code, to be changed in place."""
        if self._weights is None:
            packed = self._state.weights
            known = np.frombuffer(zlib.decompress(packed), "<f4") if packed else np.zeros(1 << BITS, "<f4")
            self._weights = known.copy()
        return self._weights


def _river(weights: dict[int, float], intercept: float) -> LogisticRegression:
    """River's model with these weights."""
    # River takes 2 s of CPU to import, which a shop without rated texts does without.
    from river import linear_model, optim
    from river.utils import VectorDict

    model = linear_model.LogisticRegression(optimizer=optim.SGD(_RATE), intercept_lr=_BIAS_RATE)
    # River offers no public way to set weights.
    model._weights = VectorDict(weights)  # noqa: SLF001
    model.intercept = intercept
    return model


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, value))))


def _drawn(heard: Heard) -> tuple[int, int, str]:
    return heard.drawn, heard.time_ms, heard.customer


def _canonical(heard: Heard) -> tuple[int, str, int]:
    return heard.time_ms, heard.customer, heard.drawn
