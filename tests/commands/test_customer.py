"""`winback customer` against the worker's real HTTP API, with the real processor's customers behind it."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from rich.console import Console

from stream.cli import main
from stream.commands.customer import ask, card
from stream.testing import Shop
from stream.web.ports import Elsewhere, NotYet
from stream.web.server import make_application

ANN, BOB = "ann/1", "[bob]"


class Worker:
    """Answers for a shop with two customers."""

    def __init__(self) -> None:
        self.shop = shop = Shop()
        for day, worth in ((1, 40.0), (11, 60.0), (21, 1234.5)):
            shop.send("Order Completed", ANN, f"2026-01-{day:02d}T10:00:00Z", order_id=f"o{day}", revenue=worth)
        for number in range(8):
            products = [{"product_id": "tea [green]"}] * (number < 5) + [{"product_id": "cup [blue]"}] * (number < 4)
            at = f"2026-01-21T11:3{number}:00Z"
            shop.send("Order Completed", f"c{number}", at, order_id=f"c{number}", revenue=5.0,
                      products=products or [{"product_id": "pot"}])  # fmt: skip
        shop.send("Product Added", ANN, "2026-01-22T10:00:00Z", product_id="p", price=12.5, quantity=2)
        shop.send("NPS Submitted", ANN, "2026-01-22T11:00:00Z", score=9)
        shop.send("Product Viewed", BOB, "2026-01-22T12:00:00Z", product_id="p")

    def alive(self) -> list[str]:
        return []

    def ready(self) -> list[str]:
        return ["partition 0: restoring 43%"]

    def details(self) -> dict[str, Any]:
        return {}

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return b"", ""

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        if customer_id == "moved":
            raise Elsewhere(3, [0, 1])
        if customer_id == "early":
            raise NotYet
        return self.shop.partition.customer(customer_id, self.shop.partition.now_ms)

    def customers(self, asked: Mapping[str, str], after: str) -> Iterator[dict[str, Any] | None]:
        return self.shop.partition.find(asked, after, self.shop.partition.now_ms)

    def product(self, product_id: str) -> dict[str, Any]:
        if product_id == "early":
            raise NotYet
        return self.shop.partition.product(product_id)

    def drivers(self) -> dict[str, Any]:
        return self.shop.partition.drivers()


@contextmanager
def serving(token: str = "") -> Iterator[str]:
    """The worker's web port in a thread of its own."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(make_application(Worker(), token))
    listener = socket.create_server(("127.0.0.1", 0))

    async def start() -> None:
        await runner.setup()
        await web.SockSite(runner, listener).start()

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A worker without a token."""
    with serving() as where:
        yield where


def call(*arguments: str) -> Result:
    """The command as the shell would call it."""
    return CliRunner().invoke(main, ["customer", *arguments])


def test_a_person_gets_a_card_with_everything_that_is_known(url: str) -> None:
    """Who, windows, tier, rhythm, risk, cart, last activity; an id with a slash is one id."""
    result = call(ANN, "--url", url)

    assert 0 == result.exit_code, result.output
    for part in ("ann/1", "low", "1,334.50", "every 10 days", "next expected on 2026-01-31", "2 articles worth 25.00 USD",
                 "2026-01-22 11:00 UTC", "NPS 9", "0 of 200 labels matured"):  # fmt: skip
        assert part in " ".join(result.stdout.replace("│", "").split())
    assert ["orders", "1", "3", "3", "3", "3"] == next(
        line.strip("│ ").split() for line in result.stdout.splitlines() if "orders" in line
    )


def test_a_prospect_has_a_card_without_orders(url: str) -> None:
    """What isn't known isn't shown, and a bracket in an id is no markup."""
    result = call(BOB, "--url", url)

    assert (0, True, False) == (result.exit_code, "[bob]" in result.stdout, "last order" in result.stdout)


def test_json_is_the_workers_answer(url: str) -> None:
    """One object and nothing else."""
    result = call(ANN, "--url", url, "--json")

    assert Worker().customer(ANN) == json.loads(result.stdout)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("nobody", "has no customer 'nobody'"),
        ("moved", "serves partitions [0, 1], not 3"),
        ("early", "is not ready: partition 0: restoring 43%"),
    ],
)
def test_what_a_worker_can_not_tell_is_said_with_what_to_do(url: str, who: str, said: str) -> None:
    """Unknown, served by another worker, not restored yet: exit code 1, nothing on standard output."""
    result = call(who, "--url", url)

    assert (1, "", True) == (result.exit_code, result.stdout, "what to do" in result.stderr)
    assert said in result.stderr


def test_the_right_one_of_several_workers_is_found(url: str) -> None:
    """A dead worker among them doesn't matter, as long as the one that serves the customer answers."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        dead = f"http://127.0.0.1:{reserved.getsockname()[1]}"
    found, lost = call(ANN, "--url", dead, "--url", url), call(ANN, "--url", dead)

    assert (0, 1) == (found.exit_code, lost.exit_code)
    assert "nobody answers (Connection refused)" in lost.stderr


