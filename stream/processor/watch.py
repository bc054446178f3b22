"""Between the quality room and the processor: looks for suspects and sums up figures, at the visits that every buyer gets anyway."""

from __future__ import annotations

from collections.abc import Mapping

from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.outcome import Outcome
from stream.quality.means import Means, Sums, add, imputed, own
from stream.quality.suspicion import Usual, suspicion
from stream.state.memory import Memory
from stream.state.profile import Profile


class Watch:
    """Looks at customers under one shop's settings, by what is usual in the version in force."""

    def __init__(self, settings: Settings) -> None:
        self._is_on = settings.suspects == "watch"
        self.usual = Usual()
        self.means: Means = {}
        self.sums: Sums = {}
        """Not contributed yet."""

    def look(self, profile: Profile, memory: Memory, at_ms: int, out: Outcome) -> None:
        """One visit: judges a customer, and counts the figures of who is none."""
        if self._is_on:
            reason = suspicion(profile.customer, at_ms, at_ms // DAY_MS, self.usual)
            if reason != memory.suspect:
                out.telemetry.suspects[reason or "cleared",] += 1
                memory.suspect = reason
        if not memory.suspect:
            add(self.sums, profile.tier, own(profile))

    def stand_ins(self, profile: Profile) -> Mapping[str, float]:
        """Means of the tier for what the customer lacks."""
        return imputed(self.means, profile) if self.means else {}
