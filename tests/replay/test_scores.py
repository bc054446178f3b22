"""`winback replay --score-at`: everybody who has ever ordered has a score, whatever became of the orders and however young the shop is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.config import make_settings
from stream.events.instants import DAY_MS, to_text
from stream.replay import Replay
from stream.rules.loader import load_rules

START = 19_000
"""UTC day on which the shop opens."""
DAYS = 40


def event(name: str, customer: str, day: float, number: int, **properties: Any) -> dict[str, Any]:
    """A Segment message at a time of a day after the shop's opening."""
    return {
        "type": "track",
        "event": name,
        "messageId": f"{name}-{customer}-{number}",
        "userId": customer,
        "timestamp": to_text(round((START + day) * DAY_MS)),
        "properties": {"order_id": f"{customer}-{number}", **properties},
    }


def order(customer: str, day: float, number: int = 0, worth: float = 20.0) -> dict[str, Any]:
    """An order in the shop's currency."""
    return event("Order Completed", customer, day, number, revenue=worth, currency="USD")


def refund(customer: str, day: float, number: int = 0, worth: float | None = None) -> dict[str, Any]:
    """Money back; the whole order without an amount."""
    amount = {} if worth is None else {"revenue": worth, "currency": "USD"}
    return event("Order Refunded", customer, day, number, **amount)


HISTORY = [
    *[order("daily", day, day) for day in range(DAYS)],
    *[order("crowd", number / 20, number) for number in range(20 * DAYS)],
    *[order(f"once-{day}", day) for day in range(DAYS)],
    *[order("returner", 30), refund("returner", 35)],
    *[refund("refunded first", 29), order("refunded first", 30)],
    *[order("overpaid", 30), refund("overpaid", 31, worth=900.0)],
    *[order("canceller", 30), event("Order Cancelled", "canceller", 30.5, 0)],
    order("gifted", 30, worth=0.0),
    order("millionaire", 30, worth=9e9),
    order("penny", 30, worth=0.01),
    refund("never ordered", 30),
    event("Product Viewed", "looker", 30, 0, product_id="p"),
]
BUYERS = {row["userId"] for row in HISTORY} - {"never ordered", "looker"}


def scores(folder: Path, files: list[list[dict[str, Any]]], at: list[float], **settings: Any) -> list[dict[str, Any]]:
    """The score lines of a replay of these files as of days after the shop's opening."""
    paths = []
    for number, rows in enumerate(files):
        paths.append(folder / f"{number}.jsonl")
        paths[-1].write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
    instants = [round((START + day) * DAY_MS) for day in at]
    with Replay(make_settings(**settings), load_rules(), until_ms=max(instants), score_at_ms=instants) as replay:
        replay.run(paths)
        return list(replay.scores())


def test_whoever_has_ordered_has_a_score_whatever_became_of_it(tmp_path: Path) -> None:
    """No label is known yet: the scores go by what holds of shops in general, and say that they aren't to be acted upon."""
    rows = {row["customer_id"]: row for row in scores(tmp_path, [HISTORY], [DAYS])}

    assert rows.keys() == BUYERS
    assert all(0.0 < row["churn_probability"] < 1.0 and row["abstained"] for row in rows.values())
    ranked = sorted((f"once-{day}" for day in range(DAYS)), key=lambda who: -rows[who]["churn_probability"])
    assert ranked == [f"once-{day}" for day in range(DAYS)], "those who are silent for longer are likelier to have left"
    assert rows["daily"]["churn_probability"] < rows["once-39"]["churn_probability"]
    assert rows["returner"]["features"]["silence"] == rows["once-30"]["features"]["silence"]
    assert rows["returner"]["features"]["order_value"] == rows["once-30"]["features"]["order_value"]


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0], ids=["first event", "first day", "first midnight"])
def test_there_is_a_score_from_the_first_order_on(tmp_path: Path, at: float) -> None:
    """Also on the day on which there is no version of the model yet."""
    rows = scores(tmp_path, [HISTORY], [at])

    known = {row["userId"] for row in HISTORY if row["timestamp"] < to_text(round((START + at) * DAY_MS))}
    assert {row["customer_id"] for row in rows} == known
    assert all(row["churn_probability"] is not None and row["abstained"] for row in rows)


def test_neither_order_nor_repeats_nor_files_change_a_score(tmp_path: Path) -> None:
    """Shuffled, sent twice and spread over files by kind: the same lines, with labels learnt as well."""
    chance = random.Random(1)
    shuffled = chance.sample(HISTORY * 2, 2 * len(HISTORY))
    kinds = sorted({row["event"] for row in HISTORY})
    spread = [[row for row in shuffled if row["event"] == kind] for kind in kinds]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    straight = scores(tmp_path / "a", [HISTORY], [20, DAYS], churn_horizon_days=9)
    assert straight == scores(tmp_path / "b", spread, [20, DAYS], churn_horizon_days=9)
    assert {row["customer_id"] for row in straight if row["as_of"] == to_text((START + DAYS) * DAY_MS)} == BUYERS
    assert len({row["churn_probability"] for row in straight}) > len(BUYERS)


def test_whoever_gives_back_is_like_whoever_keeps_but_for_the_returns(tmp_path: Path) -> None:
    """Two customers order on the same days; one gives everything back."""
    days = (1, 4, 8, 15, 16, 30)
    twins = [order(who, day, day) for who in ("keeps", "gives back") for day in days]
    back = [refund("gives back", day + 0.5, day) for day in days]
    rows = {row["customer_id"]: row["features"] for row in scores(tmp_path, [twins + back], [DAYS])}

    assert {"returns"} == {name for name, value in rows["keeps"].items() if value != rows["gives back"][name]}


def test_labels_count_orders_that_were_placed(tmp_path: Path) -> None:
    """With and without the returns of every order but each customer's first: as many labels of each kind."""
    placed = [order(f"c{number}", day, day) for number in range(30) for day in range(number % 7, DAYS, 5 + number % 11)]
    first = {row["userId"]: row["properties"]["order_id"] for row in reversed(placed)}
    days = {row["properties"]["order_id"]: int(row["properties"]["order_id"].rpartition("-")[2]) for row in placed}
    back = [
        refund(row["userId"], days[order_id] + 0.5, days[order_id])
        for row in placed
        if (order_id := row["properties"]["order_id"]) != first[row["userId"]]
    ]
    learnt = []
    for name, rows in (("kept", placed), ("back", placed + back)):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
        with Replay(make_settings(churn_horizon_days=9), load_rules(), until_ms=(START + DAYS) * DAY_MS) as replay:
            replay.run([path])
            learnt.append(replay.summary())

    assert learnt[0]["labels"] == learnt[1]["labels"]
    assert min(learnt[0]["labels"].values()) > 15
