"""Conditions: typed CEL compiled once to a Python closure that costs a fraction of a microsecond.

The closure is Python source written from the checked expression (never from the user's text) and agrees with
`stream.rules.expression.evaluate` on every input. It takes the short way first, where Python's own ``and`` and ``or`` stop
at the first error; only when there was one does it ask the plain evaluator, which knows CEL's commutative ``&&`` and ``||``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeAlias

import msgspec

from stream.rules.checker import check
from stream.rules.expression import (
    INT_MAX,
    INT_MIN,
    Choice,
    ConditionError,
    Constant,
    Expression,
    Logic,
    Member,
    Operation,
    Read,
    Value,
    divide_double,
    divide_int,
    evaluate,
    remainder_int,
    to_int,
)
from stream.rules.syntax import InvalidCondition

__all__ = ["Condition", "ConditionError", "InvalidCondition", "Matched", "compile_condition"]

Closure: TypeAlias = Callable[[Any, Any, Any], Any]
Holds: TypeAlias = Callable[[Any, Any, Any], bool]
_Pick: TypeAlias = Callable[..., int]
Explains: TypeAlias = "Callable[[Any, Any, Any], list[Matched]]"

_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NEGATED: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


class Matched(msgspec.Struct, frozen=True, gc=False):
    """One reason why a condition holds: ``field op expected``, and the value the field had."""

    field: str
    op: str
    expected: Value | tuple[Value, ...]
    actual: Value


class Condition:
    """A compiled condition.

    Attributes:
        text: what the person wrote.
        holds: ``(customer, event, churn) -> bool``; raises `ConditionError`. The arguments are any objects with the
            attributes of the vocabulary; those that `variables` doesn't name are never touched and may be ``None``.
        variables: names of the variables it reads, such as ``churn.probability``.
        at_least: whole numbers that variables must reach, or it can't hold; who knows better is asked first, and mostly
            nothing else then.
        at_most: the same for what they must not exceed.

    >>> from types import SimpleNamespace as Facts
    >>> condition = compile_condition("customer.cart_open && customer.cart_value_minor / 100 >= 50")
    >>> condition.holds(Facts(cart_open=True, cart_value_minor=4_999), None, None)
    False
    >>> condition.matched(Facts(cart_open=True, cart_value_minor=5_000), None, None)[1]
    Matched(field='customer.cart_value_minor / 100', op='>=', expected=50, actual=50)
    >>> compile_condition("5 < customer.views_of_product && customer.cart_open").at_least
    {'customer.views_of_product': 6}
    """

    __slots__ = ("_explain", "_expression", "at_least", "at_most", "holds", "text", "variables")

    def __init__(self, text: str, expression: Expression) -> None:
        self.text = text
        self.variables = frozenset(_variables(expression))
        self._expression = expression
        self.at_least = _bounds(expression, ">", max, min)
        self.at_most = _bounds(expression, "<", min, max)
        self.holds: Holds = _closure(expression)
        self._explain = _explainer(expression)

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def part(self, known: frozenset[str]) -> Holds | None:
        """Those of its top-level ``&&`` parts that read none but these variables, as `holds`; ``None``: there are none.

        Where they are false, the whole can't hold.

        >>> from types import SimpleNamespace as Facts
        >>> told = compile_condition("event.nps > 8 && customer.cart_open").part(frozenset(("event.nps",)))
        >>> told(None, Facts(nps=9), None), told(None, Facts(nps=5), None)
        (True, False)
        """
        whole = self._expression
        parts = whole.parts if isinstance(whole, Logic) and not whole.decisive else (whole,)
        fit = tuple(part for part in parts if (read := set(_variables(part))) and read <= known)
        if not fit:
            return None
        return _closure(fit[0] if len(fit) == 1 else Logic(type="bool", text=self.text, decisive=False, parts=fit))

    def matched(self, customer: Any, event: Any, churn: Any) -> list[Matched]:
        """Why the condition holds: its top-level ``&&`` parts, and of an ``||`` the sides that are true.

        Empty when it doesn't hold. Parts with an error that something else outweighed are left out.
        """
        try:
            if not self.holds(customer, event, churn):
                return []
        except ConditionError:
            return []
        return self._explain(customer, event, churn)


def compile_condition(text: str, kinds: Sequence[str] | None = None) -> Condition:
    """Check and compile a condition; raises `InvalidCondition` with every mistake.

    ``kinds`` are the event kinds that trigger the rule (empty: none does; ``None``: not known), so that a variable which
    could never have a value there is a mistake too.

    >>> compile_condition("churn.probability >= 1.5 && customer.tier = 'high'")
    Traceback (most recent call last):
    ...
    stream.rules.syntax.InvalidCondition: not part of the condition language: =; did you mean ==?
    """
    return Condition(text, check(text, kinds))


def _variables(expression: Expression) -> list[str]:
    match expression:
        case Read():
            return [expression.text]
        case Operation():
            parts: tuple[Expression, ...] = expression.arguments
        case Member():
            parts = (expression.item, *expression.choices)
        case Logic():
            parts = expression.parts
        case Choice():
            parts = (expression.test, expression.yes, expression.no)
        case _:
            parts = ()
    return [name for part in parts for name in _variables(part)]


def _bounds(expression: Expression, way: str, both: _Pick, either: _Pick) -> dict[str, int]:
    """What variables must reach (``way`` is ``>``) or not exceed (``<``); ``both`` and ``either`` pick of two bounds."""
    match expression:
        case Logic(decisive=False):
            # Errors of other parts don't matter: one part that is false makes the whole false.
            found: dict[str, int] = {}
            for part in expression.parts:
                for name, bound in _bounds(part, way, both, either).items():
                    found[name] = both(bound, found.get(name, bound))
            return found
        case Logic(decisive=True):
            sides = [_bounds(part, way, both, either) for part in expression.parts]
            common = set(sides[0]).intersection(*sides[1:])
            return {name: either(*[side[name] for side in sides]) for name in sorted(common)}
        case Operation(name=">" | ">=" | "<" | "<=" | "==" as name, arguments=(left, right)):
            if isinstance(left, Constant):
                name, left, right = _FLIPPED[name], right, left
            if isinstance(left, Read) and isinstance(right, Constant) and left.type == "int" and name[0] in (way, "="):
                beyond = 0 if name != way else 1 if way == ">" else -1
                return {left.text: int(right.value) + beyond}
            return {}
        case _:
            return {}


# -- compiling


def _closure(expression: Expression) -> Closure:
    source = (
        "def holds(customer, event, churn):\n"
        "    try:\n"
        f"        return {_Writer().write(expression)}\n"
        "    except ConditionError:\n"
        "        return exact({'customer': customer, 'event': event, 'churn': churn})\n"
    )
    names: dict[str, Any] = {
        "__builtins__": {},
        "ConditionError": ConditionError,
        "exact": lambda roots: evaluate(expression, roots),
        "overflow": _overflow,
        "divide_int": divide_int,
        "remainder_int": remainder_int,
        "divide_double": divide_double,
        "to_int": to_int,
        "double": float,
        "size": len,
        "among": lambda item, choices: any(item == choice for choice in choices),
    }
    exec(compile(source, f"<condition: {expression.text}>", "exec"), names)  # noqa: S102  only our own words in it
    closure: Closure = names["holds"]
    return closure


def _overflow() -> NoReturn:
    raise ConditionError("integer overflow")


class _Writer:
    """Writes Python for an expression. Every part is in parentheses, so precedence can't differ."""

    def __init__(self) -> None:
        self._names = 0

    def write(self, expression: Expression) -> str:
        match expression:
            case Constant():
                return f"({expression.value!r})"
            case Read():
                return f"{expression.root}.{expression.attribute}"
            case Operation():
                return self._operation(expression)
            case Member():
                return self._member(expression)
            case Logic():
                word = " or " if expression.decisive else " and "
                return f"({word.join(self.write(part) for part in expression.parts)})"
            case Choice():
                test, yes, no = (self.write(part) for part in (expression.test, expression.yes, expression.no))
                return f"({yes} if {test} else {no})"
            case _:  # pragma: no cover
                raise TypeError(type(expression))

    def _operation(self, operation: Operation) -> str:
        name = operation.name
        arguments = [self.write(argument) for argument in operation.arguments]
        match name:
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                return f"({arguments[0]} {name} {arguments[1]})"
            case "!":
                return f"(not {arguments[0]})"
            case "int+" | "int-" | "int*":
                return self._within_64_bits(f"{arguments[0]} {name[-1]} {arguments[1]}")
            case "-int":
                return self._within_64_bits(f"-{arguments[0]}")
            case "double+" | "double-" | "double*" | "string+":
                return f"({arguments[0]} {name[-1]} {arguments[1]})"
            case "-double":
                return f"(-{arguments[0]})"
            case "startsWith" | "endsWith":
                return f"{arguments[0]}.{name.lower()}({arguments[1]})"
            case "contains":
                return f"({arguments[1]} in {arguments[0]})"
            case "in":
                return f"({arguments[0]} in {arguments[1]})"
            case _:
                return f"{_FUNCTIONS[name]}({', '.join(arguments)})"

    def _within_64_bits(self, sum_: str) -> str:
        # Inline rather than a call to `fits`: a call costs as much as the rest of an ordinary condition.
        self._names += 1
        name = f"n{self._names}"
        return f"({name} if {INT_MIN} <= ({name} := {sum_}) <= {INT_MAX} else overflow())"

    def _member(self, member: Member) -> str:
        item = self.write(member.item)
        choices = [self.write(choice) for choice in member.choices]
        if choices and all(isinstance(choice, Constant) for choice in member.choices):
            return f"({item} in {{{', '.join(choices)}}})"  # Python makes a frozen set of constants once
        return f"among({item}, [{', '.join(choices)}])"


