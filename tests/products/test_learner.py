"""What is learnt of products, against plain counts; that memory is bounded, and the same however the orders are shared out."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.events.kinds import Line, Purchase
from stream.events.sample import ALL
from stream.processor.epochs import Bought, Coordinator, DayClosed
from stream.products import learner as module
from stream.products.associations import Associations, habit
from stream.products.basket import Basket, Baskets
from stream.products.learner import Learner, read_table
from stream.products.summary import Summary
from stream.segments.population import Histograms
from stream.state.messages import product_code

DAY = 20_000
PRODUCTS = tuple(f"p{n}" for n in range(8))


def _basket(customer: str, products: tuple[str, ...], before: tuple[str, ...] = (), day: int = DAY) -> Basket:
    drawn = random.Random(f"{customer} {day}").getrandbits(32)
    codes = tuple(product_code(product) for product in before)
    return Basket(day * DAY_MS, customer, drawn, tuple(sorted(products)), codes)


_baskets = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"), st.sets(st.sampled_from(PRODUCTS), min_size=1), st.sets(st.sampled_from(PRODUCTS))
    ),
    min_size=8,
    max_size=40,
)


@given(_baskets)
def test_support_confidence_and_lift_are_those_of_a_count(orders: list[tuple[str, set[str], set[str]]]) -> None:
    """Of products that are known already; by hand, over all orders of a day."""
    warm = [_basket(f"warm{n}", (product,)) for n in range(3) for product in PRODUCTS]
    learner = Learner(1_000, 60)
    learner.learn({DAY: warm})
    day = [_basket(f"{customer}{n}", tuple(p), tuple(b)) for n, (customer, p, b) in enumerate(orders)]
    learner.learn({DAY: day})
    known = Associations(learner.table())
    held = Counter(p for each in [*warm, *day] for p in each.products)
    pairs = Counter(pair for each in day for pair in combinations(each.products, 2))
    number = len(warm) + len(day)

    for a in PRODUCTS:
        found = {each.product_id: each for each in known.together(a, 99)}
        for b in PRODUCTS:
            orders_of = pairs[min(a, b), max(a, b)]
            lift = orders_of / held[a] / (held[b] / number)
            assert (b in found) == (orders_of >= 2 and round(lift, 4) > 1.0 and a != b)
            if b in found:
                assert found[b].orders == orders_of
                assert found[b].support == pytest.approx(orders_of / number, abs=1e-6)
                assert found[b].confidence == pytest.approx(orders_of / held[a], abs=1e-6)
                assert found[b].lift == pytest.approx(lift, abs=1e-4)


def test_an_old_order_counts_half_after_the_half_life() -> None:
    """Whether it was learnt then or comes late."""
    learner = Learner(1_000, 30)
    learner.learn({DAY: [_basket(f"c{n}", ("tea",)) for n in range(8)]})
    learner.learn({DAY + 30: [_basket("d", ("cup",), day=DAY + 30), _basket("late", ("pot",), day=DAY)]})
    known = Associations(learner.table())

    assert [known.orders_with(product) for product in ("tea", "cup", "pot")] == [4.0, 1.0, 0.5]


def test_memory_is_bounded_and_the_frequent_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand pairs that come once push out none that comes daily, and what is told is never more than there was."""
    monkeypatch.setattr(module, "MOST_ITEMS", 60)
    monkeypatch.setattr(module, "MOST_PAIRS", 40)
    learner, rng = Learner(1_000, 10_000), random.Random(7)
    for day in range(DAY, DAY + 30):
        noise = [_basket(f"n{n}", tuple(f"x{rng.randrange(40)}" for _ in range(6)), day=day) for n in range(60)]
        often = [_basket(f"o{n}", ("tea", "cup"), day=day) for n in range(9)]
        learner.learn({day: [*noise, *often]})
    table = read_table(learner.table())
    (found,) = Associations(learner.table()).together("tea", 1)

    assert len(table.items.counts) <= 60 and len(table.together.counts) <= 40 and len(table.names) <= 60
    assert found.product_id == "cup" and 0.98 * 270 <= found.orders <= 270.0


