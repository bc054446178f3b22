"""Caps, budgets and the circuit breaker: never exceeded, in any order, and told from the record alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.actions.decision import Verdict
from stream.config import make_settings
from stream.governance.asked import Controls
from stream.governance.judge import Judgement, judge, judged_again, remember
from stream.governance.ledger import Ledger
from stream.governance.policy import SHARED_TIERS, make_policy
from stream.state.customer import Customer
from tests.governance.asking import DAY_MS, HOUR_MS, NOW, ask

CHANNELS = ("email", "sms", "call")
GROUPS = ("recall", "care")
_wishes = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(CHANNELS), st.sampled_from(GROUPS)), min_size=1, max_size=120
)


@given(_wishes, st.integers(1, 4), st.integers(1, 5))
def test_no_window_ever_holds_more_than_the_cap(wishes: list[tuple[int, str, str]], most: int, days: int) -> None:
    """Whatever is wanted when: in every rolling window, per customer, channel and group, at most the cap goes out."""
    customer = Customer()
    sent: dict[str, list[int]] = {}
    caps = f"channel:sms=1/{days}d,group:recall=2/30h"
    for hour, channel, group in sorted(wishes):
        question = ask(
            customer,
            now_ms=NOW + hour * HOUR_MS,
            changes={"channel": channel, "group": group, "cap": True, "cooldown_ms": 0, "quiet_hours": False},
            cap_messages=most,
            cap_window_days=days,
            caps=caps,
        )
        if judge(question).answer == "publish":
            remember(question)
            for scope in ("customer", f"channel:{channel}", f"group:{group}"):
                sent.setdefault(scope, []).append(question.now_ms)
    limits = {"customer": (most, days * DAY_MS), "channel:sms": (1, days * DAY_MS), "group:recall": (2, 30 * HOUR_MS)}
    for scope, (allowed, window_ms) in limits.items():
        times = sent.get(scope, [])
        assert all(later - earlier >= window_ms for earlier, later in zip(times, times[allowed:], strict=False)), scope


def test_a_full_cap_puts_off_to_the_instant_a_place_is_free() -> None:
    """And then it goes out; two messages around midnight are two in one window."""
    customer = Customer()
    first = ask(customer, now_ms=NOW, changes={"cap": True, "cooldown_ms": 0}, cap_messages=1, cap_window_days=2)
    remember(first)

    soon = replace(first, now_ms=NOW + HOUR_MS)
    then = replace(first, now_ms=NOW + 2 * DAY_MS)

    assert ("deferred", "frequency_cap", NOW + 2 * DAY_MS) == judge(soon)[:3]
    assert "publish" == judge(then).answer


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 9), st.sampled_from(("high", "medium", "low", "lost")), st.integers(1, 60)
        ),
        max_size=150,
    ),
    st.integers(0, 2_000),
    st.floats(0, 1),
)
def test_no_day_costs_more_than_the_budget(
    wishes: list[tuple[int, int, str, int]], budget: int, reserved: float
) -> None:
    """Over all partitions together, and what is reserved for high and medium tiers is spent on nobody else."""
    partitions = 4
    ledgers = [Ledger() for _ in range(partitions)]
    spent: Counter[int] = Counter()
    others: Counter[int] = Counter()
    for day, customer, tier, cost in sorted(wishes, key=lambda wish: wish[0]):
        question = ask(
            now_ms=NOW + day * DAY_MS,
            tier=tier,
            ledger=ledgers[customer % partitions],
            partitions=partitions,
            changes={"cost_minor": cost},
            budget_daily_minor=budget,
            budget_reserved_share=reserved,
        )
        if judge(question).answer == "publish":
            remember(question)
            spent[day] += cost
            others[day] += 0 if tier in SHARED_TIERS else cost
    if budget // partitions:
        assert all(money <= budget for money in spent.values())
        assert all(money <= budget * (1 - reserved) + partitions for money in others.values())


def test_a_rule_that_runs_wild_is_held_back_for_a_while() -> None:
    """After its number in one minute; others go on, and later it does too."""
    ledger = Ledger()
    answers = []
    for second in (0, 1, 2, 3, 20 * 60):
        question = ask(now_ms=NOW + second * 1_000, ledger=ledger, changes={"max_per_minute": 3})
        judged = judge(question)
        answers.append((judged.answer, judged.reason))
        if judged.answer == "publish":
            remember(question)
    other = judge(ask(now_ms=NOW + 4_000, ledger=ledger, changes={"id": "another"}))

    open_ = ("deferred", "circuit_open")
    assert [("publish", None)] * 3 + [open_] + [("publish", None)] == answers
    assert "publish" == other.answer


def test_the_breaker_of_all_rules_stops_all() -> None:
    """However many rules the actions are of."""
    ledger = Ledger()
    answers = []
    for number in range(4):
        question = ask(ledger=ledger, changes={"id": f"rule-{number}"}, breaker_actions_per_minute=2)
        judged = judge(question)
        answers.append(judged.answer)
        if judged.answer == "publish":
            remember(question)

    assert ["publish", "publish", "deferred", "deferred"] == answers


def test_what_people_switch_counts_for_everybody() -> None:
    """A pause puts off, a dry run and test customers hold back, in that order of reasons."""
    paused = judge(ask(controls=Controls(paused_by="mia")))
    stopped = judge(ask(controls=Controls(stopped_rules=frozenset(("service-recovery",)))))
    dry = judge(ask(changes={"dry_run": True}, test_customers="c0, c1"))
    rehearsed = judge(ask(controls=Controls(dry_rules=frozenset(("service-recovery",)))))

    assert ["paused", "paused", "test_customer", "dry_run"] == [j.reason for j in (paused, stopped, dry, rehearsed)]
    assert ["deferred", "deferred", "suppressed", "suppressed"] == [j.answer for j in (paused, stopped, dry, rehearsed)]
    assert "paused by mia" == _verdict(paused, "paused").detail


def _verdict(judgement: Judgement, check: str) -> Verdict:
    return next(verdict for verdict in judgement.verdicts if verdict.check == check)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "held_out": st.booleans(),
            "outranked_by": st.sampled_from(("", "welcome")),
            "error": st.sampled_from(("", "division by zero")),
            "holds": st.booleans(),
        },
    ),
    st.integers(-DAY_MS, 10 * DAY_MS),
    st.integers(0, 23),
    st.sampled_from(("c1", "anon:x", "test")),
    st.booleans(),
)
def test_a_record_says_enough_to_judge_again(
    asked: dict[str, Any], life_ms: int, hour: int, customer_id: str, granted: bool
) -> None:
    """The published facts alone, through JSON, give the same answer for the same reason."""
    customer = Customer()
    customer.person.set_consent("*", NOW - 5, granted)
    customer.person.reached("call", NOW - 4, bounced=granted)
    now_ms = NOW + hour * HOUR_MS
    question = ask(
        customer,
        customer_id=customer_id,
        now_ms=now_ms,
        expires_ms=now_ms + life_ms,
        asked=asked,
        changes={"cost_minor": 7},
        test_customers="test",
        budget_daily_minor=6 if hour % 2 else 100,
        cap_messages=hour % 3,
    )
    judged = judge(question)

    record = msgspec.json.decode(msgspec.json.encode(judged.verdicts), type=tuple[Verdict, ...])
    answer, reason = judged_again(record, question.expires_ms)

    assert (judged.answer, judged.reason) == (answer, reason)


def test_shares_of_partitions_never_add_up_to_more() -> None:
    """A budget is cut into equal whole parts."""
    policy = make_policy(make_settings(budget_daily_minor=1_001, breaker_actions_per_minute=10), 4)

    assert 4 * policy.budget_minor <= 1_001
    assert 4 * policy.breaker_most <= 10
