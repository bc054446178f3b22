"""CDNOW from the installed package: the counts that the literature gives, and identities that survive equal lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from stream import datasets


def test_every_order_and_customer_of_the_published_data_is_there() -> None:
    """69,659 orders of 23,570 customers, 80 of them worth nothing, as the data's authors count them."""
    events = list(datasets.cdnow_events())

    assert datasets.CDNOW_ORDERS == len(events)
    assert datasets.CDNOW_CUSTOMERS == len({e["userId"] for e in events})
    assert 80 == sum(e["properties"]["revenue"] == 0 for e in events)


def test_equal_lines_are_orders_of_their_own() -> None:
    """255 lines equal an earlier one, and still every message and order id occurs once."""
    events = list(datasets.cdnow_events())
    same = Counter(
        (e["userId"], e["timestamp"], e["properties"]["revenue"], e["properties"]["products"][0]["quantity"])
        for e in events
    )

    assert 255 == sum(count - 1 for count in same.values())
    assert len(events) == len({e["messageId"] for e in events}) == len({e["properties"]["order_id"] for e in events})


def test_orders_come_in_canonical_order() -> None:
    """By time, then messageId: so a live run in this order decides exactly as a replay does."""
    keys = [(e["timestamp"], e["messageId"]) for e in datasets.cdnow_events()]

    assert sorted(keys) == keys
    assert keys[-1][0] < datasets.CDNOW_END


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the package the error names it and the command that brings it."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    with pytest.raises(datasets.DatasetMissing, match=r"(?s)lifetimes.*uv pip install"):
        datasets.cdnow_path()