_FUNCTIONS: Final = {
    "int/": "divide_int",
    "int%": "remainder_int",
    "double/": "divide_double",
    "int": "to_int",
    "double": "double",
    "size": "size",
}


# -- explaining


def _explainer(expression: Expression) -> Explains:
    """What tells why a true expression is true."""
    match expression:
        case Constant():
            return lambda customer, event, churn: []
        case Logic(decisive=False):
            parts = [_explainer(part) for part in expression.parts]
            return lambda customer, event, churn: [m for part in parts for m in part(customer, event, churn)]
        case Logic():
            sides = [(_closure(part), _explainer(part)) for part in expression.parts]
            return lambda customer, event, churn: [
                m for side, part in sides if _true(side, customer, event, churn) for m in part(customer, event, churn)
            ]
        case Member():
            choices = [_closure(choice) for choice in expression.choices]
            return _told(
                expression.item,
                "in",
                lambda customer, event, churn: tuple([choice(customer, event, churn) for choice in choices]),
            )
        case Operation(name="!", arguments=(operand,)):
            if isinstance(operand, Operation) and operand.name in ("==", "!="):
                return _compared(operand, _NEGATED[operand.name])
            return _always(Matched(operand.text, "==", False, False))
        case Operation(name="==" | "!=" | "<" | "<=" | ">" | ">="):
            return _compared(expression, expression.name)
        case Operation(name="startsWith" | "endsWith" | "contains", arguments=(owner, argument)):
            return _told(owner, expression.name, _closure(argument))
        case _:
            return _always(Matched(expression.text, "==", True, True))


def _true(side: Closure, customer: Any, event: Any, churn: Any) -> bool:
    try:
        return side(customer, event, churn) is True
    except ConditionError:
        return False


def _always(matched: Matched) -> Explains:
    return lambda customer, event, churn: [matched]


def _compared(comparison: Operation, op: str) -> Explains:
    left, right = comparison.arguments
    if isinstance(left, Constant) and not isinstance(right, Constant):
        left, right, op = right, left, _FLIPPED[op]
    return _told(left, op, _closure(right))


def _told(field: Expression, op: str, expected: Closure) -> Explains:
    text, actual = field.text, _closure(field)
    return lambda customer, event, churn: [
        Matched(text, op, expected(customer, event, churn), actual(customer, event, churn))
    ]
