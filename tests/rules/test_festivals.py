"""The days of festivals against other sources: the tables of lunardate, and dates that calendars printed."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from stream.rules.festivals import FESTIVALS, FIRST_YEAR, LAST_YEAR, days_of
from stream.rules.vocabulary import Festival
from tests.rules.lunar import TABLE, table

EPOCH = date(1970, 1, 1).toordinal()


def test_the_lunar_table_is_current() -> None:
    """`uv run python -m tests.rules.lunar` writes it."""
    assert table() == TABLE.read_text(encoding="utf-8")


def test_rules_can_name_every_festival() -> None:
    """In the same order as the docs have them."""
    assert get_args(Festival) == tuple(FESTIVALS)


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("spring-festival", ("2024-02-10", "2025-01-29", "2026-02-17", "2033-01-31")),
        ("lantern-festival", ("2024-02-24", "2026-03-03")),
        ("dragon-boat", ("2024-06-10", "2025-05-31")),
        ("qixi", ("2024-08-10", "2025-08-29")),
        ("mid-autumn", ("2024-09-17", "2025-10-06", "2026-09-25")),
        ("double-ninth", ("2024-10-11", "2025-10-29")),
        ("easter", ("1998-04-12", "2000-04-23", "2024-03-31", "2025-04-20", "2076-04-19")),
        ("mothers-day", ("2024-05-12", "2026-05-10")),
        ("fathers-day", ("2024-06-16", "2025-06-15")),
        ("thanksgiving", ("2023-11-23", "2024-11-28")),
        ("black-friday", ("2023-11-24", "2024-11-29", "2030-11-29")),
        ("cyber-monday", ("2024-12-02", "2026-11-30")),
        ("singles-day", ("1990-11-11", "2099-11-11")),
    ],
)
def test_days_are_those_that_calendars_printed(name: str, days: tuple[str, ...]) -> None:
    """Some early, some late, some in years with a leap month."""
    assert {date.fromisoformat(day).toordinal() - EPOCH for day in days} <= set(days_of(name))


@pytest.mark.parametrize("name", FESTIVALS)
def test_a_festival_comes_once_a_year(name: str) -> None:
    """In every year that rules may be asked in."""
    assert list(range(FIRST_YEAR, LAST_YEAR + 1)) == [date.fromordinal(day + EPOCH).year for day in days_of(name)]
