"""Rules as they are published: whole sets, numbered, each with who, when and why; and what people have switched meanwhile.

Every worker reads the same records and makes the same rule set of them. Nothing here knows of Kafka.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from stream.errors import ConfigurationError, RuleFileError
from stream.rules.loader import parse_rules
from stream.rules.rule import Rule, RuleSet

_RULES, _CONTROLS = b"rules/", b"controls/"


class RulesVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One whole rule set as it was published."""

    number: int
    """1 for the first; a rollback is a new version with old texts."""
    rules_version: str
    """Hash of what the rules say, as decisions name it."""
    files: dict[str, str]
    """File name → text."""
    live_from_ms: dict[str, int]
    """See `RuleSet.live_from_ms`."""
    by: str
    at_ms: int
    note: str = ""


class Switched(msgspec.Struct, frozen=True, kw_only=True):
    """The switches after somebody has moved one."""

    number: int
    did: str
    """``pause``, ``resume``, …; with the rule or customer that it is about."""
    by: str
    at_ms: int
    note: str = ""
    paused_by: str = ""
    """Who has paused everything; empty: nobody."""
    stopped_rules: dict[str, str] = {}
    """Rule id → who has paused it."""
    dry_rules: tuple[str, ...] = ()
    """Rules that decide and don't act."""
    test_customers: tuple[str, ...] = ()


class Published(msgspec.Struct, frozen=True):
    """All that was ever published, oldest first."""

    versions: tuple[RulesVersion, ...] = ()
    switches: tuple[Switched, ...] = ()

    @property
    def current(self) -> RulesVersion | None:
        """The version that is live; ``None`` as long as workers go by their own rules."""
        return self.versions[-1] if self.versions else None

    @property
    def switched(self) -> Switched:
        """The switches as they are."""
        return self.switches[-1] if self.switches else Switched(number=0, did="", by="", at_ms=0)

    def version(self, number: int) -> RulesVersion:
        """One of the versions; raises `ConfigurationError` if there is no such."""
        found = [version for version in self.versions if version.number == number]
        if not found:
            known = f"1 to {self.versions[-1].number}" if self.versions else "none"
            raise ConfigurationError([f"there is no version {number} of the rules; there are: {known}"])
        return found[0]


def key_of(record: RulesVersion | Switched) -> bytes:
    """The key of a record. Each has one of its own, so compaction keeps the whole history.

    >>> key_of(Switched(number=7, did="pause", by="eve", at_ms=0))
    b'controls/000007'
    """
    return b"%s%06d" % (_RULES if isinstance(record, RulesVersion) else _CONTROLS, record.number)


def encode(record: RulesVersion | Switched) -> bytes:
    """The record as JSON, for people too."""
    return msgspec.json.encode(record)


def decode(values: Mapping[bytes, bytes]) -> Published:
    """Everything published, from the values by key."""
    versions = [_version(value) for key, value in values.items() if key.startswith(_RULES)]
    switches = [_switched(value) for key, value in values.items() if key.startswith(_CONTROLS)]
    return Published(tuple(sorted(versions, key=_number)), tuple(sorted(switches, key=_number)))


def rule_set(published: Published, own: RuleSet) -> RuleSet:
    """The rules that are live: the current version's, or a worker's own as long as there is none.

    Raises `RuleFileError` if this Winback can't read them.
    """
    current = published.current
    if current is None:
        return own
    found = parse_rules(current.files)
    return RuleSet(found.rules, live_from_ms=current.live_from_ms, retired=_retired(published, own, found))


def next_version(
    published: Published, own: RuleSet, files: Mapping[str, str], *, by: str, at_ms: int, note: str = ""
) -> RulesVersion:
    """The version to publish; raises `RuleFileError` with every mistake, of files and of versions that weren't raised."""
    found = parse_rules(files)
    live = rule_set(published, own)
    problems = list(_not_raised(files, found, live))
    if problems:
        raise RuleFileError(problems)
    return _numbered(published, live, found, files, by=by, at_ms=at_ms, note=note)


def rolled_back(
    published: Published, own: RuleSet, number: int, *, by: str, at_ms: int, note: str = ""
) -> RulesVersion:
    """A new version with the texts of an old one."""
    old = published.version(number)
    live = rule_set(published, own)
    note = note or f"back to version {number}"
    return _numbered(published, live, parse_rules(old.files), old.files, by=by, at_ms=at_ms, note=note)


def paused(switched: Switched) -> str:
    """What is paused, for a person; empty: nothing.

    >>> paused(Switched(number=1, did="pause", by="eve", at_ms=0, stopped_rules={"lapsed-60": "eve"}))
    'lapsed-60 paused by eve'
    """
    if switched.paused_by:
        return f"everything paused by {switched.paused_by}"
    return ", ".join(f"{rule} paused by {by}" for rule, by in sorted(switched.stopped_rules.items()))


# -- inside


def _number(record: RulesVersion | Switched) -> int:
    return record.number


_version = msgspec.json.Decoder(RulesVersion).decode
_switched = msgspec.json.Decoder(Switched).decode


def _numbered(
    published: Published, live: RuleSet, found: RuleSet, files: Mapping[str, str], *, by: str, at_ms: int, note: str
) -> RulesVersion:
    current = published.current
    return RulesVersion(
        number=1 if current is None else current.number + 1,
        rules_version=found.version,
        files=dict(files),
        live_from_ms={rule.id: since_ms for rule in found.rules if (since_ms := _live_from(rule, live, at_ms))},
        by=by,
        at_ms=at_ms,
        note=note,
    )


def _live_from(rule: Rule, live: RuleSet, at_ms: int) -> int:
    """A rule whose timers stay what they were goes on; otherwise they begin now."""
    before = live.by_id.get(rule.id)
    if before is None or (before.rearm, before.trigger) != (rule.rearm, rule.trigger):
        return at_ms
    return live.live_from_ms.get(rule.id, 0)


def _retired(published: Published, own: RuleSet, found: RuleSet) -> Iterable[Rule]:
    """The last that was known of each rule that isn't there any more."""
    gone: dict[str, Rule] = {rule.id: rule for rule in own.rules if rule.id not in found.by_id}
    texts: dict[str, dict[str, str]] = {}
    for version in published.versions:
        for name, text in version.files.items():
            rule_id = PurePath(name).stem
            if rule_id not in found.by_id:
                texts[rule_id] = {name: text}
    for rule_id, file in texts.items():
        try:
            gone[rule_id] = parse_rules(file).rules[0]
        except RuleFileError:
            gone.pop(rule_id, None)  # of an older language: the engine calls it off without its words
    return gone.values()


def _not_raised(files: Mapping[str, str], found: RuleSet, live: RuleSet) -> Iterable[str]:
    names = {PurePath(name).stem: name for name in files}
    for rule in found.rules:
        before = live.by_id.get(rule.id)
        if before is None or rule.version > before.version or _fields(before) == _fields(rule):
            continue
        text = files[names[rule.id]]
        line = next((n for n, t in enumerate(text.splitlines(), start=1) if t.startswith("version:")), 1)
        yield (
            f"{names[rule.id]}:{line}:1: the rule has changed and its version hasn't been raised: {rule.version}; "
            f"write version: {before.version + 1}"
        )


def _fields(rule: Rule) -> dict[str, Any]:
    fields = msgspec.structs.asdict(rule)
    return fields | {"condition": rule.condition.text}
