"""Instants as they are given on the command line."""

from __future__ import annotations

from stream.errors import CommandError
from stream.events.instants import parse_ms


def instants_of(texts: dict[str, tuple[str, ...]]) -> dict[str, list[int]]:
    """Milliseconds of the instants given with each flag, or every mistake in them at once."""
    found: dict[str, list[int]] = {}
    problems = []
    for flag, given in texts.items():
        found[flag] = []
        for text in given:
            try:
                found[flag].append(parse_ms(text))
            except ValueError:
                problems.append(f"{flag}: {text!r} is not an instant such as 2026-01-31 or 2026-01-31T12:00:00Z")
    if problems:
        raise CommandError(problems)
    return found
