"""What publishing other rules would change, for the person who is about to: in the words of the rule files, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stream.rules.condition import Condition
from stream.rules.rule import Rule, RuleSet
from stream.rules.rule_file import duration_text, minute_text

_IN_FILES = {
    "trigger": "when",
    "trigger.kinds": "when.event",
    "trigger.anchor": "when.since",
    "trigger.target": "when.before",
    "trigger.minute": "when.at",
    "condition": "if",
    "action": "then.action",
    "channel": "then.channel",
    "channels": "then.channel",
    "template": "then.template",
    "offer": "then.offer",
    "experiment.variants": "variants",
    "experiment.holdout_percent": "holdout_percent",
    "experiment.salt": "salt",
    "experiment.choose": "choose",
    "experiment": "measure",
    "journey.steps": "steps",
    "journey": "",
}
"""How rule files call what rules have; the longest name that fits is taken."""
_NONE: tuple[Any, ...] = ("", None, 0, (), [], {})


def difference(live: RuleSet, new: RuleSet) -> list[str]:
    """What would change, one line each: ``+`` added, ``-`` removed, ``~`` changed.

    >>> from stream.rules.loader import parse_rules
    >>> text = '''id: hello
    ... version: 1
    ... description: Says hello.
    ... when: {event: purchase}
    ... then: {action: care, channel: email, template: hello}
    ... expires_after: 2d
    ... '''
    >>> later = text.replace("2d", "1w").replace("version: 1", "version: 2") + "holdout_percent: 10\\n"
    >>> difference(*[parse_rules({"hello.yaml": each}) for each in (text, later)])
    ['~ hello.version: 1 → 2', '~ hello.expires_after: 2d → 7d', '~ hello.holdout_percent: none → 10', '~ hello.measure.window: none → 30d']
    """
    lines = []
    for rule_id in sorted(live.by_id.keys() | new.by_id.keys()):
        before, after = live.by_id.get(rule_id), new.by_id.get(rule_id)
        if before is None:
            assert after is not None, "an id of either is in one of them"
            lines.append(f"+ {rule_id} (version {after.version})")
        elif after is None:
            lines.append(f"- {rule_id} (version {before.version})")
        else:
            was, now = words(before), words(after)
            for name in {**was, **now}:
                old, changed = was.get(name, "none"), now.get(name, "none")
                if old != changed:
                    lines.append(f"~ {rule_id}.{name}: {old} → {changed}")
    return lines


def words(rule: Rule) -> Mapping[str, str]:
    """Field → value of a rule, as its file would say them; what it leaves out isn't there."""
    fields = msgspec.to_builtins(rule, enc_hook=_as_text)
    if fields["channels"]:
        fields["channel"] = ()  # only the first of them
    return dict(_leaves("", fields))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "type" or (inner in _NONE and inner is not False):
                continue
            if name.endswith("_ms"):
                yield from _leaves(f"{path}.{name[:-3]}", duration_text(inner))
            elif name == "minute":
                yield from _leaves(f"{path}.{name}", minute_text(inner))
            elif name == "holdout_share":
                yield from _leaves(f"{path}.holdout_percent", f"{100 * inner:g}")
            else:
                yield from _leaves(f"{path}.{name}", inner)
    elif isinstance(value, list | tuple) and any(isinstance(inner, dict) for inner in value):
        for inner in value:
            yield from _leaves(f"{path}[{inner['id']}]", inner)
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield _named(path.lstrip(".")), {"True": "yes", "False": "no"}.get(shown, shown)


def _named(path: str) -> str:
    for name in sorted(_IN_FILES, key=len, reverse=True):
        if path == name or path.startswith((f"{name}.", f"{name}[")):
            return f"{_IN_FILES[name]}{path[len(name) :]}".lstrip(".")
    return path


def _as_text(value: Any) -> str:
    if isinstance(value, Condition):
        return value.text
    raise NotImplementedError
