"""Brings the generated tables of ``docs/rules.md`` up to date: ``uv run python -m tests.rules.regenerate``."""

from __future__ import annotations

from pathlib import Path

from stream.rules.reference import fill

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "rules.md"


def main() -> None:
    """Write the tables."""
    DOCS.write_text(fill(DOCS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
