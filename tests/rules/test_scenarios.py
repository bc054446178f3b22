"""Every shipped rule does what its scenarios say, with all other rules at work beside it.

A scenario is a list of steps. ``at`` moves time to an instant and ``wait`` by a duration; ``event`` (with ``properties``,
and ``times`` for several in a row, a second apart) happens then; ``churn`` sets what the churn model says; ``expect``
compares everything decided since the last ``expect`` in order: ``nothing``, ``{action: rule, …}``,
``{suppressed: rule, reason: …}``, ``{ended: journey's rule, as: state}``, or a list of these. Further keys are fields of the published decision; ``because`` is
a part of its explanation. In a file named after a rule only that rule's decisions are compared.
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import yaml

from stream.churn.features import LAYOUT, NAMES
from stream.churn.model import FrozenModel
from stream.churn.quality import UNKNOWN
from stream.config import make_settings
from stream.rules.loader import load_rules
from stream.rules.rule_file import duration_ms
from stream.testing import Shop, message

FOLDER = Path(__file__).parent / "scenarios"
SECOND_MS = 1_000


class Step(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One step; what is written in it happens in the order of these fields."""

    at: datetime | None = None
    wait: str = ""
    churn: float | None = None
    event: str = ""
    times: int = 1
    properties: dict[str, Any] = {}
    expect: str | dict[str, Any] | list[dict[str, Any]] | None = None


class Scenario(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A story about one customer; ``settings`` are Winback's settings."""

    scenario: str
    steps: list[Step]
    customer: str = "ann"
    settings: dict[str, Any] = {}


def constant_model(probability: float) -> FrozenModel:
    """A churn model that gives everybody the same probability: no feature weighs anything."""
    zeros = (0.0,) * len(NAMES)
    return FrozenModel(
        day=0,
        layout=LAYOUT,
        horizon_days=90,
        names=NAMES,
        means=zeros,
        spreads=zeros,
        weights=zeros,
        baseline=math.log(probability / (1.0 - probability)),
        labels=1_000,
        churned=500,
        quality=UNKNOWN,
        abstained="",
        river_version="",
    )


def _scenarios() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for scenario in msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), list[Scenario]):
            found.append(pytest.param(path.stem, scenario, id=f"{path.stem}: {scenario.scenario}"))
    return found


@pytest.mark.parametrize(("rule", "scenario"), _scenarios())
def test_scenario(rule: str, scenario: Scenario) -> None:
    """The scenario's own name is the fact that it proves."""
    _Play(rule, scenario).run()


class _Play:
    """Plays one scenario. Nothing is spread over time, so that every instant is the one that the rule says."""

    def __init__(self, rule: str, scenario: Scenario) -> None:
        self.rules = load_rules()
        self.only = rule if rule in self.rules.by_id else ""
        self.scenario = scenario
        self.shop = Shop(rules=self.rules, settings=make_settings(**{"timer_spread_ms": 0, **scenario.settings}))
        self.now_ms = 0
        self.messages = 0

    def run(self) -> None:
        for number, step in enumerate(self.scenario.steps, 1):
            if step.at is not None:
                self._move(int(step.at.timestamp() * 1_000))
            if step.wait:
                self._move(self.now_ms + duration_ms(step.wait))
            if step.churn is not None:
                self.shop.teach(model=constant_model(step.churn))
            for time in range(step.times if step.event else 0):
                self._move(self.now_ms + (SECOND_MS if time else 0))
                self._send(step)
            if step.expect is not None:
                self._expect(step.expect, f"step {number}")

    def _move(self, to_ms: int) -> None:
        assert to_ms >= self.now_ms, "time only goes forward"
        self.now_ms = to_ms
        self.shop.wait_until(to_ms)

    def _send(self, step: Step) -> None:
        self.messages += 1
        body = message(
            step.event, self.scenario.customer, self.now_ms, message_id=f"m{self.messages}", **step.properties
        )
        if self.scenario.customer.startswith("anon:"):
            body["anonymousId"] = body.pop("userId").removeprefix("anon:")
        self.shop.send_bytes(orjson.dumps(body), self.now_ms)

    def _expect(self, wanted: str | dict[str, Any] | list[dict[str, Any]], step: str) -> None:
        taken = self.shop.take()
        refused = [item for item in taken if item["stream"] == "dead_letters"]
        decided = [item for item in taken if item["stream"] in ("actions", "suppressions")]
        if self.only:
            decided = [item for item in decided if item["rule"]["id"] == self.only]
        expected = [] if wanted == "nothing" else [wanted] if isinstance(wanted, dict) else wanted
        shown = [_shown(item, expected[at] if at < len(expected) else {}) for at, item in enumerate(decided)]  # type: ignore[arg-type]

        assert [] == refused, step
        assert expected == shown, step


def _shown(decision: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """A decision in the words of a scenario, with the fields that are asked for."""
    if decision["stream"] == "actions":
        shown: dict[str, Any] = {"action": decision["rule"]["id"]}
    elif decision["verdict"] == "ended":
        shown = {"ended": decision["rule"]["id"], "as": decision["reason"]}
    else:
        shown = {"suppressed": decision["rule"]["id"], "reason": decision["reason"]}
    for field, value in wanted.items():
        if field == "because":
            text = decision["explanation"]["text"]
            shown[field] = value if value in text else text
        elif field == "offer":
            shown[field] = {key: (decision["offer"] or {}).get(key) for key in value}
        elif field == "tier":
            shown[field] = decision["state"]["tier"]
        elif field not in ("action", "suppressed", "ended", "as", "reason"):
            shown[field] = decision[field]
    return shown
