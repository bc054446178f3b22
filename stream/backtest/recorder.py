"""What a player publishes, kept as far as a comparison needs it: the decisions of one version, and a few counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stream.actions.decision import Decision
from stream.actions.message import Message, Stream
from stream.backtest.made import PUBLISHED, Made, costs_of, made_of
from stream.config import Settings
from stream.experiments.tally import Tally
from stream.governance.policy import channel_costs
from stream.outcome import Telemetry
from stream.replay.spill import Block, Spill
from stream.rules.rule import RuleSet

DECISIONS_MEMORY_BYTES = 64 << 20
"""Decisions of a version that a process keeps before it writes them to disk. Larger: memory; smaller: more runs to merge."""
_ROW_BYTES = 300


class Recorder:
    """Stands where a replay has its `stream.replay.outputs.Outputs`."""

    def __init__(self, path: Path, rules: RuleSet, settings: Settings) -> None:
        self._costs = costs_of(rules, channel_costs(settings.channel_costs))
        self._decisions = Spill(path, DECISIONS_MEMORY_BYTES)
        self._offers: dict[int, tuple[Any, str]] = {}
        """By identity; the offer is kept, so that no other object takes its place."""
        self.counts: Counter[str] = Counter()
        """``events``, ``customers``, ``dead_letters``: the same in both versions, as rules decide neither."""
        self.refused_lines: set[bytes] = set()
        """Lines that were no part of history although they could be read: emptied by whoever has looked."""
        self.refused: list[tuple[int, str, str]] = []
        self.repeats = 0
        self.quality: dict[str, Any] = {}
        self.tallies: list[Tally] = []
        self.until_ms: int | None = None

    def message(self, message: Message) -> None:
        """A message that the processor published."""
        if message.stream is Stream.ACTIONS or message.stream is Stream.SUPPRESSIONS:
            self._decisions.add((message.key or b"").decode(), made_of(message.value or b"", self._costs), _ROW_BYTES)
        elif message.stream is Stream.DEAD_LETTERS:
            self.counts["dead_letters"] += 1
            self.refused_lines.add(message.value or b"")

    def decided(self, at_ms: int, decisions: Iterable[Decision]) -> None:
        """Decisions of `stream.backtest.brief.BriefEngine`, made at an instant."""
        for d in decisions:
            rule = d.rule
            made = Made(
                rule.id,
                d.action_id,
                at_ms,
                d.verdict == PUBLISHED,
                d.verdict,
                d.reason or "",
                d.channel,
                d.template,
                self._offer(d.offer),
                d.kind,
                d.state.tier,
                rule.version,
                self._costs.of(rule.id, d.experiment.arm, d.channel),
            )
            self._decisions.add(d.customer_id, made, _ROW_BYTES)

    def _offer(self, offer: dict[str, Any] | None) -> str:
        """As JSON. An offer is its rule's, and the same object in all of that rule's decisions."""
        known = self._offers.get(id(offer))
        if known is None:
            known = self._offers[id(offer)] = offer, msgspec.json.encode(offer).decode()
        return known[1]

    def count(self, telemetry: Telemetry) -> None:
        """Adds the figures of one step."""
        for n in telemetry.events.values():
            self.counts["events"] += n
        # Who comes is counted once; who changes tier leaves one and enters another.
        for n in telemetry.customers_by_tier.values():
            self.counts["customers"] += n

    def customers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Nobody reads these here, so they are never made."""

    def scored(self, at_ms: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Nobody asks for scores here."""

    def close(self) -> list[Block]:
        """All decisions are on disk, by customer; this says where."""
        return self._decisions.close()
