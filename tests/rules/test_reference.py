"""What is generated about rules is current, and the schema accepts what the loader accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from stream.errors import RuleFileError
from stream.rules.loader import load_rules, parse_rules
from stream.rules.reference import TABLES, fill
from stream.rules.rule_file import rule_schema
from tests.rules.regenerate import DOCS, ROOT

LIBRARY = sorted((ROOT / "stream" / "rules" / "library").glob("*.yaml"))
HINT = "bring it up to date: uv run python -m tests.rules.regenerate"


def test_the_tables_in_the_docs_are_current() -> None:
    """Every generated table is in the page, and says what the code says."""
    page = DOCS.read_text(encoding="utf-8")

    assert fill(page) == page, HINT
    for name in TABLES:
        assert f"<!-- generated: {name} -->" in page


def test_the_examples_in_the_docs_are_true() -> None:
    """The rule in the page loads, and the mistakes that it shows are what is said about such mistakes."""
    page = DOCS.read_text(encoding="utf-8")
    rule, shown = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)[0] for kind in ("yaml", "text"))
    wrong = (
        rule.replace("after: 2h", "after: 2 hours").replace("cart_open ", "cart_opn ").replace("email  ", "e-mail  ")
    )
    with pytest.raises(RuleFileError) as caught:
        parse_rules({"rules/cart-abandoned.yaml": wrong})

    assert ["cart-abandoned"] == [rule.id for rule in parse_rules({"cart-abandoned.yaml": rule}).rules]
    assert shown == f"{caught.value}\n"


def test_every_rule_that_the_docs_show_is_one() -> None:
    """The journey too; what is only a part of a rule doesn't begin with an id."""
    page = DOCS.read_text(encoding="utf-8")
    shown = [
        text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if re.search(r"^id: ", text, re.MULTILINE)
    ]
    names = [re.findall(r"^id: (\S+)", text, re.MULTILINE)[0] for text in shown]
    found = [parse_rules({f"{name}.yaml": text}).rules[0] for name, text in zip(names, shown, strict=True)]

    assert {"cart-abandoned", "first-weeks"} <= {rule.id for rule in found}
    assert any(rule.journey is not None for rule in found)
    assert any(rule.channels for rule in found)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_shipped_rules_fit_the_schema_and_name_it(path: Path) -> None:
    """An editor that opens a shipped rule finds its schema and no mistakes."""
    text = path.read_text(encoding="utf-8")
    schema = rule_schema()
    Draft202012Validator.check_schema(schema)

    assert "# yaml-language-server: $schema=../../../schemas/rule.schema.json" == text.splitlines()[0]
    assert [] == [error.message for error in Draft202012Validator(schema).iter_errors(yaml.safe_load(text))]


def test_every_shipped_rule_has_a_scenario_and_a_source() -> None:
    """No rule without a golden script that a marketer can read, nor without the feature it serves."""
    scenarios = {path.stem for path in (ROOT / "tests" / "rules" / "scenarios").glob("*.yaml")}

    assert set() == {rule.id for rule in load_rules().rules} - scenarios
    assert all(rule.source for rule in load_rules().rules)
