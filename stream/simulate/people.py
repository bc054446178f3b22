"""Who shops: kinds of buyers, and the single customer with a cycle and a date of leaving."""

from __future__ import annotations

from math import log
from random import Random
from typing import NamedTuple
from zlib import crc32

from stream.events.instants import DAY_MS
from stream.simulate.catalogue import BY_CATEGORY, PLACES


class Persona(NamedTuple):
    """A kind of buyer. ``share`` of the customers; ``cycle_days`` (low, high) between orders; ``spread`` of one
    customer's own gaps (log-normal sigma); ``life_days`` mean time until they leave; ``visits`` without buying per order;
    ``basket`` mean number of articles."""

    name: str
    share: float
    cycle_days: tuple[float, float]
    spread: float
    life_days: float
    visits: float
    basket: float


PERSONAS: tuple[Persona, ...] = (
    Persona("once", 0.34, (30.0, 60.0), 0.3, 0.0, 2.0, 1.3),
    Persona("weekly", 0.12, (6.0, 10.0), 0.15, 420.0, 1.5, 2.2),
    Persona("monthly", 0.30, (22.0, 38.0), 0.2, 360.0, 3.0, 1.8),
    Persona("seasonal", 0.24, (55.0, 95.0), 0.35, 420.0, 5.0, 1.6),
)
"""About a third buy once, as in most shops; the others have a cycle of their own and leave sooner or later."""

FADE_CYCLES = 2.0
"""In the last cycles before leaving, gaps grow and moods sink: the signal that a churn model can find. Longer: the model
has it easy. None: leaving would be a coin toss that nobody can predict."""


VISIT_MS = 1_800_000
"""No visit takes longer from its start to its order. Nobody starts buying later than this before they leave."""


CHANNELS = ("web", "app", "pos", "web", "app")
"""Where shoppers buy, as many of each as their share. Whoever buys in the store looks things up on the web."""


class Shopper:
    """One customer of the shop, and what will become of them.

    ``churn_ms`` is the first instant from which they never order again, in life time, which in history is event time.
    """

    __slots__ = ("categories", "channel", "churn_ms", "cycle_ms", "device", "id", "joined_ms", "known", "last_order_ms", "name",
                 "persona", "place")  # fmt: skip

    def __init__(self, rng: Random, number: int, joined_ms: int) -> None:
        draw = rng.random()
        persona = PERSONAS[-1]
        for candidate in PERSONAS:
            if draw < candidate.share:
                persona = candidate
                break
            draw -= candidate.share
        low, high = persona.cycle_days
        self.id = f"C-{number:06d}"
        self.channel = CHANNELS[crc32(self.id.encode()) % len(CHANNELS)]
        self.device = f"d-{rng.getrandbits(40):010x}"
        self.persona = persona
        self.joined_ms = joined_ms
        self.cycle_ms = int((low + (high - low) * rng.random()) * DAY_MS)
        life_ms = -log(1.0 - rng.random()) * persona.life_days * DAY_MS
        # Someone who buys once has left with the first order; the others stay for one cycle at least.
        self.churn_ms = joined_ms + VISIT_MS if persona.life_days == 0.0 else joined_ms + self.cycle_ms + int(life_ms)
        self.place = PLACES[min(int(rng.random() ** 1.6 * len(PLACES)), len(PLACES) - 1)]
        first, last = (rng.choice(self.place.first_names), rng.choice(self.place.last_names))
        self.name = f"{last}{first}" if self.place.language == "zh" else f"{first} {last}"
        self.categories = rng.sample(BY_CATEGORY, 2)
        self.known = False
        self.last_order_ms = -1

    def fading(self, life_ms: int) -> bool:
        """Whether leaving is near."""
        return life_ms > self.churn_ms - FADE_CYCLES * self.cycle_ms and self.persona.life_days > 0.0
