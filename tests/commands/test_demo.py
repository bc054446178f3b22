"""The demo's own parts: its clock, its latency, its data set, the scores at a cut-off, and its summary."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stream.adapters.broker.lock import FolderLock
from stream.churn.trainer import Trainer
from stream.commands.demo_cdnow import CutOffScores, cdnow_settings, identical_lines, orders_of
from stream.commands.demo_shop import HISTORY_DAYS, OPENS
from stream.commands.demo_show import Latency, ShopClock, Show
from stream.commands.demo_stage import begin_anew
from stream.commands.demo_summary import in_words
from stream.commands.demo_worker import DemoWorker, WorkerDied
from stream.commands.live_figures import LATENCY_WINDOW_SECONDS
from stream.config import DAY_MS, Settings, make_settings
from stream.datasets import CDNOW_CUSTOMERS, CDNOW_ORDERS
from stream.errors import AlreadyRunning
from stream.events.instants import day_of, parse_ms
from stream.processor.epochs import Epoch, epoch_message
from stream.testing import Shop

CUT = "2026-02-01"


def test_the_data_set_is_what_is_promised() -> None:
    """All of CDNOW: 69,659 orders, 80 worth nothing, 255 equal to another line."""
    orders = orders_of(None)

    assert CDNOW_ORDERS == len(orders)
    assert (80, 255) == (sum(order["properties"]["revenue"] == 0 for order in orders), identical_lines(orders))


def test_a_part_of_the_data_set_is_whole_customers_from_all_over_it() -> None:
    """So many customers with all their orders, whenever they came."""
    every: dict[str, int] = {}
    for order in orders_of(None):
        every[order["userId"]] = every.get(order["userId"], 0) + 1
    chosen: dict[str, int] = {}
    for order in orders_of(200):
        chosen[order["userId"]] = chosen.get(order["userId"], 0) + 1

    assert 200 == len(chosen)
    assert chosen == {customer: every[customer] for customer in chosen}
    assert CDNOW_CUSTOMERS * 0.99 < int(max(chosen)) - int(min(chosen)) < CDNOW_CUSTOMERS
    assert CDNOW_CUSTOMERS == len({order["userId"] for order in orders_of(10**6)})


def test_scores_at_a_cut_off_are_those_of_a_worker_that_took_over_then() -> None:
    """From the changelog and the epochs topic alone: what came later is not in them, nor is a later model."""
    settings = cdnow_settings(make_settings())
    shop = Shop(settings=settings)
    first, later = (Trainer(settings).freeze(day_of(parse_ms(CUT)) + days) for days in (0, 30))
    for number, day in enumerate(("2026-01-02", "2026-01-09", "2026-01-31")):
        shop.send("Order Completed", f"c{number % 2}", f"{day}T08:00:00Z", order_id=f"o{number}", revenue=20.0 + number)
    shop.wait_until(CUT)
    shop.teach(model=first)
    expected = {row["customer_id"]: row["churn_probability"] for row in shop.partition.scores(parse_ms(CUT))}
    shop.send("Order Completed", "c0", f"{CUT}T00:00:00Z", order_id="later", revenue=5.0)
    shop.send("Order Completed", "new", "2026-02-20T09:00:00Z", order_id="new", revenue=5.0)
    scores = CutOffScores(settings, [parse_ms(CUT), parse_ms("2027-01-01")])
    for outcome in shop.outcomes:
        for key, value in outcome.changed.items():
            scores.on_change(SimpleNamespace(partition=0, key=key, value=value))
    for model in (first, later):
        message = epoch_message(Epoch(day=model.day, thresholds=None, model=model))
        scores.on_epoch(SimpleNamespace(value=message.value))

    assert {"c0", "c1"} == expected.keys()
    assert expected == scores.at(parse_ms(CUT))
    assert {} == scores.at(parse_ms("2027-01-01"))


def test_the_shop_clock_is_that_of_the_slowest_partition_and_its_pace_that_of_late() -> None:
    """A minute of half speed is not seen any more after the window."""
    clock = ShopClock()
    at_ms = parse_ms(OPENS)
    for second in range(120):
        at_ms += DAY_MS // 2 if second < 60 else DAY_MS
        slow, fast = at_ms / 1000, at_ms / 1000 + 9_999
        clock.on_metrics([("winback_clock_timestamp_seconds", {"partition": str(n)}, t) for n, t in enumerate((fast, slow))],
                         float(second))  # fmt: skip

    assert ("2010-04-04 00h", at_ms) == (clock.text, clock.now_ms)
    assert 60.0 == pytest.approx(clock.days_per_minute)


def test_latency_is_that_of_the_last_minute_and_remembers_no_more() -> None:
    """Actions of timers have no event; what is older than the window counts no more."""
    latency = Latency()
    for second in range(300):
        latency.sent(f"m{second}", float(second))
        latency.acted(f"m{second}", second + (9.0 if second < 200 else 0.05))
        latency.acted(None, float(second))
    median, worst = latency.quantiles(299.0)

    assert [0.05, 0.05] == pytest.approx([median, worst])
    assert LATENCY_WINDOW_SECONDS + 2 > len(latency._sent)
    assert isnan(latency.quantiles(1_000.0)[0])


def test_the_history_is_long_enough_for_a_judged_model() -> None:
    """Labels mature after the horizon, and the first scores are judged another horizon later."""
    assert 3 * Settings().churn_horizon_days <= HISTORY_DAYS


def test_beginning_anew_spares_a_running_demo(tmp_path: Path) -> None:
    """Data of an ended demo goes; while its broker's lock is held, nothing is touched."""
    data = tmp_path / "demo" / "broker" / "node-1"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("old")
    lock = FolderLock(data.parent)
    with pytest.raises(AlreadyRunning):
        begin_anew(tmp_path / "demo")
    assert data.exists()
    lock.release()
    begin_anew(tmp_path / "demo")

    assert not data.exists()


