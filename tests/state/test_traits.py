"""Traits as senders write them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.state.traits import birthday, day_named


@pytest.mark.parametrize(
    ("text", "month_day"),
    [
        ("1990-05-17", (5, 17)),
        ("1990/05/17", (5, 17)),
        ("1990.05.17", (5, 17)),
        ("19900517", (5, 17)),
        ("1990-05-17T00:00:00.000Z", (5, 17)),
        ("1990-05-17 08:00:00", (5, 17)),
        ("1604-05-17", (5, 17)),
        ("0000-05-17", (5, 17)),
        ("--05-17", (5, 17)),
        ("05-17", (5, 17)),
        ("2000-02-29", (2, 29)),
        ("2001-02-29", (2, 29)),
        ("1900-01-02", (1, 2)),
        ("1900-01-01", None),
        ("0001-01-01", None),
        ("0000-00-00", None),
        ("1990-02-30", None),
        ("1990-13-01", None),
        ("1990-05/17", None),
        ("17.5.90", None),
        ("05/17/1990", None),
        ("１９９０-05-17", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_birthday_is_read_or_is_none(text: str, month_day: tuple[int, int] | None) -> None:
    """Whatever says clearly which month and which day does."""
    assert month_day == birthday(text)


@given(st.text() | st.from_regex(r"[0-9]{2,4}[-/.]?[0-9]{2}[-/.]?[0-9]{0,2}.*"))
@example("9999-12-31")
def test_no_text_is_too_strange(text: str) -> None:
    """What can't be read is no date, and never an error."""
    assert birthday(text) is None or len(birthday(text) or ()) == 2
    assert (day_named(text) or 0) >= 0
