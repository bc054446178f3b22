"""The simulated shop: lives in order, visits as events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from math import exp, log
from random import Random
from typing import Any, TypeVar

import msgspec

from stream.events.instants import DAY_MS, to_text
from stream.simulate.broken import broken
from stream.simulate.catalogue import ARTICLES, BLAME, PRAISE, SEARCHES, Article
from stream.simulate.people import VISIT_MS, Shopper

T = TypeVar("T")
Event = tuple[str, dict[str, Any]]
"""(input topic by kind: purchases, browses, feedback, profiles, outcomes; the Segment message)"""


_ELSEWHERE = 7
"""One message in so many is from another channel than the shopper's own."""
_Step = Callable[[Shopper, int, int], None]


class Shop:
    """The shop. ``customers`` join during the first ``join_days`` (most of them early), and as many a year after that.

    ``tag`` keeps ids of separate runs apart; the default comes from seed and start, because a message id that comes back
    with another body is a dead letter.

    >>> shop = Shop(seed=7, customers=50, start_ms=1_700_000_000_000)
    >>> year = list(shop.events(1_700_000_000_000 + 365 * DAY_MS))
    >>> year == list(Shop(seed=7, customers=50, start_ms=1_700_000_000_000).events(1_700_000_000_000 + 365 * DAY_MS))
    True
    >>> sorted({topic for topic, _ in year})
    ['browses', 'feedback', 'profiles', 'purchases']
    """

    def __init__(
        self,
        seed: int,
        customers: int,
        start_ms: int,
        *,
        join_days: float = 240.0,
        tag: str = "",
        currency: str = "USD",
    ) -> None:
        self._rng = Random(seed)
        self._start_ms = start_ms
        self._tag = tag or f"{seed}-{start_ms // 1000:x}"
        self._currency = currency
        self._lives: list[tuple[int, int, _Step, Shopper]] = []
        self._ready: list[tuple[int, int, str, dict[str, Any]]] = []
        self._order = 0
        self._messages = 0
        self._live: tuple[int, float, int] | None = None  # since (published ms), ms per event, messages before
        self._tempo = 1.0
        self._day_text: dict[int, str] = {}
        self._arrival_ms = int(join_days * DAY_MS / max(customers, 1))
        self.shoppers: dict[str, Shopper] = {}
        self.churned_at_ms: dict[str, int] = {}
        """Published time from which a customer who has left never orders again, by customer id."""
        for _ in range(customers):
            self._join(start_ms + int(self._rng.random() ** 2 * join_days * DAY_MS))
        self._next_arrival_ms = start_ms + int(join_days * DAY_MS)

    def events(self, until_ms: int | None = None) -> Iterator[Event]:
        """Events up to a published instant (exclusive), in order of time; endless without one. Call again to go on."""
        ready, lives = self._ready, self._lives
        while True:
            horizon_ms = self._horizon_ms()
            while ready and ready[0][0] <= horizon_ms:
                if until_ms is not None and ready[0][0] >= until_ms:
                    return
                _, _, topic, message = heappop(ready)
                yield topic, message
            if until_ms is not None and horizon_ms >= until_ms:
                return
            while not lives or self._next_arrival_ms <= lives[0][0]:
                self._join(self._next_arrival_ms)
                self._next_arrival_ms += self._arrival_ms
            life_ms, _, step, shopper = heappop(lives)
            step(shopper, life_ms, horizon_ms)

    def lines(self, until_ms: int | None = None, broken_share: float = 0.0) -> Iterator[tuple[str, bytes, bytes]]:
        """The same as (topic, key, JSON); besides, so many broken ones as a share of all lines.

        A broken line is made from a good one, which goes out as well: the good ones are the same with and without.
        """
        encode = msgspec.json.Encoder().encode
        rng = Random(f"{self._tag} broken")
        again = broken_share / (1.0 - broken_share)
        count = 0
        for topic, message in self.events(until_ms):
            key = (message.get("userId") or f"anon:{message['anonymousId']}").encode()
            yield topic, key, encode(message)
            if again and rng.random() < again:
                yield (topic, key, broken({**message, "messageId": f"{message['messageId']}-bad"}, count)[1])
                count += 1

    def go_live(self, now_ms: int, events_per_second: float) -> None:
        """From here on visits start at ``now_ms`` (published) and at the pace that gives this rate.

        Lives then run faster than events say, so cycles look short; people click three times as fast, too.
        """
        self._live = (now_ms, 1000.0 / events_per_second, self._messages)
        self._tempo = 1 / 3

    def _horizon_ms(self) -> int:
        """Published time of the next thing in life: nothing can come before it any more."""
        if self._live is None:
            return min(self._lives[0][0], self._next_arrival_ms) if self._lives else self._next_arrival_ms
        since_ms, per_event_ms, before = self._live
        return since_ms + int((self._messages - before) * per_event_ms)

    def _join(self, joined_ms: int) -> None:
        shopper = Shopper(self._rng, len(self.shoppers) + 1, joined_ms)
        self.shoppers[shopper.id] = shopper
        self._later(joined_ms, self._buy, shopper)
        self._later(joined_ms + self._gap(shopper), self._browse, shopper)
        self._later(shopper.churn_ms, self._leave, shopper)

    def _later(self, life_ms: int, step: _Step, shopper: Shopper) -> None:
        self._order += 1
        heappush(self._lives, (life_ms, self._order, step, shopper))

    def _gap(self, shopper: Shopper) -> int:
        """Time to the next visit without an order."""
        return int(-log(1.0 - self._rng.random()) * shopper.cycle_ms / shopper.persona.visits) + 3_600_000

    # -- what people do: (shopper, life time, published time)

    def _leave(self, shopper: Shopper, life_ms: int, at_ms: int) -> None:
        self.churned_at_ms[shopper.id] = max(at_ms, shopper.last_order_ms + 1)

    def _browse(self, shopper: Shopper, life_ms: int, at_ms: int) -> None:
        draw = self._rng.random
        gone_ms = life_ms - shopper.churn_ms
        gap = self._gap(shopper)
        if gone_ms < 0:
            self._later(life_ms + gap, self._browse, shopper)
        elif gone_ms < 2 * shopper.cycle_ms:  # some still look in for a while
            self._later(life_ms + 3 * gap, self._browse, shopper)
        anonymous = draw() < 0.05
        if draw() < 0.12:
            at_ms += self._pause(20)
            self._event(shopper, at_ms, "browses", "Products Searched", {"query": self._pick(SEARCHES)}, anonymous)
        at_ms, seen = self._look(shopper, at_ms, 3.0, anonymous)
        if draw() < 0.18 and gone_ms < 0 and not anonymous:  # puts it into the cart, and leaves it there
            at_ms += self._pause(25)
            self._event(shopper, at_ms, "browses", "Product Added", self._line(seen, 1))
            if draw() < 0.25:
                at_ms += self._pause(40)
                self._event(shopper, at_ms, "browses", "Product Removed", self._line(seen, 1))

    def _buy(self, shopper: Shopper, life_ms: int, at_ms: int) -> None:
        draw, persona = self._rng.random, shopper.persona
        if not shopper.known:
            shopper.known = True
            self._introduce(shopper, at_ms)
        elif life_ms + VISIT_MS >= shopper.churn_ms:  # the visit's order might fall after leaving
            return
        fading = shopper.fading(life_ms)
        at_ms, seen = self._look(shopper, at_ms, 2.0)
        basket = [(seen, 1)]
        while len(basket) < 8 and draw() < 1.0 - 1.0 / persona.basket:
            basket.append((self._choose(shopper), 1 if draw() < 0.8 else 2))
        for article, quantity in basket:
            at_ms += self._pause(20)
            self._event(shopper, at_ms, "browses", "Product Added", self._line(article, quantity))
        products = [self._line(article, quantity) for article, quantity in basket]
        at_ms += self._pause(30)
        self._event(shopper, at_ms, "browses", "Checkout Started", {"currency": self._currency, "products": products})
        total = sum(a.price * q for a, q in basket)
        discount = round(total * 0.15, 2) if draw() < 0.15 else 0.0
        order_id = f"O-{self._tag}-{self._messages}"
        properties = {"order_id": order_id, "revenue": round(total - discount, 2), "currency": self._currency,
                      "discount": discount, "products": products}  # fmt: skip
        at_ms += self._pause(60)
        self._event(shopper, at_ms, "purchases", "Order Completed", properties)
        shopper.last_order_ms = max(shopper.last_order_ms, at_ms)
        self._after(shopper, life_ms, order_id, properties, fading)
        stretch = 1.7 if fading else 1.0
        gap = int(shopper.cycle_ms * stretch * exp(persona.spread * self._normal()))
        if persona.life_days and life_ms + gap < shopper.churn_ms:
            self._later(life_ms + gap, self._buy, shopper)

    def _after(self, shopper: Shopper, life_ms: int, order_id: str, order: dict[str, Any], fading: bool) -> None:
        """Returns, reviews, answers and complaints come days after the order."""
        draw = self._rng.random
        bad = draw() < (0.45 if fading else 0.08)
        product_id = order["products"][0]["product_id"]

        def soon(low_days: float, high_days: float, topic: str, name: str, properties: dict[str, Any]) -> None:
            when = life_ms + int((low_days + (high_days - low_days) * draw()) * DAY_MS)
            self._later(when, lambda who, _, at_ms: self._event(who, at_ms, topic, name, properties), shopper)

        if draw() < 0.05:
            refund: dict[str, Any] = {"order_id": order_id, "currency": self._currency}
            if draw() < 0.4:
                refund["revenue"] = round(order["revenue"] / 2, 2)
            soon(4, 16, "purchases", "Order Refunded", refund)
        if draw() < 0.01:
            soon(0.1, 0.9, "purchases", "Order Cancelled", {"order_id": order_id})
        if draw() < 0.12:
            rating = 1 + int(draw() * 2.2) if bad else 4 + int(draw() * 2)
            words = self._pick(BLAME if bad else PRAISE)
            soon(3, 12, "feedback", "Product Reviewed",
                 {"product_id": product_id, "rating": str(rating), "review_body": words})  # fmt: skip
        if draw() < 0.10:
            soon(1, 5, "feedback", "NPS Submitted", {"score": int(draw() * 7) if bad else 7 + int(draw() * 4)})
        if bad and draw() < 0.10:
            complaint = {"complaint_id": f"K-{order_id}"}
            soon(2, 6, "feedback", "Complaint Opened", complaint)
            if draw() < 0.8:
                soon(7, 12, "feedback", "Complaint Resolved", complaint)

    def _introduce(self, shopper: Shopper, at_ms: int) -> None:
        place = shopper.place
        self._message(at_ms, "profiles", {
            "type": "identify", "userId": shopper.id,
            "traits": {"name": shopper.name, "region": place.region, "language": place.language,
                       "timezone": place.timezone, "address": {"country": place.region}},
        })  # fmt: skip
        if self._rng.random() < 0.06:
            forbids = {"granted": False, "consent_channel": self._pick(("*", "sms", "email"))}
            self._event(shopper, at_ms + 1, "profiles", "Consent Changed", forbids)

    def _look(self, shopper: Shopper, at_ms: int, mean: float, anonymous: bool = False) -> tuple[int, Article]:
        """Product pages one after the other, often the same again; returns when it ended and the last one seen."""
        draw = self._rng.random
        article = self._choose(shopper)
        stay = 1.0 - 1.0 / mean
        for _ in range(12):
            at_ms += self._pause(30)
            self._event(shopper, at_ms, "browses", "Product Viewed", self._line(article, None), anonymous)
            if draw() >= stay:
                break
            if draw() < 0.5:
                article = self._choose(shopper)
        return at_ms, article

    # -- small tools

    def _choose(self, shopper: Shopper) -> Article:
        draw = self._rng.random()
        return self._pick(shopper.categories[0] if draw < 0.6 else shopper.categories[1] if draw < 0.9 else ARTICLES)

    def _pick(self, choices: tuple[T, ...]) -> T:
        return choices[int(self._rng.random() * len(choices))]

    def _normal(self) -> float:
        """Roughly normal, by four uniforms: cheaper than `Random.gauss`, and no value is further out than 3.5."""
        draw = self._rng.random
        return (draw() + draw() + draw() + draw() - 2.0) * 1.7320508

    def _pause(self, mean_seconds: float) -> int:
        return int((0.3 + 1.4 * self._rng.random()) * mean_seconds * 1000 * self._tempo)

    def _line(self, article: Article, quantity: int | None) -> dict[str, Any]:
        line = {"product_id": article.product_id, "name": article.name, "category": article.category,
                "price": article.price}  # fmt: skip
        if quantity is not None:
            line["quantity"] = quantity
        return line

    def _event(
        self, shopper: Shopper, at_ms: int, topic: str, name: str, properties: dict[str, Any], anonymous: bool = False
    ) -> None:
        who, key = ("anonymousId", shopper.device) if anonymous else ("userId", shopper.id)
        # Now and then elsewhere than usual: by count, so that no other draw depends on it.
        channel = shopper.channel if self._messages % _ELSEWHERE else "web"
        properties = {**properties, "channel": "web" if channel == "pos" and topic == "browses" else channel}
        self._message(at_ms, topic, {"type": "track", "event": name, who: key, "properties": properties})

    def _message(self, at_ms: int, topic: str, message: dict[str, Any]) -> None:
        number = self._messages = self._messages + 1
        message["messageId"] = f"sim-{self._tag}-{number}"
        day, rest = divmod(at_ms, DAY_MS)
        date = self._day_text.get(day)
        if date is None:
            date = self._day_text[day] = to_text(day * DAY_MS)[:11]
        seconds, ms = divmod(rest, 1000)
        minutes, seconds = divmod(seconds, 60)
        message["timestamp"] = f"{date}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{ms:03d}Z"
        heappush(self._ready, (at_ms, number, topic, message))
