"""`winback rules`: every mistake at once, and a list that a marketer can read."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from stream.cli import main
from stream.rules.loader import load_rules

RULE = """\
id: {name}
version: 1
description: Nobody stays forgotten.
when: {{since: last_purchase, after: {after}}}
if: {condition}
then: {{action: offer, channel: sms, template: back, offer: {{kind: percent, value: 15, valid_for: 7d}}}}
priority: 50
expires_after: 3d
"""


def call(*arguments: object, **environment: str) -> Result:
    """The command as the shell would call it."""
    return CliRunner().invoke(main, ["rules", *map(str, arguments)], env=environment)


def write(folder: Path, name: str, after: str = "45d", condition: str = "customer.recency_days > 40") -> None:
    """A rule file, right or wrong."""
    (folder / f"{name}.yaml").write_text(RULE.format(name=name, after=after, condition=condition))


def test_the_library_is_fine() -> None:
    """Without a folder it is about the rules that come with Winback."""
    result = call("check")

    assert (0, f"{len(load_rules().rules)} rules are fine\n") == (result.exit_code, result.stdout)


def test_every_mistake_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    """With file, line and column, a suggestion, and exit code 1."""
    write(tmp_path, "one", after="45 days")
    write(tmp_path, "two", condition="customer.recency_dayz > 40")
    write(tmp_path, "three")
    result = call("check", tmp_path)

    assert (1, "") == (result.exit_code, result.stdout)
    assert "2 problems in the rule files" in result.stderr
    assert f"{tmp_path}/one.yaml:4:" in result.stderr
    assert f"{tmp_path}/two.yaml:5:5" in result.stderr
    assert "did you mean customer.recency_days?" in result.stderr


def test_the_setting_names_the_folder_unless_it_is_given(tmp_path: Path) -> None:
    """As with a worker."""
    write(tmp_path, "mine")

    assert "1 rule is fine\n" == call("check", WINBACK_RULES_DIR=str(tmp_path)).stdout
    assert 1 == call("check", tmp_path / "missing", WINBACK_RULES_DIR=str(tmp_path)).exit_code


def test_the_list_says_what_each_rule_does(tmp_path: Path) -> None:
    """A rule is a line when nobody watches: when it is asked, if what, what it does, by which channel, how important."""
    write(tmp_path, "mine")
    mine, library = call("list", tmp_path).stdout.splitlines(), call("list").stdout

    assert 2 == len(mine)
    for part in (
        "mine",
        "45d after the last purchase",
        "customer.recency_days > 40",
        "offer, 15 % for 7d",
        "sms",
        "50",
    ):
        assert part in mine[1]
    assert [rule.id for rule in sorted(load_rules().rules, key=lambda rule: (-rule.priority, rule.id))] == [
        line.split()[0] for line in library.splitlines()[1:]
    ]
