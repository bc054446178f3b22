"""What the simulated shop sells, who comes, and what they say: plain data, no behaviour."""

from __future__ import annotations

from typing import NamedTuple


class Article(NamedTuple):
    """One product; ``price`` in the shop's currency."""

    product_id: str
    name: str
    category: str
    price: float


_SHELVES: dict[str, tuple[tuple[str, float], ...]] = {
    "Coffee": (
        ("House espresso, 1 kg", 24.90), ("Ethiopia Guji, 250 g", 12.50), ("Decaf Colombia, 500 g", 15.80),
        ("Moka pot, 6 cups", 34.00), ("Hand grinder", 79.00),
    ),
    "Tea": (
        ("Sencha, first flush", 14.20), ("Earl Grey, loose", 8.90), ("Rooibos orange", 7.50), ("Cast-iron teapot", 49.00),
    ),
    "Skin care": (
        ("Day cream SPF 30", 27.50), ("Night serum", 42.00), ("Clay mask", 18.90), ("Hand balm", 9.80),
        ("Cleansing foam", 13.40),
    ),
    "Pets": (
        ("Dry food, salmon, 7.5 kg", 46.90), ("Cat litter, 20 l", 17.90), ("Chew sticks", 6.40), ("Scratching post", 59.00),
    ),
    "Baby": (("Nappies size 4, 120", 32.90), ("Wet wipes, 12 packs", 16.50), ("Sleeping bag", 39.90)),
    "Kitchen": (
        ("Chef's knife, 20 cm", 69.00), ("Cast-iron pan", 54.90), ("Baking set", 28.00), ("Linen apron", 22.50),
        ("Storage jars, set of 4", 19.90),
    ),
    "Sports": (
        ("Running socks, 3 pairs", 17.90), ("Yoga mat", 36.00), ("Whey protein, 1 kg", 29.90), ("Water bottle", 21.00),
        ("Trail shoes", 129.00),
    ),
    "Books": (("Paperback of the month", 12.00), ("Cookbook", 31.00), ("Children's atlas", 24.00), ("Crime, boxed set", 38.50)),
}  # fmt: skip

ARTICLES: tuple[Article, ...] = tuple(
    Article(f"P-{100 * shelf + place:04d}", name, category, price)
    for shelf, (category, articles) in enumerate(_SHELVES.items(), start=1)
    for place, (name, price) in enumerate(articles, start=1)
)
"""Every article of the shop."""

BY_CATEGORY: tuple[tuple[Article, ...], ...] = tuple(
    tuple(a for a in ARTICLES if a.category == category) for category in _SHELVES
)
"""The same, by category: a person mostly stays with two or three of them."""


class Place(NamedTuple):
    """Where a customer lives, and the names that are common there."""

    region: str
    language: str
    timezone: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]


PLACES: tuple[Place, ...] = (
    Place("US", "en", "America/New_York",
          ("Olivia", "Liam", "Ava", "Noah", "Grace", "Ethan", "Hannah", "Mason", "Zoe", "Caleb"),
          ("Carter", "Brooks", "Nguyen", "Rivera", "Hughes", "Patel", "Foster", "Kim", "Walsh", "Dawson")),
    Place("GB", "en", "Europe/London",
          ("Amelia", "George", "Isla", "Oscar", "Freya", "Harry", "Poppy", "Alfie"),
          ("Whitfield", "Clarke", "Ahmed", "Baker", "Okafor", "Turner", "Lloyd", "Pearce")),
    Place("DE", "de", "Europe/Berlin",
          ("Anna", "Jonas", "Lena", "Felix", "Mia", "Paul", "Clara", "Emil"),
          ("Schneider", "Yılmaz", "Weber", "Hoffmann", "Brandt", "Vogel", "Krüger", "Keller")),
    Place("CN", "zh", "Asia/Shanghai",
          ("伟", "芳", "娜", "敏", "静", "磊", "洋", "艳"),
          ("王", "李", "张", "刘", "陈", "杨", "赵", "黄")),
    Place("ES", "es", "Europe/Madrid",
          ("Lucía", "Hugo", "Martina", "Mateo", "Sofía", "Pablo", "Carmen", "Diego"),
          ("García", "Romero", "Serrano", "Molina", "Vidal", "Navarro", "Castro", "Ibáñez")),
)  # fmt: skip
"""Regions of the shop's customers, most frequent first."""

PRAISE: tuple[str, ...] = (
    "Exactly as described, will order again.", "Arrived a day early. Lovely.", "很好，下次还会买。",
    "Great quality for the price.", "Schnelle Lieferung, alles bestens.",
)  # fmt: skip
"""Words of content customers."""

BLAME: tuple[str, ...] = (
    "Arrived late and the box was crushed.", "Not worth the money.", "质量不好，很失望。",
    "Two items missing, still waiting for an answer.", "Nie wieder. Der Support antwortet nicht.",
)  # fmt: skip
"""Words of customers who are about to leave."""

SEARCHES: tuple[str, ...] = ("gift", "sale", "new in", "refill", "organic", "size guide", "under 20", "礼物")
"""What people type into the search box."""
