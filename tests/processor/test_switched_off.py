"""Parts that are switched off: nothing of them in any record, nothing contributed, and everything else as before."""

from __future__ import annotations

from functools import cache

import orjson
import pytest

from stream.actions.message import Stream
from stream.config import make_settings
from stream.events.instants import parse_ms
from stream.processor.epochs import Examples, Figures, Met, decode_contribution
from stream.processor.partition import PARTITION_KEY
from stream.processor.scoring import OFF
from stream.state.customer import decode, encode
from stream.testing import Shop
from tests.bench.parts import KEPT, PARTS
from tests.kpis.test_kpis import HORIZON, life

KEEPING = ("tiers by share", "value groups", "loyalty and core", "lifecycle", "clusters", "all schemes", "churn")
"""Those that have something in the records of this shop."""


@cache
def lived(part: str = "") -> Shop:
    """Eighty days of a small shop, without a part."""
    off = PARTS[part] if part else {}
    shop = Shop(settings=make_settings(**({"churn_horizon_days": HORIZON, "churn_quiet_days": 2} | dict(off))))
    for line in life(5):
        shop.send_bytes(orjson.dumps(line), parse_ms(line["timestamp"]))
    return shop


def kept(shop: Shop, part: str) -> int:
    """Customers whose records hold something of a part."""
    found = 0
    for key, value in shop.store.items():
        if key != PARTITION_KEY:
            customer = decode(value)
            KEPT[part](customer)
            found += value != encode(customer)
    return found


@pytest.mark.parametrize("part", KEEPING)
def test_a_part_that_is_off_keeps_nothing(part: str) -> None:
    """In no record; with the part on there is something."""
    assert kept(lived(), part) > 0 == kept(lived(part), part)


@pytest.mark.parametrize(
    ("part", "kind"), [("churn", Examples), ("value forecasts", Met), ("missing figures", Figures)]
)
def test_a_part_that_is_off_contributes_nothing(part: str, kind: type) -> None:
    """Nothing of it is sent to the one who learns."""
    assert any(isinstance(each, kind) for each in contributions(lived()))
    assert not any(isinstance(each, kind) for each in contributions(lived(part)))


def contributions(shop: Shop) -> list[object]:
    """All that was sent to the one who learns."""
    messages = [message for out in shop.outcomes for message in out.messages if message.stream is Stream.CONTRIBUTIONS]
    return [decode_contribution(message.value) for message in messages if message.value]


def test_without_churn_there_are_no_scores_and_the_rest_is_the_same() -> None:
    """No probability, no alert, the reason in words; orders, tiers and rhythm as with it."""
    shop, other = lived("churn"), lived()
    for key in shop.store.keys() - {PARTITION_KEY}:
        view, with_it = shop.customer(key.decode()), other.customer(key.decode())
        assert view["churn_probability"] is None
        assert all(view[name] == with_it[name] for name in ("lifetime", "rfm", "tier", "segment", "cycle_days"))
    told = [message for out in shop.outcomes for message in out.messages]
    assert not [message for message in told if message.stream is Stream.ALERTS]
    scores = [orjson.loads(message.value or b"")["score"] for message in told if message.stream is Stream.ACTIONS]
    assert {(None, OFF)} == {(score["churn_probability"], score["abstained"]) for score in scores}
