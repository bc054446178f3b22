"""History by customer: a partition whose customers have clocks of their own between midnights."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.actions.message import Stream
from stream.config import Settings
from stream.events.codec import Decoder
from stream.events.instants import DAY_MS, day_of, parse_ms
from stream.events.kinds import Event
from stream.events.record import Record
from stream.outcome import Outcome
from stream.processor import Partition
from stream.processor.epochs import Coordinator, decode_contribution
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet
from stream.simulate import Shop
from stream.testing import message

SETTINGS = Settings(clock="event", churn_horizon_days=7, churn_min_labels=20, churn_quiet_days=3)
RULES = load_rules()
SMALL_ROOM_BYTES = 120_000
"""For less than half of the customers at once."""


class _History:
    """One partition through days of events."""

    def __init__(self, *, own_clocks: bool, rules: RuleSet = RULES) -> None:
        self.store: dict[bytes, bytes] = {}
        self.told: list[tuple[str, bytes | None, bytes | None]] = []
        self._partition = Partition(
            SETTINGS, rules, partition=0, partitions=1, store=self.store,
            room_bytes=SMALL_ROOM_BYTES, records=self.store if own_clocks else None,
        )  # fmt: skip
        self._coordinator = Coordinator(SETTINGS, 1)

    def begin(self, day: int) -> None:
        """Everything that happens by itself up to midnight."""
        midnight_ms = day * DAY_MS
        if self._partition.awaits_epoch(midnight_ms):
            self._sink(self._partition.tick(midnight_ms))
        while (due_ms := self._partition.next_due_ms()) is None or due_ms <= midnight_ms:
            if due_ms is None:
                epoch = self._coordinator.fold()
                assert epoch is not None
                self._partition.adopt(epoch)
            else:
                self._sink(self._partition.tick(midnight_ms))

    def apply(self, items: list[tuple[Record, Event]], day: int) -> None:
        """Some of a day's events."""
        self._sink(self._partition.apply_decoded(items, day * DAY_MS))

    def end(self, day: int) -> dict[str, list[Any]]:
        """What there is after the last day, ready to be compared."""
        self.begin(day)
        everybody = list(self._partition.customers(day * DAY_MS))
        self._partition.write_down()
        return {"told": sorted(self.told), "everybody": everybody, "records": sorted(self.store.items())}

    def _sink(self, out: Outcome) -> None:
        self.store.update((key, value) for key, value in out.changed.items() if value is not None)
        self._partition.commit()
        for m in out.messages:
            if m.stream is Stream.CONTRIBUTIONS:
                self._coordinator.contribute(decode_contribution(m.value or b""))
            else:
                self.told.append((m.stream.value, m.key, m.value))


def _days() -> list[tuple[int, list[tuple[Record, Event]]]]:
    decode = Decoder(SETTINGS).decode
    start_ms = parse_ms("2026-01-01")
    shop = Shop(seed=4, customers=45, start_ms=start_ms, join_days=8)
    records = [Record("", 0, -1, -1, None, msgspec.json.encode(m)) for _, m in shop.events(start_ms + 18 * DAY_MS)]
    items = [(record, event) for record in records if isinstance(event := decode(record), Event)]
    items += items[::9]
    items.sort(key=lambda item: (item[1].time_ms, item[1].message_id))
    return [(day, list(group)) for day, group in groupby(items, key=lambda item: day_of(item[1].time_ms))]


def test_customers_on_clocks_of_their_own_end_where_a_common_clock_leads() -> None:
    """In any order of customers and from little memory, history gives the records and messages of one order of time."""
    rng = random.Random(2)
    days = _days()
    together, apart = _History(own_clocks=False), _History(own_clocks=True)
    for day, items in days:
        together.begin(day)
        together.apply(items, day)

        by_customer = defaultdict(list)
        for record, event in items:
            by_customer[event.customer].append((record, event))
        turns = list(by_customer.values())
        rng.shuffle(turns)
        apart.begin(day)
        for start in range(0, len(turns), 5):
            apart.apply([item for turn in turns[start : start + 5] for item in turn], day)
    after = days[-1][0] + 3

    expected, found = together.end(after), apart.end(after)

    assert {"actions", "suppressions", "tiers"} <= {stream for stream, *_ in together.told}
    assert expected == found


_REMINDER = """
id: reminder
version: 1
description: Remind three days before the next purchase is expected.
source: test
when: {before: 3d, until: expected_purchase}
if: 'true'
then: {action: reminder, channel: email, template: reminder}
priority: 50
expires_after: 3d
"""


@pytest.mark.parametrize("own_clocks", [False, True])
def test_nothing_is_decided_before_the_event_that_made_it_overdue(own_clocks: bool, tmp_path: Path) -> None:
    """Somebody who buys every day is reminded at the purchase that shows it, not at the overdue instant before it."""
    (tmp_path / "reminder.yaml").write_text(_REMINDER, encoding="utf-8")
    history = _History(own_clocks=own_clocks, rules=load_rules(tmp_path))
    decode = Decoder(SETTINGS).decode
    for number, at in enumerate(bought := [f"2026-01-0{day}T09:00:00Z" for day in range(1, 6)]):
        body = message("Order Completed", "ana", at, message_id=f"m{number}", order_id=f"o{number}", revenue=9.0)
        record = Record("", 0, -1, -1, None, msgspec.json.encode(body))
        event = decode(record)
        assert isinstance(event, Event)
        history.begin(day_of(event.time_ms))
        history.apply([(record, event)], day_of(event.time_ms))
    history.end(day_of(parse_ms("2026-01-06")))

    decided = [
        msgspec.json.decode(value or b"")["decided_at"] for stream, _, value in history.told if stream == "actions"
    ]

    assert bought[2:] == decided
