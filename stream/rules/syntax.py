"""The text of a condition as a parse tree, or the place where it stops being one."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Sequence
from typing import Final

import msgspec
from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken

MAX_LENGTH: Final = 2_000
"""Characters of a condition. A longer one is a program, not a condition; far more would slow down loading."""

_SYMBOLS: Final = {"=": "==", "and": "&&", "&": "&&", "or": "||", "|": "||", "not": "!", "is": "=="}
"""What people write who know another language, and what it is called here."""


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake in a condition: characters ``start`` to ``end`` of its text, and what to write instead, if known."""

    start: int
    end: int
    message: str
    suggestion: str = ""


class InvalidCondition(ValueError):
    """A condition that can't be compiled; ``problems`` are all its mistakes, in the order of the text."""

    def __init__(self, text: str, problems: Sequence[Problem]) -> None:
        self.text = text
        self.problems = tuple(sorted(set(problems)))
        super().__init__("; ".join(describe(problem, text) for problem in self.problems))


def describe(problem: Problem, text: str) -> str:
    """A problem as one sentence with the offending text.

    >>> describe(Problem(0, 4, "unknown variable", "churn.labels"), "labs > 5")
    'unknown variable: labs; did you mean churn.labels?'
    """
    offending = " ".join(text[problem.start : problem.end].split())
    where = f": {offending}" if offending else ""
    hint = f"; did you mean {problem.suggestion}?" if problem.suggestion else ""
    return f"{problem.message}{where}{hint}"


@functools.cache
def _grammar() -> Lark:
    grammar = importlib.resources.files("stream.rules").joinpath("condition.lark").read_text("utf-8")
    return Lark(grammar, start="start", parser="lalr", propagate_positions=True, maybe_placeholders=False)


def parse(text: str) -> Tree[Token]:
    """The parse tree of a condition; raises `InvalidCondition` with the first place that doesn't fit the grammar."""
    if len(text) > MAX_LENGTH:
        raise InvalidCondition(text, [Problem(0, 0, f"longer than {MAX_LENGTH} characters")])
    try:
        return _grammar().parse(text)
    except UnexpectedToken as error:
        token = error.token
        if token.type == "$END":
            found = Problem(
                len(text), len(text), "the condition is empty" if not text.strip() else "the condition stops too early"
            )
        else:
            start = token.start_pos or 0
            found = Problem(start, start + len(token), "not expected here", _SYMBOLS.get(token.lower(), ""))
        raise InvalidCondition(text, [found]) from None
    except UnexpectedCharacters as error:
        start = error.pos_in_stream or 0
        symbol = text[start]
        message = "this text has no closing quote" if symbol in "\"'" else "not part of the condition language"
        end = len(text) if symbol in "\"'" else start + 1
        raise InvalidCondition(text, [Problem(start, end, message, _SYMBOLS.get(symbol, ""))]) from None


def span(at: Tree[Token] | Token) -> tuple[int, int]:
    """First character and the one after the last of a part of a tree."""
    if isinstance(at, Token):
        return at.start_pos or 0, at.end_pos or 0
    if at.meta.empty:  # an empty argument list
        return 0, 0
    return at.meta.start_pos, at.meta.end_pos
