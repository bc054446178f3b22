"""What all tests share: how hypothesis runs, and one story that makes the real engine publish everything it can publish."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from stream.actions.message import Message, Stream
from stream.adapters.broker import EmbeddedBroker
from stream.churn.features import LAYOUT, NAMES
from stream.churn.model import FrozenModel
from stream.churn.quality import UNKNOWN
from stream.events.instants import parse_ms
from stream.rules.loader import load_rules
from stream.testing import Shop, published
from tests.churn.test_contest import commanded

# No deadline: the machine is shared with brokers. On CI the same examples every time, so that a red run can be repeated.
settings.register_profile("winback", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("winback")


def silence_model() -> FrozenModel:
    """A churn model in which only silence weighs: 0.3 after a purchase, above 0.7 some weeks later."""
    zeros = (0.0,) * len(NAMES)
    weights = tuple(1.0 if name == "silence" else 0.0 for name in NAMES)
    return FrozenModel(
        day=0,
        layout=LAYOUT,
        horizon_days=90,
        names=NAMES,
        means=zeros,
        spreads=zeros,
        weights=weights,
        baseline=-2.0,
        labels=1_000,
        churned=500,
        quality=UNKNOWN,
        abstained="",
        river_version="",
    )


def tell_story() -> Shop:
    """A shop in which a customer buys, falls silent, is alerted about and written to, and refuses further messages."""
    shop = Shop()
    shop.send("Session Started", "ann", "2026-01-01T08:00:00Z")
    shop.teach(model=silence_model())
    shop.send("identify", "ann", "2026-01-01T09:00:00Z", language="en-GB", address={"country": "GB"})
    for number, day in enumerate(("2026-01-01", "2026-01-15", "2026-01-29"), start=1):
        shop.send(
            "Order Completed",
            "ann",
            f"{day}T10:00:00Z",
            order_id=f"ord-{number}",
            revenue=49.0 + number,
            currency="USD",
        )
    shop.wait_until("2026-05-15T00:00:00Z")
    shop.send("Consent Changed", "ann", "2026-05-15T09:00:00Z", granted=False, consent_channel="*")
    shop.send("NPS Submitted", "ann", "2026-05-15T10:00:00Z", score=2)
    shop.wait_until("2026-09-01T00:00:00Z")
    shop.send_bytes(b'{"type":"track","event":"Order Completed"}', "2026-09-01T00:00:00Z")
    return shop


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command that a test runs in its own process logs into that test's streams: what it set up leaves with them.

    Otherwise each line logged later complains about a closed file, into a standard error that may be closed as well.
    """
    root = logging.getLogger()
    before, level = set(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        if handler not in before:
            root.removeHandler(handler)
    root.setLevel(level)


EXPERIMENT = """
id: thanks
version: 1
description: Says thank you.
when: {event: purchase}
then: {action: care, channel: email, template: thanks}
holdout_percent: 50
measure: {window: 2d}
cost_minor: 7
expires_after: 2d
cap: false
quiet_hours: false
"""


def tell_experiment() -> Shop:
    """A shop with one measured rule, thirty customers, and a report of what a till sold."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "thanks.yaml").write_text(EXPERIMENT.lstrip(), encoding="utf-8")
        shop = Shop(rules=load_rules(folder))
    for number in range(30):
        at_ms = parse_ms("2026-01-01T08:00:00Z") + number * 60_000
        shop.send("Order Completed", f"c{number}", at_ms, order_id=f"o{number}", revenue=20.0)
    for number, item in enumerate(published(shop.take())):
        at_ms = parse_ms("2026-01-02T08:00:00Z") + number * 60_000
        if number % 2:
            shop.send("Order Completed", item["customer_id"], at_ms, order_id=f"again-{number}", revenue=5.0)
        else:
            till = {"action_id": item["action_id"], "order_id": f"till-{number}", "revenue": 3.0}
            shop.send("Action Converted", item["customer_id"], at_ms, **till)
    shop.wait_until("2026-02-10T00:00:00Z")
    return shop


@pytest.fixture(scope="session")
def story() -> dict[Stream, list[Message]]:
    """Everything that was published in the story, by stream."""
    found: dict[Stream, list[Message]] = {stream: [] for stream in Stream}
    for out in tell_story().outcomes:
        for message in out.messages:
            found[message.stream].append(message)
    found[Stream.EXPERIMENTS] += [
        m for out in tell_experiment().outcomes for m in out.messages if m.stream is Stream.EXPERIMENTS
    ]
    found[Stream.MODELS] += [m for m in commanded() if m.stream is Stream.MODELS]
    return found


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One real single-node Kafka for all tests; unique topic names and app ids keep them apart."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


collect_ignore_glob = ["typing/*"]
"""Checked by mypy, never run."""
