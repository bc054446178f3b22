"""The shape of a rule file against its JSON Schema, in words for the person who wrote it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any, Final

from jsonschema import Draft202012Validator, ValidationError, validators

from stream.rules.rule_file import rule_schema
from stream.rules.source import Document, Mistake, Path
from stream.rules.vocabulary import SEGMENT_NAMES, closest

_TYPE_NAMES: Final = {
    "object": "a mapping (indented `key: value` lines)",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}
_STEPS: Final = "`send`; `wait`; `wait_for` with `within`; `branch`"
_TRIGGERS: Final = "`event`; `since` with `after`; `before` with `until`; `alert`; `date`; `festival`; `every`"


def misshapen(document: Document) -> list[Mistake]:
    """Every place where a document isn't of the form of a rule file."""
    return [m for error in _validator().iter_errors(document.data) for m in _explain(error, document)]


def _explain(error: ValidationError, document: Document) -> Iterable[Mistake]:
    path: Path = tuple(error.absolute_path)
    here = document.value_at(path)
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "anyOf":  # either one event or a list of them: judge by the one that was meant
            meant = 1 if isinstance(value, list) else 0
            for inner in error.context or ():
                if inner.schema_path[0] == meant:
                    yield from _explain(inner, document)
        case "oneOf" if not path:
            yield from _half_a_rule(value, schema, document)
        case "oneOf" if path[0] == "steps":
            if isinstance(value, dict):
                yield Mistake(here, f"needs exactly one of {_STEPS}", ", ".join(value))
        case "oneOf":
            if isinstance(value, dict) and not _is_half_a_trigger(value):
                yield Mistake(here, f"needs exactly one of {_TRIGGERS}", ", ".join(value))
        case "dependentRequired":
            for key, needed in wanted.items():
                if key in value and needed[0] not in value:
                    yield Mistake(document.key_at((*path, key)), f"needs `{needed[0]}:` beside it", key)
        case "additionalProperties":
            known = schema["properties"].keys()
            for key in value.keys() - known:
                yield Mistake(document.key_at((*path, key)), "unknown key", key, closest(key, known - value.keys()))
        case "required":
            # The validator reports each missing key with the whole list; equal mistakes become one in the loader.
            known = schema["properties"].keys()
            mistyped = {closest(key, known - value.keys()) for key in value.keys() - known}
            for key in wanted:
                if key not in value and key not in mistyped:
                    yield Mistake(document.key_at(path), "missing", ".".join(str(part) for part in (*path, key)))
        case "enum":
            yield _not_among(path, value, wanted, here)
        case "type" if value is None:
            yield Mistake(here, "nothing is written here; take the line out or give it a value")
        case "minimum" | "maximum":
            yield Mistake(here, f"must be between {schema['minimum']} and {schema['maximum']}", str(value))
        case _:
            yield Mistake(here, f"must be {_wanted(str(error.validator), wanted, schema)}", _shown(value))


def _half_a_rule(value: Any, schema: Any, document: Document) -> Iterable[Mistake]:
    """A rule has `then` or `steps`: says which is too much, or that both are missing."""
    if not isinstance(value, dict):
        return
    if "then" in value:
        yield Mistake(document.key_at(("steps",)), "a rule has either `then:` or `steps:`", "steps")
        return
    known = schema["properties"].keys()
    if not {closest(key, known - value.keys()) for key in value.keys() - known} & {"then", "steps"}:
        yield Mistake(document.key_at(()), "missing", "then")


def _is_half_a_trigger(when: dict[str, Any]) -> bool:
    """Whether only the other half of one trigger is missing, which another message says better."""
    halves = when.keys() - {"spread", "at", "day"}
    return len(halves) == 1 and not halves.isdisjoint({"since", "after", "before", "until"})


def _not_among(path: Path, value: object, known: list[str], at: int) -> Mistake:
    word = str(value)
    suggestion = SEGMENT_NAMES.get(word, "") if _names_events(path) else ""
    suggestion = suggestion or closest(word.lower(), known)
    return Mistake(at, "unknown" if suggestion else f"must be one of {', '.join(known)}", _shown(value), suggestion)


def _names_events(path: Path) -> bool:
    return path[:2] == ("when", "event") or (path[0] == "steps" and path[2:3] == ("wait_for",))


def _wanted(validator: str, wanted: Any, schema: Any) -> str:
    if "title" in schema and validator in ("type", "pattern") and wanted != "object":
        return str(schema["title"])
    match validator:
        case "type":
            return _TYPE_NAMES[wanted]
        case "maxLength":
            return f"at most {wanted} characters"
        case _:
            return "longer: it is empty"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@functools.cache
def _validator() -> Draft202012Validator:
    """Validates shapes; unlike the standard one, 2.0 is no whole number, and a pattern covers the text to its end."""
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )

    def pattern(_: Any, wanted: str, value: Any, schema: Any) -> Iterable[ValidationError]:
        if isinstance(value, str) and not re.fullmatch(wanted.strip("^$"), value):
            yield ValidationError("pattern")

    extend: Any = validators.extend
    validator: Draft202012Validator = extend(Draft202012Validator, {"pattern": pattern}, type_checker=types)(
        rule_schema()
    )
    return validator
