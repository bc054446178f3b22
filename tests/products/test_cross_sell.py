"""From orders to an action that names a product: live through the processor, the coordinator and the shipped rule."""

from __future__ import annotations

from typing import Any

from stream.testing import Shop


def _shop() -> Shop:
    """Ann likes pots; twenty others have bought pots with lids, and lamps."""
    shop = Shop()
    for number in range(20):
        at = f"2026-03-01T10:{number:02d}:00Z"
        products = [{"product_id": "pot", "price": 5}, {"product_id": "lid" if number % 4 else "lamp", "price": 2}]
        shop.send("Order Completed", f"c{number}", at, order_id=f"o{number}", revenue=7, products=products)
    shop.send("Order Completed", "ann", "2026-03-01T12:00:00Z", order_id="a", revenue=9,
              products=[{"product_id": "kettle"}])  # fmt: skip
    return shop


def _looks(shop: Shop, product: str) -> list[dict[str, Any]]:
    """Ann looks at a product eight times, some days later; what the rule then decides."""
    for number in range(8):
        shop.send("Product Viewed", "ann", f"2026-03-05T10:0{number}:00Z", product_id=product, category="Pots")
    told = [each for each in shop.take() if each["stream"] in ("actions", "suppressions")]
    return [each for each in told if each["rule"]["id"] == "cross-sell"]


def test_the_action_names_what_goes_with_the_product() -> None:
    """With its figures, and in the sentence of the explanation."""
    (action,) = _looks(_shop(), "pot")
    named = action["product"]

    assert (named["product_id"], named["because_of"], named["how"]) == ("lid", "pot", "together")
    assert 0.7 < named["confidence"] <= 0.75 and named["lift"] > 1.0
    assert "lid: in 7" in action["explanation"]["text"] and "of the orders with pot" in action["explanation"]["text"]


def test_nothing_known_of_the_product_names_the_next_best_one() -> None:
    """What the customer buys herself, or what many buy; never nothing once orders have been learnt."""
    (action,) = _looks(_shop(), "vase")

    assert action["product"]["how"] in ("again", "popular")


def test_a_customer_and_a_product_are_looked_up() -> None:
    """The view has the next best products; a product has its figures, an unknown one says so."""
    shop = _shop()
    _looks(shop, "pot")
    partition = shop.partition
    found = partition.product("pot")

    assert found["known"] and found["orders"] > 19.0 and found["together"][0]["product_id"] == "lid"
    assert not partition.product("vase")["known"]
    view = partition.customer("ann", partition.now_ms)
    assert view is not None and "pot" in [each["product_id"] for each in view["next_products"]]
