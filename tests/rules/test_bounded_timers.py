"""A bound on what is due next leaves out what lies behind it, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.rules.loader import load_rules
from stream.rules.schedule import NEVER_MS, Schedule

_SCHEDULE = Schedule(load_rules(), Settings())
_RULES = ("lapsed-60", "review-request", "tutorial", "half-year-thanks", "repurchase-reminder")
_START_MS = 20_000 * DAY_MS
_instant = st.integers(0, 400 * DAY_MS).map(lambda ms: _START_MS + ms)
_fired = st.dictionaries(st.sampled_from(_RULES), st.tuples(st.sampled_from(("first", "order-1", "order-2")), _instant))


@given(
    instants=st.tuples(_instant, _instant, st.just(0) | _instant),
    fired=_fired,
    history_ms=st.just(0) | _instant,
    customer_hash=st.integers(0, 2**64 - 1),
    before_ms=st.just(NEVER_MS) | _instant,
)
def test_a_bound_is_the_answer_where_nothing_is_due_sooner(
    instants: tuple[int, int, int],
    fired: dict[str, tuple[str, int]],
    history_ms: int,
    customer_hash: int,
    before_ms: int,
) -> None:
    orders = SimpleNamespace(last_order_name="order-2")
    memory = SimpleNamespace(fired=fired, history_until_ms=history_ms)
    timers = _SCHEDULE.on_orders
    unbounded_ms = timers.next_ms(instants, orders, memory, customer_hash)
    bounded_ms = timers.next_ms(instants, orders, memory, customer_hash, before_ms)
    assert bounded_ms == min(unbounded_ms, before_ms)