def test_a_worker_that_dies_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Its code, its last words, and where the rest is."""

    async def scenario() -> None:
        worker = DemoWorker(make_settings(web_port=1), tmp_path / "worker.log", "--no-such-flag")
        worker.start()
        assert worker._process is not None
        await asyncio.to_thread(worker._process._process.wait)
        try:
            worker.check()
        finally:
            assert [] == await worker.metrics()
            assert 2 == await worker.stop()

    with pytest.raises(WorkerDied) as told:
        asyncio.run(scenario())

    for part in ("with code 2", "No such option", "--no-such-flag", str(tmp_path / "worker.log")):
        assert part in str(told.value)


def test_what_is_shown_of_a_decision_is_what_was_special_about_the_customer() -> None:
    """The shop's day instead of the wall's time, and suppressions by rule and reason for the summary."""
    show = Show(make_settings(), Path("worker.log"), "test")
    takers = show.takers()
    action, alert, suppression = takers.values()
    action(_record(_decision("2010-03-04T05:06:07Z")))
    for verdict, reason in (("suppressed", "cooldown"), ("deferred", "quiet_hours"), ("ended", "sent")):
        suppression(_record({**_decision("2010-03-04T05:06:07Z"), "verdict": verdict, "reason": reason}))
    alert(_record({**_decision("2010-03-05T00:00:00Z"), "probability": 0.81}))

    assert ("10-03-04", "views of product 6") == (show.figures.actions[0].time, show.figures.actions[0].why)
    assert ("10-03-05", "81%") == (show.figures.alerts[0].time, show.figures.alerts[0].what)
    assert {"viewed: cooldown": 1} == show.summary()["suppressions"]
    assert {"viewed: quiet_hours": 1} == show.summary()["deferrals"]


def test_the_summary_in_words_is_short_and_complete() -> None:
    """Every total is there, long lines are wrapped, and what isn't known is called unknown."""
    counts = {f"rule-{n}": 1_000 + n for n in range(12)}
    shared: dict[str, Any] = {
        "customers": 23_570, "seconds": 201.5, "actions": counts, "suppressions": {"a: cooldown": 3, "b: cooldown": 4},
        "deferrals": {"a: quiet_hours": 2},
        "alerts": 77, "dead_letters_by_reason": {}, "tiers": {"high": 1}, "segments": {}, "model":
        {"abstained": False, "labels": 9, "auc": 0.5, "lift_quality": None, "brier": 0.25, "calibration_error": 0.0},
    }  # fmt: skip
    cdnow = in_words({"orders": 69_659, "zero_orders": 80, "identical_lines": 255, "auc": {CUT: None}} | shared)
    shop = in_words({"events_sent": 5, "shop_from": OPENS, "shop_until": None} | shared)

    for part in ("69,659 orders", "80 of them", "255 equal", "23,570 customers", "201.5 s", "actions: 12,066",
                 "held back: 7 (cooldown 7)", "put off: 2 (quiet hours 2)", "churn alerts: 77", "dead letters: 0", f"{CUT} unknown"):  # fmt: skip
        assert part in cdnow
    assert "5 events of 23,570 customers" in shop
    assert 110 >= max(map(len, (cdnow + shop).splitlines()))


def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path) -> None:
    """The worker's port as well as Kafka's, with what to do, and exit code 1."""
    listener = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", listener], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        port = other.stdout.readline().strip()
        for flags in (["--port", port, "--web-port", "0"], ["--port", "0", "--web-port", port]):
            command = [sys.executable, "-m", "stream", "demo", "--data-dir", str(tmp_path), *flags]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

            assert (1, "") == (done.returncode, done.stdout)
            assert f"port {port} on 127.0.0.1 is in use" in done.stderr
            assert "what to do" in done.stderr
        other.terminate()


def _record(content: Mapping[str, Any]) -> Any:
    return SimpleNamespace(value=msgspec.json.encode(content))


def _decision(at: str) -> dict[str, Any]:
    matched = [{"condition": "customer.views_of_product > 5", "actual": 6}, {"condition": "true", "actual": True}]
    return {
        "rule": {"id": "viewed"}, "kind": "offer", "channel": "push", "customer_id": "c", "decided_at": at,
        "reason": None, "cause": {"message_id": None}, "explanation": {"text": "A coupon.", "matched": matched},
    }  # fmt: skip
