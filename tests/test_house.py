"""The rules of the house, as tests: types, style, who may import whom, docstrings, and docs that say what the code does."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream import dictionary
from stream.adapters.metric_table import METRICS, markdown_page
from stream.commands.settings import markdown
from stream.config import SETTINGS
from stream.events.kinds import KINDS
from stream.rules.reference import fill
from stream.testing import Shop

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "stream").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LEFT_BEHIND = re.compile(r"TO[D]O|FIX[M]E|X[X]X|pytest\.[s]kip")
"""Words that stand for work not done and tests not run."""


def _run(*command: str) -> str:
    """What a program complains about; empty when it is content."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
    return "" if done.returncode == 0 else f"{done.stdout}\n{done.stderr}"


def test_types() -> None:
    """Strict mypy finds nothing in the package, the tests and the dashboard (`uv run mypy`)."""
    found = _run(sys.executable, "-m", "mypy")

    assert "" == found, found


def test_style() -> None:
    """Ruff finds nothing (`uv run ruff check`)."""
    found = _run(sys.executable, "-m", "ruff", "check", "--quiet")

    assert "" == found, found


def test_layout() -> None:
    """Every file is as the formatter lays it out (`uv run ruff format`)."""
    found = _run(sys.executable, "-m", "ruff", "format", "--check", "--quiet")

    assert "" == found, found


def test_imports() -> None:
    """The layers hold and the core stays pure (`uv run lint-imports`)."""
    found = _run(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")

    assert "" == found, found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "stream")))
def test_what_is_public_is_explained(path: Path) -> None:
    """Every public module, class, function and method has a docstring."""
    tree = ast.parse(path.read_bytes())

    bare = [name for name, node in _public(tree, path.stem) if not ast.get_docstring(node)]
    assert [] == bare


def _public(
    node: ast.Module | ast.ClassDef, name: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    if not isinstance(node, ast.Module) or node.body:
        yield name, node
    for inner in node.body:
        if not isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or inner.name.startswith("_"):
            continue
        if isinstance(inner, ast.ClassDef):
            yield from _public(inner, f"{name}.{inner.name}")
        elif not _says_enough_already(inner, node):
            yield f"{name}.{inner.name}", inner


def _says_enough_already(function: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.Module | ast.ClassDef) -> bool:
    """Overloads share a docstring; a method of a subclass has its base's, where the base is another's library or ours."""
    overload = any(isinstance(d, ast.Name) and d.id == "overload" for d in function.decorator_list)
    return overload or (isinstance(owner, ast.ClassDef) and bool(owner.bases) and not _introduces(owner))


def _introduces(owner: ast.ClassDef) -> bool:
    """Protocols and data are no implementations of something explained elsewhere."""
    bases = {ast.unparse(base).split("[")[0].split(".")[-1] for base in owner.bases}
    return bool(bases & {"Protocol", "Struct", "NamedTuple", "Generic", "StrEnum", "Enum", "IntEnum"})


def test_nothing_is_left_behind() -> None:
    """No note of unfinished work and no test that is not run, in code and tests."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES + TESTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if LEFT_BEHIND.search(line)
    ]

    assert [] == found


def test_nobody_sleeps_and_hopes() -> None:
    """``time.sleep`` stands only inside a loop that looks for something, in code and tests."""
    found = []
    for path in SOURCES + TESTS:
        tree = ast.parse(path.read_bytes())
        looking = {
            id(inner) for loop in ast.walk(tree) if isinstance(loop, ast.While | ast.For) for inner in ast.walk(loop)
        }
        found += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep" and id(node) not in looking
        ]

    assert [] == found


def test_the_data_dictionary_is_current() -> None:
    """``python -m stream.dictionary > docs/data-dictionary.md`` would change nothing."""
    assert dictionary.markdown() == (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")


def test_the_dictionary_names_what_there_is() -> None:
    """Every setting, every kind of event and every figure of a customer's view is in it."""
    page = dictionary.markdown()
    shop = Shop()
    shop.send("Session Started", "ann", "2026-03-02T09:15:00Z")

    assert [] == [row.name for row in SETTINGS if f"`{row.name}`" not in page or f"`{row.variable}`" not in page]
    assert [] == [kind.kind for kind in KINDS if f"`{kind.kind}`" not in page]
    assert list(dictionary.VIEW) == list(shop.customer("ann"))
    assert [] == [row.name for row in SETTINGS if f"`{row.variable}`" not in markdown()]


def test_the_generated_pages_are_current() -> None:
    """Metrics and rule tables in the docs are what the code makes, and no metric is missing."""
    metrics = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rules = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")

    assert markdown_page() == metrics
    assert [] == [metric.name for metric in METRICS if metric.name not in metrics]
    assert fill(rules) == rules


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sessions_in_the_docs_are_true(page: Path) -> None:
    """Every ``pycon`` block of a page runs and prints what it says, in one session from top to bottom."""
    blocks = re.findall(r"^```pycon\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)

    assert 0 == doctest.DocTestRunner(verbose=False).run(session).failed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_the_docs_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is to a file that there is."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [] == [link for link in links if "://" not in link and not (page.parent / link).exists()]
