"""The vocabulary against the objects that conditions are given."""

from __future__ import annotations

import inspect
import typing

import msgspec

from stream.events import kinds
from stream.events.kinds import Event, Line
from stream.rules.facts import event_facts
from stream.rules.vocabulary import ANCHORS, EVENT_KINDS, VARIABLES, Anchor, ChurnFacts, EventFacts
from stream.state.customer import Customer
from stream.state.profile import Profile

PYTHON_TYPES = {"int": int, "double": float, "string": str, "bool": bool, "list": tuple}


def test_every_customer_variable_is_a_figure_of_the_profile() -> None:
    """Each can be read off a customer without history, and has the type that conditions are checked with."""
    profile = Profile("ann", Customer(), 1_000_000)
    for variable in VARIABLES.values():
        if variable.root == "customer":
            value = getattr(profile, variable.attribute)

            assert PYTHON_TYPES[variable.type] is type(value), variable.name


def test_event_and_churn_variables_are_the_facts() -> None:
    """Table and objects have the same fields in the same order, of the same types."""
    for root, facts in (("event", EventFacts), ("churn", ChurnFacts)):
        expected = {v.attribute: PYTHON_TYPES[v.type] for v in VARIABLES.values() if v.root == root}

        assert expected == {field.name: field.type for field in msgspec.structs.fields(facts)}


def test_every_event_kind_carries_what_the_table_says() -> None:
    """With every field of an event filled, exactly the variables said to be carried leave their neutral value."""
    for kind in kinds.KINDS:
        if kind.kind not in EVENT_KINDS:
            continue
        facts, neutral = event_facts(_full(kind)), EventFacts(kind=kind.kind, channel="x")
        expected = {v.attribute for v in VARIABLES.values() if kind.kind in v.kinds and v.root == "event"}
        carried = {name for name in EventFacts.__struct_fields__ if getattr(facts, name) != getattr(neutral, name)}

        assert expected == carried, kind.kind


def test_event_kinds_and_anchors_are_those_that_exist() -> None:
    """A rule can name every kind of event there is; `aliased` is no behaviour. Every anchor has its meaning in words."""
    assert {kind.kind for kind in kinds.KINDS} - {"aliased"} == set(EVENT_KINDS)
    assert set(typing.get_args(Anchor)) == set(ANCHORS)


def test_every_meaning_is_one_line() -> None:
    """The table is generated, so a bar or a line break in a meaning would break it."""
    for variable in VARIABLES.values():
        assert inspect.cleandoc(variable.meaning) == variable.meaning != ""
        assert not set("|\n") & set(variable.meaning)


def _full(kind: type[Event]) -> Event:
    filled: dict[str, object] = {
        "line": Line("tea", 2, 500),
        "lines": (Line("tea", 2, 500),),
        "rating": 4.0,
        "score": 4,
        "text": "x",
    }
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        by_type: dict[object, object] = {int: 3, int | None: 3, str: "x", bool: False}
        default = by_type.get(field.type, field.default)
        values[field.name] = filled.get(field.name, default)
    return kind(**values)  # type: ignore[arg-type]
