"""Runs one benchmark: ``python -m tests.bench churn --json``. Every public module of this package is one.

A module has ``main(json=…)``. If it takes options of its own, it has ``arguments(parser)`` as well, which adds them to its
`argparse` parser; ``main`` then gets them as further keyword arguments.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import pkgutil
import sys
from pathlib import Path


def main() -> None:
    """Parses the command line and runs the benchmark it names."""
    folder = Path(__file__).parent
    names = sorted(
        module.name
        for module in pkgutil.iter_modules([str(folder)])
        if not (module.ispkg or module.name.startswith("_"))
    )
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Benchmarks of Winback.")
    commands = parser.add_subparsers(dest="name", required=True)
    for name in names:
        told = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))) or ""
        command = commands.add_parser(name, help=told.splitlines()[0] if told else "", description=told)
        command.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        if name in sys.argv[1:2]:
            # Only the one that is asked for: others may import what takes seconds, or isn't there.
            getattr(importlib.import_module(f"tests.bench.{name}"), "arguments", lambda parser: None)(command)
    chosen = vars(parser.parse_args())
    importlib.import_module(f"tests.bench.{chosen.pop('name')}").main(**chosen)


if __name__ == "__main__":
    main()
