"""``winback demo``: a simulated shop whose time runs fast, on the event clock.

Reminders come weeks after an order, labels mature after months: on the wall clock a first minute would show nothing of it.
So the shop has its own time. Its first months are written to Kafka at once and processed as fast as the machine can; from
then on events are sent at the wanted rate, and a day of the shop passes in about a second. Every event goes through the
same topics, worker and transactions as anywhere else, and is decided on at its own time.
"""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import Any

import msgspec

from stream.adapters.files_send import BulkSender
from stream.agents.connection import client_options
from stream.commands.demo_show import Show
from stream.commands.demo_topics import Taker
from stream.config import DAY_MS, Settings
from stream.events.instants import parse_ms, to_text
from stream.simulate import Shop, broken

OPENS = "2010-01-04T00:00:00Z"
"""When the shop opens. Long ago, because its time must not overtake ours: an event of tomorrow is a dead letter."""
HISTORY_DAYS = 270
"""Played at full speed. Fewer: the model, whose labels take 90 days to mature and whose scores another 90 to be judged,
has nothing to show yet; more: the fast part takes longer."""
SLICES_A_SECOND = 20
"""Events leave in so many portions a second: smooth to the eye, and cheap."""
MOST_BEHIND_SECONDS = 3.0
"""The shop waits while the worker is further behind than so many seconds of events: a slow machine shows a slower shop,
not a growing queue."""
BROKEN_EVERY = 1_000
"""After so many records a broken copy of one is sent, as real senders do: dead letters can be seen at work."""
_RECORDS_A_STEP = 2_000

_KINDS = ("purchases", "browses", "feedback", "profiles", "outcomes")


class ShopPlay:
    """Feeds the shop to the topics, and says on the screen what time it is there."""

    def __init__(self, show: Show, customers: int, rate: float, seed: int) -> None:
        self._show = show
        self._opens_ms = parse_ms(OPENS)
        self._shop = Shop(seed, customers, self._opens_ms)
        self._rate = rate
        self._topics = {kind: getattr(show.settings, f"topic_{kind}") for kind in _KINDS}
        self._encode = msgspec.json.Encoder().encode
        self._stage = "writing the first months to Kafka"
        self.sent = 0
        """Records sent, broken ones included."""
        self.broken = 0
        show.on_look = self._say

    async def play(self) -> None:
        """Never ends by itself, unless the shop's time reaches ours."""
        async with BulkSender(client_options(self._show.settings)) as sender:
            await sender.open_topics(self._show.settings.input_topics)
            await self._history(sender)
            # Started now, the worker finds all of it and merges the topics by time; sent to a running worker, a topic
            # could come in a year before another.
            self._show.worker.start()
            self._stage = f"fast forward, {HISTORY_DAYS} days"
            await self._show.caught_up.wait()
            self._stage = ""
            await self._live(sender)
        self._stage = "the shop has reached today; Ctrl-C ends the demo"
        await asyncio.Event().wait()

    def takers(self) -> dict[str, Taker]:
        """Nothing besides the view."""
        return {}

    def summary(self) -> dict[str, Any]:
        """What was played."""
        return {
            "events_sent": self.sent,
            "broken_events_sent": self.broken,
            "shop_from": OPENS,
            "shop_until": to_text(self._show.clock.now_ms) if self._show.clock.now_ms else None,
        }

    async def _history(self, sender: BulkSender) -> None:
        for topic, message in self._shop.events(self._opens_ms + HISTORY_DAYS * DAY_MS):
            self._add(sender, topic, message)
            if self.sent % _RECORDS_A_STEP == 0:
                await sender.hand_over()
        await sender.flush()

    async def _live(self, sender: BulkSender) -> None:
        events, owed = self._shop.events(), 0.0
        at = time.monotonic()
        while True:
            if self._show.figures.lag <= self._rate * MOST_BEHIND_SECONDS:
                owed += self._rate / SLICES_A_SECOND
            now = time.monotonic()
            for topic, message in islice(events, int(owed)):
                if parse_ms(message["timestamp"]) > time.time() * 1000:
                    return
                self._show.latency.sent(message["messageId"], now)
                self._add(sender, topic, message)
                if self.sent % BROKEN_EVERY == 0:
                    self._add_broken(sender, topic, message)
            owed -= int(owed)
            await sender.flush()
            at = max(at + 1 / SLICES_A_SECOND, now)
            await asyncio.sleep(max(0.0, at - time.monotonic()))

    def _add(self, sender: BulkSender, kind: str, message: dict[str, Any]) -> None:
        sender.add(self._topics[kind], _key(message), self._encode(message))
        self.sent += 1

    def _add_broken(self, sender: BulkSender, kind: str, message: dict[str, Any]) -> None:
        spoilt = broken({**message, "messageId": f"{message['messageId']}-bad"}, self.broken)[1]
        sender.add(self._topics[kind], _key(message), spoilt)
        self.sent += 1
        self.broken += 1

    def _say(self) -> None:
        clock, figures = self._show.clock, self._show.figures
        if self._stage:
            figures.note = f"{self._stage}: {clock.text}" if clock.text else self._stage
        else:
            figures.note = f"shop time {clock.text}, {clock.days_per_minute:.0f} days a minute"


def _key(message: dict[str, Any]) -> bytes:
    customer: str = message.get("userId") or f"anon:{message['anonymousId']}"
    return customer.encode()


def shop_settings(settings: Settings) -> Settings:
    """The demo's settings: few partitions, for a day of the shop ends with a transaction in each."""
    return msgspec.structs.replace(settings, clock="event", partitions=2)
