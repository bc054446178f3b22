"""The README tells the truth: its tables are current, its session prints what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
from click.testing import CliRunner

from stream.cli import main
from stream.readme import rewritten
from stream.rules.loader import parse_rules

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_tables_are_current() -> None:
    """Topics, settings and metrics are those of the code; `python -m stream.readme` rewrites them."""
    assert rewritten(TEXT) == TEXT


def test_the_session_is_real(tmp_path: Path) -> None:
    """Replaying the example events gives the counts and the action that the README shows."""
    example = str(README.parent / "docs/examples/events.jsonl")
    result = CliRunner().invoke(main, ["replay", example, "--out", str(tmp_path), "--until", "2026-06-05"])
    assert result.exit_code == 0, result.output

    shown = orjson.loads(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0])
    actions = [orjson.loads(line) for line in (tmp_path / "actions.jsonl").read_bytes().splitlines()]
    (action,) = [a for a in actions if a["action_id"] == shown["action_id"]]
    counts = re.sub(r" in [\d.]+ s", "", result.stdout.splitlines()[0])
    assert counts.startswith("5 events of 2 customers: ")
    assert counts in re.sub(r" in [\d.]+ s", "", TEXT)
    assert _within(shown, action)


def test_the_rule_is_one() -> None:
    """The rule that the README shows loads."""
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)

    assert ["cart-abandoned"] == [rule.id for rule in parse_rules({"cart-abandoned.yaml": text}).rules]


def _within(part: object, whole: object) -> bool:
    """Is everything in ``part`` in ``whole`` too?"""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(_within(a, b) for a, b in zip(part, whole, strict=True))
    return part == whole
