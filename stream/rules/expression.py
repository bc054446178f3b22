"""Typed expressions of the condition language, and what they mean: the plain evaluator that the compiled form must agree with.

Meaning follows the Common Expression Language (cel-spec, ``doc/langdef.md``): ``int`` is 64 bits wide and every overflow
is an error, integer division and ``%`` truncate toward zero, dividing an integer by zero is an error while doubles follow
IEEE 754, and ``&&`` and ``||`` are commutative over errors (an error on one side is forgotten when the other side decides).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

Value: TypeAlias = bool | int | float | str
"""What a condition compares; lists are only asked whether they hold one."""
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1


class ConditionError(Exception):
    """A condition has no value for this customer: it divides by zero, overflows 64 bits, or converts what doesn't fit.

    The caller treats the condition as not met and reports ``reason``; nothing else stops.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Expression(msgspec.Struct, frozen=True, kw_only=True):
    """A checked expression. ``type`` is ``int``, ``double``, ``string``, ``bool`` or ``list``; ``text`` is its source."""

    type: str
    text: str


class Constant(Expression, frozen=True, kw_only=True):
    """A value written in the condition."""

    value: Value


class Read(Expression, frozen=True, kw_only=True):
    """A variable: ``root`` is ``customer``, ``event`` or ``churn``."""

    root: str
    attribute: str


class Operation(Expression, frozen=True, kw_only=True):
    """A function or operator whose arguments are all evaluated first; ``name`` is a key of `OPERATIONS`."""

    name: str
    arguments: tuple[Expression, ...]


class Member(Expression, frozen=True, kw_only=True):
    """``item in [choices]``."""

    item: Expression
    choices: tuple[Expression, ...]


class Logic(Expression, frozen=True, kw_only=True):
    """``&&`` (``decisive`` is false) or ``||`` (``decisive`` is true) over two or more parts."""

    decisive: bool
    parts: tuple[Expression, ...]


class Choice(Expression, frozen=True, kw_only=True):
    """``test ? yes : no``; only the branch that is taken is evaluated."""

    test: Expression
    yes: Expression
    no: Expression


def fits(value: int) -> int:
    """The integer, if 64 bits hold it.

    >>> fits(2**63)
    Traceback (most recent call last):
    ...
    stream.rules.expression.ConditionError: integer overflow
    """
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ConditionError("integer overflow")


def divide_int(a: int, b: int) -> int:
    """Integer quotient toward zero, where Python's goes down.

    >>> divide_int(-7, 2), -7 // 2
    (-3, -4)
    """
    if b == 0:
        raise ConditionError("division by zero")
    return fits(a // b if (a < 0) == (b < 0) else -(-a // b))


def remainder_int(a: int, b: int) -> int:
    """What integer division leaves; its sign is the dividend's, where Python's is the divisor's.

    >>> remainder_int(-7, 3), -7 % 3
    (-1, 2)
    """
    if b == 0:
        raise ConditionError("division by zero")
    if b == -1:
        fits(-a)  # CEL: the smallest integer % -1 overflows, because its quotient does
    return a - b * divide_int(a, b) if b != -1 else 0


def divide_double(a: float, b: float) -> float:
    """IEEE 754 division, which has infinities where Python raises.

    >>> divide_double(1.0, -0.0), divide_double(0.0, 0.0)
    (-inf, nan)
    """
    if b:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def to_int(value: float) -> int:
    """A double without its fraction; an error when the result isn't a 64-bit integer.

    >>> to_int(-3.9)
    -3
    """
    # 2**63 is the nearest double above INT_MAX; cel-go refuses both ends of the range, and so do we.
    if -(2.0**63) < value < 2.0**63:
        return int(value)
    raise ConditionError("conversion to int out of range")


OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!": operator.not_,
    "int+": lambda a, b: fits(a + b),
    "int-": lambda a, b: fits(a - b),
    "int*": lambda a, b: fits(a * b),
    "int/": divide_int,
    "int%": remainder_int,
    "-int": lambda a: fits(-a),
    "double+": operator.add,
    "double-": operator.sub,
    "double*": operator.mul,
    "double/": divide_double,
    "-double": operator.neg,
    "string+": operator.add,
    "size": len,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
    "in": lambda item, owner: item in owner,
    "double": float,
    "int": to_int,
}
"""What each operation does with evaluated arguments."""


def evaluate(expression: Expression, roots: Mapping[str, Any]) -> Value:
    """The value of an expression over ``{"customer": …, "event": …, "churn": …}``, or `ConditionError`."""
    match expression:
        case Constant():
            return expression.value
        case Read():
            value: Value = getattr(roots[expression.root], expression.attribute)
            return value
        case Operation():
            result: Value = OPERATIONS[expression.name](*(evaluate(a, roots) for a in expression.arguments))
            return result
        case Member():
            item = evaluate(expression.item, roots)
            choices = [evaluate(choice, roots) for choice in expression.choices]
            return any(item == choice for choice in choices)  # not Python's `in`, which finds a NaN by identity
        case Logic():
            return _decide(expression, roots)
        case Choice():
            return evaluate(expression.yes if evaluate(expression.test, roots) else expression.no, roots)
        case _:  # pragma: no cover
            raise TypeError(type(expression))


def _decide(logic: Logic, roots: Mapping[str, Any]) -> bool:
    failed: ConditionError | None = None
    for part in logic.parts:
        try:
            if evaluate(part, roots) is logic.decisive:
                return logic.decisive
        except ConditionError as error:
            failed = failed or error
    if failed:
        raise failed
    return not logic.decisive
