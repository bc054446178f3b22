"""What a person sees of a customer agrees with the record."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events.instants import DAY_MS, parse_ms
from stream.rules.loader import load_rules
from stream.state.customer import decode
from stream.state.orders import WINDOWS_DAYS
from stream.testing import Shop

RULES = load_rules()
NOW_MS = parse_ms("2026-03-01T12:00:00Z")
_AGES_DAYS = st.sampled_from([0, 1, 5, 6, 7, 8, 29, 30, 31, 90, 300, 364, 365, 366, 500])


@settings(max_examples=40)
@given(st.lists(st.tuples(_AGES_DAYS, st.booleans()), max_size=4))
def test_the_windows_seen_are_those_of_the_order_book(orders: list[tuple[int, bool]]) -> None:
    """Whoever has no orders, few, old ones or cancelled ones: the short ways lead where counting does."""
    shop = Shop(rules=RULES)
    for number, (age_days, cancelled) in enumerate(sorted(orders, reverse=True)):
        at_ms = NOW_MS - age_days * DAY_MS + number
        shop.send("Order Completed", "ann", at_ms, order_id=f"o{number}", revenue=10.0 + number)
        if cancelled:
            shop.send("Order Cancelled", "ann", at_ms + 60, order_id=f"o{number}")
    shop.send("Product Viewed", "ann", NOW_MS + 1_000, product_id="p")
    seen = shop.customer("ann")["windows"]
    book = decode(shop.store[b"ann"]).orders.windows(NOW_MS // DAY_MS)

    assert seen == {
        str(days): {"frequency": window.frequency, "monetary_minor": window.monetary_minor}
        for days, window in zip(WINDOWS_DAYS, book, strict=True)
    }
