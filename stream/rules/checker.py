"""From the text of a condition to a typed expression, or to everything that is wrong with it and where."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, cast

from lark import Token, Tree

from stream.rules.expression import INT_MAX, Choice, Constant, Expression, Logic, Member, Operation, Read
from stream.rules.syntax import InvalidCondition, Problem, parse, span
from stream.rules.vocabulary import OF_THE_EVENT, VARIABLES, closest

MAX_DEPTH: Final = 32
"""Nesting of a condition. Python's own parser gives up at 200 levels of parentheses, and people far earlier."""

_NUMERIC: Final = ("int", "double")
_NAMES: Final = {"True": "true", "False": "false", "TRUE": "true", "FALSE": "false", "yes": "true", "no": "false"}
_METHODS: Final = ("startsWith", "endsWith", "contains", "size")
_FUNCTIONS: Final = ("size", "double", "int")
_ESCAPES: Final = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}


def check(text: str, kinds: Sequence[str] | None = None) -> Expression:
    """The typed expression of a condition.

    ``kinds`` are the event kinds that trigger the rule; empty: time or an alert does; ``None``: not known.
    Raises `InvalidCondition`.

    >>> check("customer.recency > 5")
    Traceback (most recent call last):
    ...
    stream.rules.syntax.InvalidCondition: unknown variable: customer.recency; did you mean customer.recency_days?
    """
    checker = _Checker(text, kinds)
    result = checker.visit(parse(text), 1)
    if result is not None and result.type != "bool":
        checker.report(0, len(text), f"a condition must be true or false, this is {_article(result.type)}")
    if checker.problems or result is None:
        raise InvalidCondition(text, checker.problems)
    return result


