"""Between the quality room and the processor: looks for suspects and sums up figures, at the visits that every buyer gets anyway."""

from __future__ import annotations

from collections.abc import Mapping

from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.outcome import Outcome
from stream.quality.means import Means, Sums, add, imputed, own
from stream.quality.suspicion import Usual, in_words, suspicion
from stream.state.memory import Memory
from stream.state.profile import Profile


class Watch:
    """Looks at customers under one shop's settings, by what is usual in the version in force."""

    def __init__(self, settings: Settings) -> None:
        self._is_on = settings.suspects == "watch"
        self._has_means = settings.missing_figures == "mean"
        self.usual = Usual()
        self.means: Means = {}
        self.sums: Sums = {}
        """Not contributed yet."""

    def look(self, profile: Profile, memory: Memory, at_ms: int, out: Outcome) -> str | None:
        """One visit: judges a customer, and counts the figures of who is no suspect. Returns what is to be told of a customer who has
        become one or is one no longer, in words; mostly ``None``."""
        told = None
        reason = suspicion(profile.customer, at_ms, at_ms // DAY_MS, self.usual) if self._is_on else ""
        if reason != memory.suspect:
            out.telemetry.suspects[reason or "cleared",] += 1
            memory.suspect = reason
            told = in_words(reason, profile.customer, profile.day, self.usual)
        if self._has_means and not memory.suspect:
            add(self.sums, profile.tier, own(profile))
        return told

    def stand_ins(self, profile: Profile) -> Mapping[str, float]:
        """Means of the tier for what the customer lacks."""
        return imputed(self.means, profile) if self.means else {}
