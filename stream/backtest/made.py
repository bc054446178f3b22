"""A decision with as much of it as a comparison needs, read off the message that the processor published."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from stream.events.instants import parse_ms
from stream.rules.experiment import CONTROL, DEFAULT
from stream.rules.rule import RuleSet

PUBLISHED = "publish"
"""The verdict on an action that goes out; every other one holds it back."""


class Made(NamedTuple):
    """One decision of one version. The first fields are what decisions of a customer are sorted by."""

    rule: str
    action_id: str
    at_ms: int
    sent: int
    """1 when it went out, 0 when it was held back."""
    verdict: str
    reason: str
    """Why it was held back; empty when it went out."""
    channel: str
    template: str
    offer: str
    """The offer as JSON."""
    kind: str
    """What is to be done: a reminder, an offer, …"""
    tier: str
    rule_version: int
    cost_minor: int


class _Rule(msgspec.Struct, gc=False):
    id: str
    version: int


class _State(msgspec.Struct, gc=False):
    tier: str


class _Arm(msgspec.Struct, gc=False):
    arm: str


class _Message(msgspec.Struct, gc=False):
    """The fields of a `stream.actions.decision.Decision` that count here."""

    action_id: str
    verdict: str
    reason: str | None
    kind: str
    rule: _Rule
    channel: str
    template: str
    offer: msgspec.Raw
    decided_at: str
    state: _State
    experiment: _Arm


_decode = msgspec.json.Decoder(_Message).decode


class Costs(NamedTuple):
    """What actions cost, in minor units; what has no entry is free."""

    by_arm: Mapping[tuple[str, str], int]
    """(rule, arm of its experiment) → its own `cost_minor`."""
    by_channel: Mapping[str, int]
    """Channel → what a message on it costs besides."""

    def of(self, rule_id: str, arm: str, channel: str) -> int:
        """One action."""
        return self.by_arm.get((rule_id, arm), 0) + self.by_channel.get(channel, 0)


def costs_of(rules: RuleSet, channel_costs: Mapping[str, int]) -> Costs:
    """What the actions of these rules cost."""
    costs = {(rule.id, arm): rule.cost_minor for rule in rules.rules for arm in (DEFAULT, CONTROL)}
    costs.update({(rule.id, v.id): v.cost_minor for rule in rules.rules for v in rule.experiment.variants})
    return Costs({place: cost for place, cost in costs.items() if cost}, channel_costs)


def made_of(value: bytes, costs: Costs) -> Made:
    """The decision in a message."""
    said = _decode(value)
    rule = said.rule
    return Made(
        rule.id,
        said.action_id,
        _instant_ms(said.decided_at),
        said.verdict == PUBLISHED,
        said.verdict,
        said.reason or "",
        said.channel,
        said.template,
        bytes(said.offer).decode(),
        said.kind,
        said.state.tier,
        rule.version,
        costs.of(rule.id, said.experiment.arm, said.channel),
    )


@lru_cache(maxsize=1024)
def _instant_ms(text: str) -> int:
    """What `to_text` wrote; where no calendar reaches it is a number."""
    return int(text.removesuffix("ms")) if text.endswith("ms") else parse_ms(text)
