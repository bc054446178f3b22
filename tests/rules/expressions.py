"""Random conditions and random customers for the property tests of the condition language."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from stream.rules.expression import INT_MAX, INT_MIN

NAMES = {
    "int": ["customer.lifetime_monetary_minor", "event.quantity", "churn.labels"],
    "double": ["customer.cycle_days", "churn.probability"],
    "string": ["customer.language", "event.channel"],
    "bool": ["customer.cart_open", "churn.abstained"],
    "list": ["customer.personas"],
}
"""Some variables of every root and type; a value for each is drawn."""

# The edges of 64 bits are where overflow is, small numbers where equality and zero divisors are.
INTS = st.sampled_from([0, 1, -1, 2, 3, -3, 7, 60, 2**31, INT_MAX, INT_MAX - 1, INT_MIN + 1, INT_MIN])
DOUBLES = st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.5, 2.0, 7.0, 1e18, 1e300, -1e300])
# ASCII only: the reference counts bytes in size(), where the standard counts characters (test_values has the others).
TEXTS = st.sampled_from(["", "a", "ab", "b", "B", 'it\'s "quoted" \\', "line\nbreak"])
MINUS = "minus"
"""Stands for the sign of an int: the reference wraps around when it turns the smallest one, so it is given ``0 - x``."""
METHODS = ["startsWith", "endsWith", "contains"]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": INTS,
    "double": DOUBLES,
    "string": TEXTS,
    "bool": st.booleans(),
    "list": st.lists(TEXTS, max_size=3),
}


def literal(value: bool | float | str) -> str:
    """A value as CEL source."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return repr(value)


def _binary(operand: st.SearchStrategy[str], signs: list[str], right: st.SearchStrategy[str] | None = None) -> Any:
    return st.builds(
        lambda a, sign, b: f"({a} {sign} {b})", operand, st.sampled_from(signs), operand if right is None else right
    )


@st.composite
def expressions(draw: st.DrawFn, kind: str = "bool", depth: int = 3) -> str:
    """Source of a well-typed expression of one type."""

    def of(inner: str) -> st.SearchStrategy[str]:
        return expressions(kind=inner, depth=depth - 1)

    leaf = st.sampled_from(NAMES[kind]) | VALUES[kind].map(literal)
    if depth == 0:
        return draw(leaf)
    choice = st.builds(lambda t, y, n: f"({t} ? {y} : {n})", of("bool"), of(kind), of(kind))
    inside: list[st.SearchStrategy[str]] = [leaf, choice]
    match kind:
        case "int":
            inside += [
                _binary(of("int"), ["+", "-", "*", "/", "%"]),
                of("int").map(lambda x: f"({MINUS} ({x}))"),
                of("string").map(lambda x: f"size({x})"),
                st.just("size(customer.personas)"),
                of("double").map(lambda x: f"int({x})"),
            ]
        case "double":
            inside += [
                _binary(of("double"), ["+", "-", "*", "/"]),
                of("double").map(lambda x: f"-({x})"),
                of("int").map(lambda x: f"double({x})"),
            ]
        case "string":
            inside += [_binary(of("string"), ["+"])]
        case _:
            order = ["==", "!=", "<", "<=", ">", ">="]
            lists = st.sampled_from(["int", "double", "string"]).flatmap(
                lambda inner: st.builds(
                    lambda x, xs: f"({x} in [{', '.join(xs)}])", of(inner), st.lists(of(inner), max_size=3)
                )
            )
            inside += [
                _binary(of("int"), order),
                _binary(of("double"), order),
                # The reference compares an int with a double as doubles, the standard exactly: the same below 2**53.
                _binary(of("string").map(lambda x: f"size({x})"), order, of("double")),
                _binary(of("double"), order, st.integers(-3, 70).map(str)),
                _binary(of("string"), order),
                _binary(of("bool"), ["==", "!="]),
                _binary(of("bool"), ["&&", "||"]),
                _binary(of("bool"), ["&&", "||"]),
                of("bool").map(lambda x: f"!({x})"),
                st.builds(lambda a, f, b: f"({a}).{f}({b})", of("string"), st.sampled_from(METHODS), of("string")),
                lists,
                st.sampled_from(NAMES["string"]).map(lambda x: f"({x} in customer.personas)"),
            ]
    return draw(st.one_of(inside))


@st.composite
def facts(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """A value for every one of `NAMES`, as ``{"customer": {…}, "event": {…}, "churn": {…}}``."""
    roots: dict[str, dict[str, Any]] = {"customer": {}, "event": {}, "churn": {}}
    for kind, names in NAMES.items():
        for name in names:
            root, attribute = name.split(".")
            roots[root][attribute] = draw(VALUES[kind])
    return roots


def objects(roots: dict[str, dict[str, Any]]) -> tuple[Any, Any, Any]:
    """The same values as objects with attributes, as conditions are given them."""
    return tuple(SimpleNamespace(**roots[root]) for root in ("customer", "event", "churn"))  # type: ignore[return-value]