def test_a_summary_is_short_by_no_more_than_it_says() -> None:
    """Against exact counts, after many trims."""
    rng, seen, exact = random.Random(3), Summary(), Counter[int]()
    for _ in range(50):
        keys = [int(rng.paretovariate(0.7)) for _ in range(100)]
        exact.update(keys)
        seen.add(keys, 1.0)
        seen.trim(20)

    assert all(0 <= exact[key] - seen.count(key) <= seen.lost for key in exact)
    assert len(seen.counts) == 20 and 1 in seen.counts


def test_a_sample_of_many_orders_stands_for_all() -> None:
    """More than a day's most are drawn by their digest and weigh more; as many as are needed are asked for next."""
    learner = Learner(100, 60)
    learner.learn({DAY: [_basket(f"c{n}", ("tea",) if n % 4 else ("tea", "cup")) for n in range(2_000)]})
    known = Associations(learner.table())

    assert learner.admitted == pytest.approx(ALL / 10, rel=0.2)
    assert known.orders_with("tea") == pytest.approx(2_000, rel=0.2)
    assert known.orders_with("cup") == pytest.approx(500, rel=0.5)


def test_the_next_best_product_is_what_follows_what_was_bought() -> None:
    """Habit first, then what others bought next; somebody unknown is named what is popular. Each says why."""
    learner = Learner(1_000, 60)
    learner.learn({DAY: [_basket(f"w{n}", ("tea", "cup", "pot")) for n in range(4)]})
    learner.learn({DAY + 1: [_basket(f"c{n}", ("cup",), ("tea",), DAY + 1) for n in range(20)]})
    learner.learn({DAY + 2: [_basket(f"d{n}", ("tea",), ("tea",), DAY + 2) for n in range(20)]})
    known = Associations(learner.table())
    tea = habit([(product_code("tea"),)])

    assert [(a.product_id, a.how, a.because_of) for a in known.next_best(tea)] == [
        ("tea", "again", "tea"), ("cup", "next", "tea"), ("pot", "popular", "")
    ]  # fmt: skip
    assert [a.product_id for a in known.next_best(tea, only_new=True)] == ["cup", "pot"]
    assert [a.how for a in known.next_best([])] == ["popular"] * 3


@pytest.mark.parametrize("partitions", [1, 3])
def test_versions_are_the_same_however_orders_are_shared_out(partitions: int) -> None:
    """And after a restart in between."""
    settings = Settings(product_orders_per_day=50)
    rng = random.Random(5)
    days = {
        day: [_basket(f"c{n}", tuple(rng.sample(PRODUCTS, 3)), tuple(rng.sample(PRODUCTS, 2)), day) for n in range(80)]
        for day in range(DAY, DAY + 4)
    }
    alone = Learner(50, settings.product_half_life_days)
    coordinator = Coordinator(settings, partitions)
    for day, baskets in days.items():
        alone.learn({day: baskets})
        order = list(range(partitions))
        rng.shuffle(order)
        for number in order:
            own = [basket for n, basket in enumerate(baskets) if n % partitions == number]
            rng.shuffle(own)
            coordinator.contribute(Bought(partition=number, day=day, baskets=own))
            coordinator.contribute(DayClosed(partition=number, day=day, histograms=Histograms()))
        epoch = coordinator.fold()

        assert epoch is not None
        assert (alone.table(), alone.admitted) == (epoch.products, epoch.orders_admitted)
        coordinator = Coordinator(settings, partitions)
        coordinator.resume(epoch)


def test_another_half_life_starts_afresh() -> None:
    """Its counts would mean something else."""
    learner, other = Learner(10, 60), Learner(10, 30)
    learner.learn({DAY: [_basket("c", ("tea",))]})
    other.restore(learner.table())

    assert other.table() == b"" != learner.table()


def test_what_is_taken_of_an_order() -> None:
    """Its distinct products in a stable order, and those of baskets before it; nothing of orders that aren't drawn."""
    baskets = Baskets(10)
    lines = (Line("tea"), Line("cup", 2), Line("tea"), Line(""))
    order = Purchase(
        message_id="m", customer="ann", time_ms=5, order_id="o", amount_minor=9, lines=lines, category="Tea"
    )
    baskets.add(order, b"\x00\x00\x00\x09rest", b"")
    baskets.sample.admitted = 9
    baskets.add(order, b"\x00\x00\x00\x09rest", b"")

    assert [Basket(5, "ann", 9, ("cup", "tea"), (), "Tea")] == baskets.taken