def test_a_token_is_sent_and_its_lack_explained() -> None:
    """From the flag or the environment; without it the message says where it goes."""
    with serving("s3cret") as url:
        given, missing = call(ANN, "--url", url, "--token", "s3cret"), call(ANN, "--url", url)
        by_environment = CliRunner().invoke(main, ["customer", ANN, "--url", url], env={"WINBACK_WEB_TOKEN": "s3cret"})

    assert (0, 0, 1) == (given.exit_code, by_environment.exit_code, missing.exit_code)
    assert "--token" in missing.stderr


def test_the_risk_is_shown_with_the_reasons_that_the_worker_gives() -> None:
    """What speaks for leaving and what against it, in words."""
    known = Worker().customer(ANN)
    assert known is not None
    reasons = [
        {"feature": "silence", "value": 41.0, "log_odds": 0.9, "text": "no purchase for 41 days"},
        {"feature": "loyalty", "value": 9.0, "log_odds": -0.4, "text": ""},
    ]
    told = {"churn_probability": 0.81, "churn_abstained": None, "model_day": "2026-01-20", "churn_reasons": reasons}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(card(known | told))
    text = console.export_text()

    for part in ("81% by the model of 2026-01-20", "▲ no purchase for 41 days", "▼ loyalty"):
        assert part in text


def listed(*arguments: str) -> Result:
    """`winback customers` as the shell would call it."""
    return CliRunner().invoke(main, ["customers", *arguments])


def test_the_customers_of_a_class_are_listed_page_by_page(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them and nobody else, whatever the page; by tier, segment, scheme and tag, and by all at once."""
    monkeypatch.setattr("stream.commands.customers.PAGE", 3)
    partition = Worker().shop.partition
    everybody = [ANN, BOB, *(f"c{number}" for number in range(8))]
    known = {each: partition.customer(each, partition.now_ms) or {} for each in everybody}

    def ids(*arguments: str) -> list[str]:
        result = listed(*arguments, "--url", url, "--limit", "0", "--json")
        assert result.exit_code == 0, result.stderr
        return [json.loads(line)["customer_id"] for line in result.stdout.splitlines()]

    for tier in ("low", "prospect", "high"):
        assert sorted(ids(f"tier={tier}")) == sorted(each for each in everybody if known[each]["tier"] == tier)
    one_timers = sorted(each for each in everybody if "one_timer" in known[each]["personas"])
    assert len(one_timers) == 8
    assert sorted(ids("tag=one timer", "fixed=LOW")) == one_timers
    assert ids("tag=one_timer", "tier=prospect") == []


def test_a_list_is_a_table_for_people(url: str) -> None:
    """With what a campaign goes by; it says when there is more."""
    result = listed("tier=low", "--url", url)
    short = listed("tier=low", "--url", url, "--limit", "2")

    assert "ann/1 low Champions 3 1,334.50 2026-01-21 full_price" in " ".join(result.stdout.split())
    assert (True, False, True) == ("c0" in short.stdout, "c1" in short.stdout, "--limit" in short.stderr)
    assert "Nobody is." in listed("tier=lost", "--url", url).stdout


def test_what_nobody_can_be_is_told_at_once(url: str) -> None:
    """All that is wrong, with the words there are, by the command and by the worker."""
    result = listed("tier=gold", "hair=red", "low", "--url", url)

    assert result.exit_code == 1
    for part in (
        "3 problems",
        "there is no tier 'gold': high, medium",
        "hair is nothing to ask by",
        "'low' is not CLASS=WORD",
    ):
        assert part in result.stderr
    for query, said in (("tier=gold", "there is no tier 'gold'"), ("limit=0", "from 1 to 1,000")):
        status, answer = ask(f"{url}/customers?{query}", "")
        assert (400, True) == (status, said in answer["error"])
