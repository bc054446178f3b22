"""Parts that are switched off: nothing of them in any record, nothing contributed, and everything else as before."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import pytest

from stream.actions.message import Stream
from stream.config import make_settings
from stream.events.instants import parse_ms, to_text
from stream.processor.epochs import Bought, Examples, Figures, Met, Said, decode_contribution
from stream.processor.partition import PARTITION_KEY
from stream.processor.scoring import OFF
from stream.quality.suspicion import RUN
from stream.state.customer import decode, encode
from stream.testing import Shop, message
from tests.bench.parts import KEPT, PARTS
from tests.kpis.test_kpis import HORIZON, life

KEEPING = (
    *("tiers by share", "value groups", "loyalty and core", "lifecycle", "clusters", "all schemes", "churn"),
    "suspects",
)
"""Those that have something in the records of this shop."""
BOT = "c1"


def busy_life() -> list[dict[str, Any]]:
    """Orders have products, opinions have words, and one customer clicks as no hand does."""
    lines = life(5)
    for number, line in enumerate(lines):
        match line.get("event"):
            case "Order Completed":
                line["properties"]["products"] = [{"product_id": f"p{number % 5}"}, {"product_id": f"p{number % 3}"}]
            case "Product Reviewed":
                line["properties"]["review_body"] = "came quickly, tastes wonderful, thank you"
    last_ms = max(parse_ms(line["timestamp"]) for line in lines if line["userId"] == BOT)
    clicks = [
        message("Product Viewed", BOT, to_text(last_ms + 500 * number), message_id=f"v{number}", product_id="p1")
        for number in range(1, RUN + 1)
    ]
    return sorted(lines + clicks, key=lambda line: str(line["timestamp"]))


@cache
def lived(part: str = "") -> Shop:
    """Eighty days of a small shop, without a part."""
    off = PARTS[part] if part else {}
    shop = Shop(settings=make_settings(**({"churn_horizon_days": HORIZON, "churn_quiet_days": 2} | dict(off))))
    for line in busy_life():
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
    ("part", "kind"),
    [
        *(("churn", Examples), ("value forecasts", Met), ("missing figures", Figures)),
        *(("products", Bought), ("sentiment", Said)),
    ],
)
def test_a_part_that_is_off_contributes_nothing(part: str, kind: type) -> None:
    """Nothing of it is sent to the one who learns."""
    assert any(isinstance(each, kind) for each in contributions(lived()))
    assert not any(isinstance(each, kind) for each in contributions(lived(part)))


OWN = {
    "products": {"next_products"},
    "missing figures": {"imputed"},
    "value forecasts": {"lifetime_value", "loyalty_in_90_days"},
}
"""What a person sees of a part that nothing else goes by."""


@pytest.mark.parametrize("part", ["contest of models", "products", "sentiment", "missing figures", "value forecasts"])
def test_without_what_nobody_is_judged_by_the_rest_is_the_same(part: str) -> None:
    """Scores, classes and all else that is seen of anybody; each of these parts has figures of its own alone."""
    shop, other = lived(part), lived()
    own = OWN.get(part, set())
    for key in shop.store.keys() - {PARTITION_KEY}:
        view, with_it = shop.customer(key.decode()), other.customer(key.decode())
        assert {name for name in view if view[name] != with_it[name]} <= own


def test_nobody_is_a_suspect_when_nobody_watches() -> None:
    """The one who clicked as no hand does is one of all then, and is listed as a suspect otherwise."""
    shop, other = lived("suspects"), lived()
    assert (shop.customer(BOT)["suspect"], other.customer(BOT)["suspect"]) == (None, "pace")
    for each, suspects in ((shop, []), (other, [BOT])):
        found = each.partition.find({"suspect": "any"}, "", each.partition.now_ms)
        assert [line["customer_id"] for line in found if line is not None] == suspects


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