class _Checker:
    """Walks a parse tree; a part that is wrong is reported once and gives ``None``, so one mistake makes one problem."""

    def __init__(self, text: str, kinds: Sequence[str] | None) -> None:
        self.text = text
        self.kinds = kinds
        self.problems: list[Problem] = []

    def report(self, start: int, end: int, message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(start, end, message, suggestion))

    def wrong(self, at: Tree[Token] | Token, message: str, suggestion: str = "") -> None:
        start, end = span(at)
        self.report(start, end, message, suggestion)

    def source(self, tree: Tree[Token]) -> str:
        start, end = span(tree)
        return " ".join(self.text[start:end].split())

    def visit(self, tree: Tree[Token], depth: int) -> Expression | None:
        """The typed form of a tree, or ``None`` after reporting what is wrong with it."""
        if depth > MAX_DEPTH:
            self.wrong(tree, f"nested deeper than {MAX_DEPTH} levels")
            return None
        method = getattr(self, f"_{tree.data}")
        result: Expression | None = method(tree, depth + 1)
        return result

    def _all(self, trees: Sequence[Tree[Token]], depth: int) -> list[Expression] | None:
        parts = [self.visit(tree, depth) for tree in trees]
        return None if any(part is None for part in parts) else cast("list[Expression]", parts)

    # -- values

    def _true(self, tree: Tree[Token], depth: int) -> Expression:
        return Constant(type="bool", text="true", value=True)

    def _false(self, tree: Tree[Token], depth: int) -> Expression:
        return Constant(type="bool", text="false", value=False)

    def _int(self, tree: Tree[Token], depth: int) -> Expression | None:
        return self._integer(tree, 1)

    def _integer(self, tree: Tree[Token], sign: int) -> Expression | None:
        digits = str(tree.children[0])
        value = sign * int(digits, 16 if digits[:2].lower() == "0x" else 10)
        if not -INT_MAX - 1 <= value <= INT_MAX:
            self.wrong(tree, "does not fit 64 bits")
            return None
        return Constant(type="int", text=str(value), value=value)

    def _double(self, tree: Tree[Token], depth: int) -> Expression | None:
        value = float(str(tree.children[0]))
        if math.isinf(value):
            self.wrong(tree, "does not fit a double")
            return None
        return Constant(type="double", text=str(value), value=value)

    def _string(self, tree: Tree[Token], depth: int) -> Expression | None:
        token = cast("Token", tree.children[0])
        bad = False

        def replace(match: re.Match[str]) -> str:
            nonlocal bad
            escape = match.group(1)
            if escape in _ESCAPES:
                return _ESCAPES[escape]
            if len(escape) == 5 and not 0xD800 <= int(escape[1:], 16) <= 0xDFFF:
                return chr(int(escape[1:], 16))
            bad = True
            start = span(token)[0] + 1 + match.start()
            self.report(start, start + len(match.group()), "unknown escape in a text", "\\\\")
            return ""

        value = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", replace, str(token)[1:-1])
        return None if bad else Constant(type="string", text=str(token), value=value)

    def _list(self, tree: Tree[Token], depth: int) -> None:
        self.wrong(tree, "a list may only follow `in`")

    def _name(self, tree: Tree[Token], depth: int) -> None:
        name = str(tree.children[0])
        if name in ("customer", "event", "churn"):
            self.wrong(tree, f"name one of its variables, as in {name}.…")
            return
        suggestion = _NAMES.get(name) or _variable_like(name)
        self.wrong(tree, "unknown name", suggestion)

    def _select(self, tree: Tree[Token], depth: int) -> Expression | None:
        owner, attribute = tree.children
        if not isinstance(owner, Tree) or owner.data != "name":
            self.wrong(tree, "not a variable")
            return None
        name = f"{owner.children[0]}.{attribute}"
        variable = VARIABLES.get(name)
        if variable is None:
            self.wrong(tree, "unknown variable", _variable_like(name))
            return None
        self._available(tree, name)
        return Read(type=variable.type, text=name, root=variable.root, attribute=variable.attribute)

    def _available(self, tree: Tree[Token], name: str) -> None:
        if self.kinds is None or name not in OF_THE_EVENT:
            return
        carried = VARIABLES[name].kinds
        if not self.kinds:
            self.wrong(tree, "this rule is not triggered by an event, so there is none to ask")
        elif carried and not set(carried) & set(self.kinds):
            self.wrong(tree, f"has no value on {', '.join(self.kinds)}, only on {', '.join(carried)}")

    # -- operators

    def _any_of(self, tree: Tree[Token], depth: int) -> Expression | None:
        return self._logic(tree, depth, decisive=True)

    def _all_of(self, tree: Tree[Token], depth: int) -> Expression | None:
        return self._logic(tree, depth, decisive=False)

    def _logic(self, tree: Tree[Token], depth: int, *, decisive: bool) -> Expression | None:
        parts = self._all(_trees(tree), depth)
        if parts is None:
            return None
        good = True
        for child, part in zip(_trees(tree), parts, strict=True):
            if part.type != "bool":
                self.wrong(child, f"{'||' if decisive else '&&'} joins conditions, this is {_article(part.type)}")
                good = False
        return Logic(type="bool", text=self.source(tree), decisive=decisive, parts=tuple(parts)) if good else None

    def _unary(self, tree: Tree[Token], depth: int) -> Expression | None:
        sign, child = cast("tuple[Token, Tree[Token]]", tuple(tree.children))
        if sign == "-" and child.data == "int" and "(" not in self.text[span(sign)[1] : span(child)[0]]:
            return self._integer(child, -1)
        operand = self.visit(child, depth)
        if operand is None:
            return None
        fitting = ("bool",) if sign == "!" else _NUMERIC
        if operand.type not in fitting:
            self.wrong(tree, f"{sign} needs {_article(' or '.join(fitting))}, this is {_article(operand.type)}")
            return None
        if isinstance(operand, Constant) and operand.type == "double":
            return Constant(type=operand.type, text=self.source(tree), value=-operand.value)  # type: ignore[operator]
        name = "!" if sign == "!" else f"-{operand.type}"
        return Operation(type=operand.type, text=self.source(tree), name=name, arguments=(operand,))

    def _arithmetic(self, tree: Tree[Token], depth: int) -> Expression | None:
        left_tree, sign, right_tree = cast("tuple[Tree[Token], Token, Tree[Token]]", tuple(tree.children))
        parts = self._all((left_tree, right_tree), depth)
        if parts is None:
            return None
        left, right = parts
        name = f"{left.type}{sign}"
        if left.type == right.type and (left.type in _NUMERIC or name == "string+") and name != "double%":
            return Operation(type=left.type, text=self.source(tree), name=name, arguments=(left, right))
        suggestion = ""
        if {left.type, right.type} == set(_NUMERIC) and sign != "%":
            whole = left if left.type == "int" else right
            suggestion = f"{whole.text}.0" if isinstance(whole, Constant) else f"double({whole.text})"
        self.wrong(tree, f"{left.type} {sign} {right.type} is not possible", suggestion)
        return None

    def _relation(self, tree: Tree[Token], depth: int) -> Expression | None:
        left_tree, sign, right_tree = cast("tuple[Tree[Token], Token, Tree[Token]]", tuple(tree.children))
        if sign == "in":
            return self._member(tree, left_tree, right_tree, depth)
        parts = self._all((left_tree, right_tree), depth)
        if parts is None:
            return None
        left, right = parts
        if not _comparable(left, right):
            suggestion = f"{left.text} {sign} {right.text[1:-1]}" if _quoted_number(left, right) else ""
            if (left.type, right.type, sign) == ("list", "string", "=="):
                suggestion = f"{right.text} in {left.text}"
            self.wrong(tree, f"compares {_article(left.type)} with {_article(right.type)}", suggestion)
            return None
        if left.type == "list":
            self.wrong(tree, f"{sign} needs texts or numbers, and these are lists")
            return None
        if left.type == "bool" and sign not in ("==", "!="):
            self.wrong(tree, f"{sign} needs an order, and bool has none")
            return None
        self._reachable(left, right, right_tree)
        self._reachable(right, left, left_tree)
        return Operation(type="bool", text=self.source(tree), name=str(sign), arguments=(left, right))

    def _member(self, tree: Tree[Token], left: Tree[Token], right: Tree[Token], depth: int) -> Expression | None:
        item = self.visit(left, depth)
        if right.data != "list":
            return self._held(tree, item, left, right, depth)
        trees = _trees(cast("Tree[Token]", right.children[0]))
        choices = self._all(trees, depth)
        if item is None or choices is None:
            return None
        good = True
        for child, choice in zip(trees, choices, strict=True):
            if not _comparable(item, choice):
                self.wrong(child, f"{_article(item.type)} can't be among values of {choice.type}")
                good = False
            else:
                self._reachable(item, choice, child)
        return Member(type="bool", text=self.source(tree), item=item, choices=tuple(choices)) if good else None

    def _held(
        self, tree: Tree[Token], item: Expression | None, left: Tree[Token], right: Tree[Token], depth: int
    ) -> Expression | None:
        """``item in list`` where the list is a variable's."""
        owner = self.visit(right, depth)
        if item is None or owner is None:
            return None
        if owner.type != "list":
            self.wrong(right, "`in` needs a list such as [1, 2] after it")
            return None
        if item.type != "string":
            self.wrong(left, f"{_article(item.type)} can't be among texts")
            return None
        self._reachable(owner, item, left)
        return Operation(type="bool", text=self.source(tree), name="in", arguments=(item, owner))

    def _reachable(self, variable: Expression, constant: Expression, at: Tree[Token]) -> None:
        """Report a constant that the variable can never be near: such a condition is always the same."""
        if not isinstance(variable, Read) or not isinstance(constant, Constant):
            return
        row, value = VARIABLES[variable.text], constant.value
        if isinstance(value, str):
            if row.values and value not in row.values:
                self.wrong(at, f"{row.name} is never this", closest(value, row.values))
        elif not isinstance(value, bool):
            low, high = row.low, row.high
            if high is not None and low is not None and not low <= value <= high:
                self.wrong(at, f"{row.name} is always between {low:g} and {high:g}")
            elif low is not None and value < low:
                self.wrong(at, f"{row.name} is never below {low:g}")

    def _choice(self, tree: Tree[Token], depth: int) -> Expression | None:
        test_tree, yes_tree, no_tree = _trees(tree)
        parts = self._all((test_tree, yes_tree, no_tree), depth)
        if parts is None:
            return None
        test, yes, no = parts
        if test.type != "bool":
            self.wrong(test_tree, f"before ? comes a condition, this is {_article(test.type)}")
            return None
        if yes.type != no.type:
            self.wrong(tree, f"gives {_article(yes.type)} or {_article(no.type)}, must be the same")
            return None
        return Choice(type=yes.type, text=self.source(tree), test=test, yes=yes, no=no)

    # -- functions

    def _method(self, tree: Tree[Token], depth: int) -> Expression | None:
        owner, name, arguments = cast("tuple[Tree[Token], Token, Tree[Token]]", tuple(tree.children))
        if name not in _METHODS:
            self.wrong(name, "unknown function", closest(name, _METHODS))
            return None
        return self._apply(tree, str(name), [owner, *_trees(arguments)], depth)

    def _call(self, tree: Tree[Token], depth: int) -> Expression | None:
        name, arguments = cast("tuple[Token, Tree[Token]]", tuple(tree.children))
        if name in _METHODS and name not in _FUNCTIONS:
            self.wrong(tree, "write it after a text", f"text.{name}(…)")
            return None
        if name not in _FUNCTIONS:
            self.wrong(name, "unknown function", closest(name, _FUNCTIONS))
            return None
        return self._apply(tree, str(name), _trees(arguments), depth)

    def _apply(self, tree: Tree[Token], name: str, trees: Sequence[Tree[Token]], depth: int) -> Expression | None:
        takes, gives = _SIGNATURES[name]
        arguments = self._all(trees, depth)
        if arguments is None:
            return None
        if len(arguments) != len(takes) or any(a.type not in t for a, t in zip(arguments, takes, strict=False)):
            given = ", ".join(argument.type for argument in arguments)
            wanted = ", ".join(" or ".join(kinds) for kinds in takes)
            self.wrong(tree, f"{name} takes ({wanted}), not ({given})")
            return None
        if name == arguments[0].type:  # int(int) and double(double) change nothing
            return arguments[0]
        return Operation(type=gives, text=self.source(tree), name=name, arguments=tuple(arguments))


