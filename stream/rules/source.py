"""YAML with positions: plain data, and for every value and key the line and column it was written at.

Scalars are read as YAML 1.2 reads them: ``no`` and ``on`` are text, ``1:30`` is text and not ninety seconds, ``010`` is
ten. What makes files surprising (tags, anchors, merge keys, a key twice) is refused.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import msgspec
import yaml

MAX_CHARACTERS: Final = 65_536
"""A rule file is one page of text; far larger ones are another kind of file, and would take long to refuse."""

Path: TypeAlias = tuple[str | int, ...]


class Mistake(msgspec.Struct, frozen=True, order=True):
    """Something wrong at a place of a file; ``at`` is the index of a character of its text."""

    at: int
    message: str
    offending: str = ""
    suggestion: str = ""


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with the scalar types of YAML 1.2's core schema instead of YAML 1.1's, and without aliases."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  the base class has it so

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "alias", mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]{1,18}$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]{1,18}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
):
    # PyYAML looks resolvers up by the first character; "" stands for the empty scalar.
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), [c if c != "\0" else "" for c in _first]
    )


class Document:
    """One YAML file. ``data`` is ``None`` when it can't be read; ``mistakes`` says why.

    >>> document = Document("when:\\n  event: purchase\\n")
    >>> document.data
    {'when': {'event': 'purchase'}}
    >>> document.line_column(document.value_at(("when", "event")))
    (2, 10)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.mistakes: list[Mistake] = []
        self.data: Any = None
        self._values: dict[Path, yaml.Node] = {}
        self._keys: dict[Path, yaml.Node] = {}
        root = self._compose()
        if root is not None:
            self.data = self._plain(root, ())

    def line_column(self, at: int) -> tuple[int, int]:
        """Line and column, both counted from 1, of a character of the text."""
        before = self.text[:at]
        return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1

    def value_at(self, path: Path) -> int:
        """Where a value starts; of a missing one, where the nearest mapping around it does."""
        while path not in self._values and path:
            path = path[:-1]
        node = self._values.get(path)
        return node.start_mark.index if node is not None else 0

    def key_at(self, path: Path) -> int:
        """Where the key of a value starts."""
        node = self._keys.get(path)
        return node.start_mark.index if node is not None else self.value_at(path)

    def inside(self, path: Path, offset: int) -> int:
        """Where a character of a text value was written, through quotes, escapes, indentation and folding.

        Found by counting characters that aren't white space, the only ones that YAML leaves in order.
        """
        node = self._values[path]
        at, end = node.start_mark.index, node.end_mark.index
        style = node.style if isinstance(node, yaml.ScalarNode) else None
        if style in ("|", ">"):
            at = self.text.find("\n", at) + 1 or end
        elif style in ("'", '"'):
            at, end = at + 1, end - 1
        ahead = len("".join(str(node.value)[:offset].split()))
        while at < end:
            if not self.text[at].isspace():
                if ahead == 0:
                    return at
                ahead -= 1
                at += _escape_length(self.text, at, style)
            else:
                at += 1
        return min(at, end)

    def _compose(self) -> yaml.Node | None:
        if len(self.text) > MAX_CHARACTERS:
            self.mistakes.append(Mistake(0, f"longer than {MAX_CHARACTERS} characters; a file holds one rule"))
            return None
        try:
            loader = _Loader(self.text)
            try:
                root = loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.reader.ReaderError as error:
            self.mistakes.append(
                Mistake(error.position, "a character that YAML doesn't allow", ascii(chr(error.character)))
            )
        except yaml.MarkedYAMLError as error:
            self.mistakes.append(self._unreadable(error))
        except RecursionError:
            self.mistakes.append(Mistake(0, "nested too deep"))
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # e.g. PyYAML on "\UFFFFFFFF"
            self.mistakes.append(Mistake(0, f"not YAML: {error}"))
        else:
            if root is not None:
                return root
            self.mistakes.append(Mistake(0, "the file is empty"))
        return None

    def _unreadable(self, error: yaml.MarkedYAMLError) -> Mistake:
        mark = error.problem_mark or error.context_mark
        at = mark.index if mark is not None else 0
        problem = error.problem or "not YAML"
        line = self.text[at:].partition("\n")[0][:40].strip()
        if "\\t" in problem:
            return Mistake(at, "a tab indents; YAML wants spaces")
        if "mapping values are not allowed" in problem:
            return Mistake(at, "a second colon in the line; put the value in quotes, or indent the line rightly", line)
        if "single document" in str(error.context):
            return Mistake(at, "more than one document; a file holds one rule")
        if problem == "alias":
            return Mistake(at, "aliases (*name) can't be used in rule files")
        if "could not find expected ':'" in problem and error.context_mark is not None:
            at = error.context_mark.index
            return Mistake(at, "a colon is missing after this key", self.text[at:].partition("\n")[0])
        return Mistake(at, f"not YAML ({problem})", line)

    def _plain(self, node: yaml.Node, path: Path) -> Any:
        self._values[path] = node
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.mistakes.append(Mistake(key.start_mark.index, "a key must be a word"))
                continue
            name = key.value
            if name in data:
                self.mistakes.append(Mistake(key.start_mark.index, "this key is there twice", name))
                continue
            self._keys[*path, name] = key
            data[name] = self._plain(value, (*path, name))
        return data

    def _scalar(self, node: yaml.Node) -> Any:
        text, at = str(node.value), node.start_mark.index
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        written = self.text[at : at + 1]
        if written == "!":
            self.mistakes.append(
                Mistake(at, "YAML takes a ! at the start for a tag; put the whole text in quotes", node.tag)
            )
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            self.mistakes.append(Mistake(at, "half a character (a lone surrogate)", ascii(text)))
            return ""
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
            case "float":
                return float(text)
            case _:
                return text


def _escape_length(text: str, at: int, style: str | None) -> int:
    """How many characters of the file stand for one of the value."""
    if style == "'" and text.startswith("''", at):
        return 2
    if style == '"' and text[at] == "\\":
        return 2 + {"x": 2, "u": 4, "U": 8}.get(text[at + 1 : at + 2], 0)
    return 1
