"""Runs one benchmark: ``python -m tests.bench churn --json``. Every public module of this package is one."""

from __future__ import annotations

import argparse
import ast
import importlib
import pkgutil
from pathlib import Path


def main() -> None:
    """Parses the command line and runs the benchmark it names."""
    folder = Path(__file__).parent
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Benchmarks of Winback.")
    commands = parser.add_subparsers(dest="name", required=True)
    for name in names:
        told = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))) or ""
        command = commands.add_parser(name, help=told.splitlines()[0] if told else "", description=told)
        command.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    chosen = parser.parse_args()
    importlib.import_module(f"tests.bench.{chosen.name}").main(json=chosen.json)


if __name__ == "__main__":
    main()