_SIGNATURES: Final[dict[str, tuple[tuple[tuple[str, ...], ...], str]]] = {
    "startsWith": ((("string",), ("string",)), "bool"),
    "endsWith": ((("string",), ("string",)), "bool"),
    "contains": ((("string",), ("string",)), "bool"),
    "size": ((("string", "list"),), "int"),
    "double": ((_NUMERIC,), "double"),
    "int": ((_NUMERIC,), "int"),
}


def _trees(tree: Tree[Token]) -> list[Tree[Token]]:
    return cast("list[Tree[Token]]", list(tree.children))


def _comparable(left: Expression, right: Expression) -> bool:
    return left.type == right.type or {left.type, right.type} == set(_NUMERIC)


def _quoted_number(left: Expression, right: Expression) -> bool:
    return (
        left.type in _NUMERIC and isinstance(right, Constant) and bool(re.fullmatch(r"-?\d+(\.\d+)?", str(right.value)))
    )


def _variable_like(name: str) -> str:
    """The variable most like a name that isn't one, also when the wrong root or no root was written."""
    root, _, attribute = name.rpartition(".")
    by_attribute = {variable.attribute: variable.name for variable in reversed(list(VARIABLES.values()))}
    if attribute in by_attribute:
        return by_attribute[attribute]
    found = closest(name, VARIABLES)
    if found and found.partition(".")[0] == root:
        return found
    near = closest(attribute, by_attribute)
    return by_attribute[near] if near else found


def _article(kind: str) -> str:
    return f"an {kind}" if kind.startswith("int") else f"a {kind}"
