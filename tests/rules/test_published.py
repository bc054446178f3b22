"""What is published, made of what was: versions, floors, mistakes, history."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stream.errors import ConfigurationError, RuleFileError
from stream.rules.difference import difference
from stream.rules.loader import parse_rules
from stream.rules.published import (
    Published,
    RulesVersion,
    Switched,
    decode,
    encode,
    key_of,
    next_version,
    paused,
    rolled_back,
    rule_set,
)
from stream.rules.switches import dry, rehearsed, switched, told

RULE = """\
id: {id}
version: {version}
description: Nobody stays forgotten.
when: {{since: last_purchase, after: {after}}}
if: customer.recency_days > 4
then: {{action: reminder, channel: {channel}, template: back}}
priority: 50
expires_after: 3d
"""


def file(id_: str = "lapsed", version: int = 1, after: str = "45d", channel: str = "email") -> dict[str, str]:
    """One rule file."""
    return {f"{id_}.yaml": RULE.format(id=id_, version=version, after=after, channel=channel)}


OWN = parse_rules(file())


def grown(published: Published, files: dict[str, str], at_ms: int) -> Published:
    """After another publication; through the bytes on the topic."""
    version = next_version(published, OWN, files, by="ann", at_ms=at_ms)
    return decode({key_of(v): encode(v) for v in reversed((*published.versions, version))})


def test_timers_begin_when_they_are_published_unless_they_were_live_before() -> None:
    """A rule that is new, or whose trigger or rearm has changed, is live from its publication; a mended wording changes nothing."""
    published = grown(Published(), file() | file("other"), 1_000)
    published = grown(published, file(version=2, channel="sms") | file("other", version=2, after="50d"), 2_000)
    published = grown(
        published, file(version=2, channel="sms") | file("other", version=3, after="50d", channel="sms"), 3_000
    )

    assert [{"other": 1_000}, {"other": 2_000}, {"other": 2_000}] == [v.live_from_ms for v in published.versions]
    assert {"other": 2_000} == rule_set(published, OWN).live_from_ms


def test_nothing_is_published_with_any_mistake() -> None:
    """All mistakes of all files at once; and a changed rule whose version stayed, with the version to write."""
    wrong = {"a.yaml": "id: a\n", "b.yaml": "id: c\n"}
    with pytest.raises(RuleFileError) as found:
        next_version(Published(), OWN, wrong, by="ann", at_ms=1)
    assert {"a.yaml", "b.yaml"} == {line.partition(":")[0] for line in found.value.problems}

    with pytest.raises(RuleFileError, match=r"lapsed\.yaml:2:1: .*write version: 2"):
        next_version(Published(), OWN, file(channel="sms"), by="ann", at_ms=1)


def test_a_rollback_is_a_new_version_and_history_stays() -> None:
    """The old texts come back under the next number; what was removed since is remembered as retired."""
    published = grown(grown(Published(), file(), 1_000), file("other"), 2_000)
    assert ["lapsed"] == [rule.id for rule in rule_set(published, OWN).retired]
    back = rolled_back(published, OWN, 1, by="eve", at_ms=3_000)

    assert (3, file(), "back to version 1") == (back.number, back.files, back.note)
    assert {"lapsed": 3_000} == back.live_from_ms
    after = Published((*published.versions, back))
    assert ["other"] == [rule.id for rule in rule_set(after, OWN).retired]
    with pytest.raises(ConfigurationError, match="there is no version 7"):
        rolled_back(published, OWN, 7, by="eve", at_ms=3_000)


def test_a_difference_names_every_field() -> None:
    """Added, removed, and changed field by field."""
    old, new = parse_rules(file() | file("gone")), parse_rules(file(version=2, channel="sms") | file("fresh"))

    assert [
        "+ fresh (version 1)",
        "- gone (version 1)",
        "~ lapsed.version: 1 → 2",
        "~ lapsed.then.channel: email → sms",
    ] == difference(old, new)


def test_pauses_of_everything_and_of_rules_are_apart() -> None:
    """Resuming everything leaves a rule paused that somebody has paused for itself."""
    published = Published()
    for did, rule in (("pause", "lapsed"), ("pause", ""), ("resume", "")):
        record = switched(published.switched, did, by="ann", note="", rule_id=rule, at_ms=1)
        published = decode({key_of(s): encode(s) for s in (*published.switches, record)})

    assert ["pause lapsed", "pause", "resume"] == [s.did for s in published.switches]
    assert "lapsed paused by ann" == paused(published.switched)
    assert isinstance(published, Published) and not any(isinstance(s, RulesVersion) for s in published.switches)


def test_dry_runs_and_test_customers_are_switched_without_touching_the_rest() -> None:
    """Each switch is one numbered record that says who did what; a pause stays while something else is switched."""
    published = Published()

    def do(make: Callable[[Switched], Switched]) -> None:
        nonlocal published
        record = make(published.switched)
        published = decode({key_of(s): encode(s) for s in (*published.switches, record)})

    do(lambda now: switched(now, "pause", by="ann", note="", rule_id="lapsed", at_ms=1))
    do(lambda now: dry(now, "welcome", off=False, by="bob", note="too many?", at_ms=2))
    do(lambda now: rehearsed(now, ["eve", "ann"], remove=False, by="bob", note="", at_ms=3))
    assert [
        "lapsed paused by ann",
        "dry run, switched: welcome",
        "test customers, switched: ann, eve",
    ] == told(published.switched)
    do(lambda now: dry(now, "welcome", off=True, by="bob", note="", at_ms=4))
    do(lambda now: rehearsed(now, ["eve"], remove=True, by="bob", note="", at_ms=5))

    assert ["lapsed paused by ann", "test customers, switched: ann"] == told(published.switched)
    assert [
        (1, "pause lapsed", "ann", ""),
        (2, "dry run welcome", "bob", "too many?"),
        (3, "test customers ann, eve", "bob", ""),
        (4, "end of dry run welcome", "bob", ""),
        (5, "no test customers eve", "bob", ""),
    ] == [(s.number, s.did, s.by, s.note) for s in published.switches]
