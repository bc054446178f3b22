"""The simulated shop: reproducible to the byte, and honest about who leaves when."""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import blake2b
from itertools import islice, pairwise
from typing import Any

import msgspec

from stream.config import make_settings
from stream.events.codec import Decoder
from stream.events.instants import DAY_MS, parse_ms
from stream.events.kinds import Event
from stream.events.record import Record
from stream.events.rejected import Rejected
from stream.simulate import Shop

START_MS = 1_700_000_000_000
YEAR_MS = START_MS + 365 * DAY_MS


def shop(seed: int = 7, customers: int = 150) -> Shop:
    """A small shop."""
    return Shop(seed, customers, START_MS)


def orders(events: list[tuple[str, dict[str, Any]]]) -> dict[str, list[int]]:
    """Times of orders by customer."""
    found: dict[str, list[int]] = defaultdict(list)
    for _, message in events:
        if message.get("event") == "Order Completed":
            found[message["userId"]].append(parse_ms(message["timestamp"]))
    return found


def test_the_same_seed_gives_the_same_bytes() -> None:
    """A known digest: also on another machine, another day, and with another hash seed of Python."""
    lines = b"\n".join(line for _, _, line in shop().lines(YEAR_MS, broken_share=0.05))

    assert "a8bd4eeaf5dedcc6" == blake2b(lines, digest_size=8).hexdigest()


def test_another_seed_gives_other_events() -> None:
    """The seed decides what people do, not only their ids."""
    first, second = (Counter(m.get("event") for _, m in shop(seed).events(YEAR_MS)) for seed in (1, 2))

    assert first != second


def test_events_come_in_order_of_time_across_calls_and_into_live() -> None:
    """History in two calls, then live: event time never steps back, and no message id comes twice."""
    one = shop()
    events = list(one.events(START_MS + 100 * DAY_MS)) + list(one.events(YEAR_MS))
    one.go_live(YEAR_MS, events_per_second=50.0)
    events += list(one.events(YEAR_MS + 600_000))
    times = [message["timestamp"] for _, message in events]

    assert sorted(times) == times
    assert len(events) == len({message["messageId"] for _, message in events})


def test_stopping_on_the_way_changes_nothing() -> None:
    """Reading a year in slices gives the events of reading it at once."""
    sliced = shop()
    slices = [e for day in range(1, 366) for e in sliced.events(START_MS + day * DAY_MS)]

    assert list(shop().events(YEAR_MS)) == slices


def test_nobody_buys_after_leaving() -> None:
    """In history and live alike, a customer's last order is before the known date of leaving."""
    one = shop()
    events = list(one.events(YEAR_MS))
    in_history = dict(one.churned_at_ms)
    one.go_live(YEAR_MS, events_per_second=200.0)
    bought = orders(events + list(one.events(YEAR_MS + 1_200_000)))

    assert all(one.shoppers[who].churn_ms == at_ms for who, at_ms in in_history.items())
    assert [] == [who for who, at_ms in one.churned_at_ms.items() if who in bought and bought[who][-1] >= at_ms]
    assert len(one.churned_at_ms) > len(in_history) > 50


def test_customers_have_cycles_of_their_own() -> None:
    """Gaps between a customer's orders scatter around that customer's cycle, and a share buys exactly once."""
    one = shop(customers=400)
    bought = orders(list(one.events(YEAR_MS)))
    ratios = []
    for who, times in bought.items():
        shopper = one.shoppers[who]
        ratios += [(b - a) / shopper.cycle_ms for a, b in pairwise(times) if not shopper.fading(a)]
    once = sum(len(times) == 1 for times in bought.values()) / len(bought)

    assert 0.95 < sorted(ratios)[len(ratios) // 2] < 1.05
    assert 0.3 < once < 0.6


def test_live_keeps_the_rate() -> None:
    """After the first minute, as many events a second as were asked for."""
    one = shop()
    list(one.events(YEAR_MS))
    one.go_live(YEAR_MS, events_per_second=100.0)
    list(one.events(YEAR_MS + 120_000))
    count = sum(1 for _ in one.events(YEAR_MS + 240_000))

    assert 0.95 * 12_000 < count < 1.05 * 12_000


def test_every_good_line_decodes_and_every_broken_one_is_refused_for_its_reason() -> None:
    """What the shop sends is what the contract takes; broken lines cover a dozen reasons and don't disturb good ones."""
    decoder = Decoder(make_settings())
    reasons: Counter[str] = Counter()
    good = []
    for _, key, line in shop().lines(YEAR_MS, broken_share=0.02):
        decoded = decoder.decode(Record("t", 0, 0, YEAR_MS, key, line))
        if isinstance(decoded, Rejected):
            reasons[decoded.reason] += 1
        else:
            assert isinstance(decoded, Event)
            assert key.decode() == decoded.customer
            good.append(line)

    assert [msgspec.json.encode(message) for _, message in shop().events(YEAR_MS)] == good
    assert 12 == len(reasons)
    assert 0.015 < reasons.total() / (len(good) + reasons.total()) < 0.025


def test_the_stream_has_no_end() -> None:
    """Customers keep joining, so a shop of one goes on for ever."""
    assert 5_000 == len(list(islice(Shop(3, 1, START_MS).events(), 5_000)))
