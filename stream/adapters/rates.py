"""Exchange rates from the file that the settings name."""

from __future__ import annotations

import csv
from pathlib import Path

from stream.config import Settings
from stream.errors import ConfigurationError
from stream.events.money import Rates

_HEADER = ["date", "currency", "rate"]


def load_rates(settings: Settings) -> Rates:
    """The shop's rates; none when no file is named. Every mistake in the file is reported at once."""
    if not settings.rates_file:
        return Rates(settings.currency)
    path = Path(settings.rates_file)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"rates_file: can't read {path}: {error}"]) from error
    if not rows or [cell.strip() for cell in rows[0]] != _HEADER:
        raise ConfigurationError([f"{path}:1: the first line must be {','.join(_HEADER)}"])
    found: list[tuple[str, str, float]] = []
    problems = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            date, code, rate = (cell.strip() for cell in row)
            found.append((date, code.upper(), float(rate)))
        except ValueError:
            problems.append(f"{path}:{number}: {','.join(row)!r} is not date,currency,rate")
    if problems:
        raise ConfigurationError(problems)
    return Rates(settings.currency, found)
