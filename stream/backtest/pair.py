"""One process's share: its customers played under both sets of rules, from lines that are decoded once, and laid side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby, tee
from operator import itemgetter
from typing import Any

import msgspec
import orjson

from stream.backtest import game
from stream.backtest.game import Question
from stream.backtest.job import VERSIONS, Job
from stream.backtest.ledger import ORDER_KINDS, Ledger, bought_within, purchases_ms
from stream.backtest.made import Made
from stream.backtest.matching import SAME, Pairing, last_words, pair
from stream.backtest.recorder import Recorder
from stream.backtest.tallies import Tallies
from stream.events.codec import Decoder
from stream.events.instants import day_of, to_text
from stream.events.kinds import Event
from stream.replay.lockstep import Answer
from stream.replay.player import Asking, Player, load
from stream.replay.spill import Block, Spill, in_order
from stream.rules.rule import RuleSet

DIFFERENCES_MEMORY_BYTES = 32 << 20
"""Differences that a process keeps before it writes them to disk."""
Row = tuple[Any, ...]


class Compared(msgspec.Struct):
    """What a process reports at its end; `add` makes one of several."""

    tallies: Tallies
    differences: list[Block]
    events: int
    dead_letters: int
    customers: int
    first_day: int | None
    """UTC day of the first event, ``None`` without any."""
    until_ms: int | None
    """How far time went, ``None`` when there was no event to tell it."""

    def add(self, other: Compared) -> None:
        """Takes another process's in."""
        self.tallies.add(other.tallies)
        self.differences += other.differences
        self.events += other.events
        self.dead_letters += other.dead_letters
        self.customers += other.customers
        days = [day for day in (self.first_day, other.first_day) if day is not None]
        self.first_day = min(days, default=None)


class Pair:
    """Lines played under both sets of rules: in one game, or in two, of which each goes as far as it can without an answer, whichever
    is behind first."""

    def __init__(self, job: Job, rules: tuple[RuleSet, RuleSet], number: int, blocks: Sequence[Block]) -> None:
        self._job = job
        self._number = number
        self._ledger = Ledger(job.folder / f"orders-{number}")
        self._first_day: int | None = None
        self._recorders = [
            Recorder(job.folder / f"decisions-{version}-{number}", each, job.settings)
            for version, each in zip(VERSIONS, rules, strict=True)
        ]
        decoder = Decoder(job.settings, job.rates, latest_ms=job.until_ms)
        self._both: game.Player | None = None
        if job.in_order:
            # Customers are played in order of time, in a partition per version: each version's limits go by who came first.
            players = [
                Player(
                    job.settings, each, recorder, number=number, decoder=decoder, until_ms=job.until_ms, score_at_ms=(),
                    room_bytes=job.room_bytes // len(VERSIONS),
                )
                for each, recorder in zip(rules, self._recorders, strict=True)
            ]  # fmt: skip
            first, second = tee(in_order(blocks, players[0].load))
            # The first player's portions are noted on their way, when it comes back for more: then it has played them.
            games = [_of(0, players[0].play(self._noted(first))), _of(1, players[1].play(second))]
        else:
            self._both = game.Player(
                job.settings,
                rules,
                self._recorders,
                self._ledger,
                number=number,
                until_ms=job.until_ms,
                room_bytes=job.room_bytes,
            )
            games = [self._both.play(in_order(blocks, partial(load, decoder=decoder)))]
        self._games = games
        self._answers: list[Answer | None] = [None for _ in games]
        self._played = [0 for _ in games]
        self._ready = set(range(len(games)))
        self._waiting: dict[int, int] = {}
        """Version that has asked something → the game in which it was."""

    @property
    def over(self) -> bool:
        """Both have played to the end."""
        return not self._ready and not self._waiting

    def advance(self) -> Question | int | None:
        """Plays on until there is something to say: a question, or lines that both have played (0 as well).

        ``None`` when both wait for answers.
        """
        if not self._ready:
            return None
        number = min(self._ready, key=lambda number: (self._played[number], number))
        try:
            said = self._games[number].send(self._answers[number])
        except StopIteration:
            self._ready.remove(number)
            return 0
        self._answers[number] = None
        if not isinstance(said, int):
            self._ready.remove(number)
            self._waiting[said.version] = number
            return said
        before = min(self._played)
        self._played[number] += said
        return min(self._played) - before

    def answer(self, version: int, answer: Answer) -> None:
        """Lets a version that waits go on."""
        number = self._waiting.pop(version)
        self._answers[number] = answer
        self._ready.add(number)

    def compare(self) -> Compared:
        """Lays the decisions of both versions side by side. To be called once, when it is `over`."""
        self._games = []
        old, new = self._recorders
        job, until_ms = self._job, old.until_ms
        tallies = Tallies()
        spill = Spill(job.folder / f"differences-{self._number}", DIFFERENCES_MEMORY_BYTES)
        last_ms = -1 if until_ms is None else until_ms - job.window_ms
        streams = [_by_customer(old.close()), _by_customer(new.close()), _by_customer(self._ledger.close())]
        for customer, (olds, news, orders) in _together(streams):
            if not olds and not news:
                continue
            purchases = purchases_ms(orders)

            def bought(one: Made, purchases: list[int] = purchases) -> bool | None:
                if one.at_ms > last_ms:
                    return None
                return bought_within(purchases, one.at_ms, job.window_ms)

            old_made, new_made = list(map(Made._make, olds)), list(map(Made._make, news))
            pairings = pair(last_words(old_made), last_words(new_made), job.window_ms)
            held = [[one for one in made if not one.sent] for made in (old_made, new_made)]
            tallies.count(pairings, (held[0], held[1]), bought)
            for pairing in pairings:
                change = pairing.change
                if change != SAME:
                    key, line = _difference(customer, pairing, change, bought)
                    spill.add(key, line, len(line))
        counts = old.counts
        if self._both is not None:
            self._first_day = self._both.first_day
        return Compared(
            tallies, spill.close(), counts["events"], counts["dead_letters"], counts["customers"], self._first_day, until_ms
        )  # fmt: skip

    def _noted(self, portions: Iterable[list[Row]]) -> Iterator[list[Row]]:
        """The portions as they are; of each, once it is played, the orders that the processor has taken are noted."""
        refused, take = self._recorders[0].refused_lines, self._ledger.take
        for rows in portions:
            if self._first_day is None:
                self._first_day = next((day_of(row[-1].time_ms) for row in rows if isinstance(row[-1], Event)), None)
            yield rows
            for _, _, value, _, _, decoded in rows:
                if type(decoded) in ORDER_KINDS and not (refused and value in refused):
                    take(decoded)
            refused.clear()


def _of(version: int, asking: Asking) -> game.Game:
    """A replay's game as one of a version."""
    answer: Answer | None = None
    with suppress(StopIteration):
        while True:
            said = asking.send(answer)
            answer = yield said if isinstance(said, int) else Question(version, said)


_rows = msgspec.msgpack.Decoder(tuple[list[str], list[list[Any]]]).decode


def _load(block: Block) -> list[Row]:
    customers, rows = _rows(block.read())
    return list(zip(customers, rows, strict=True))


def _by_customer(blocks: Sequence[Block]) -> Iterator[tuple[str, list[list[Any]]]]:
    for portion in in_order(blocks, _load):
        for customer, rows in groupby(portion, key=itemgetter(0)):
            yield customer, [row for _, row in rows]


def _together(
    streams: Sequence[Iterator[tuple[str, list[list[Any]]]]],
) -> Iterator[tuple[str, list[list[list[Any]]]]]:
    """Customers in order, each with what every stream has of them (nothing: an empty list)."""
    heads = [next(stream, None) for stream in streams]
    while waiting := [head[0] for head in heads if head is not None]:
        customer = min(waiting)
        found: list[list[list[Any]]] = []
        for place, head in enumerate(heads):
            if head is None or head[0] != customer:
                found.append([])
            else:
                found.append(head[1])
                heads[place] = next(streams[place], None)
        yield customer, found


def _difference(customer: str, pairing: Pairing, change: str, bought: Any) -> tuple[tuple[int, str, str, str], bytes]:
    """A line of the file of differences, and what it is sorted by."""
    first = pairing.new or pairing.old
    assert first is not None
    line = orjson.dumps(
        {
            "change": change,
            "what": pairing.what,
            "customer_id": customer,
            "rule": first.rule,
            "old": _side(pairing.old, bought),
            "new": _side(pairing.new, bought),
        }
    )
    return (first.at_ms, customer, first.rule, first.action_id), line


def _side(one: Made | None, bought: Any) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "action_id": one.action_id,
        "rule_version": one.rule_version,
        "verdict": one.verdict,
        "reason": one.reason or None,
        "decided_at": to_text(one.at_ms),
        "kind": one.kind,
        "channel": one.channel,
        "template": one.template,
        "offer": orjson.loads(one.offer),
        "tier": one.tier,
        "cost_minor": one.cost_minor,
        "bought_within_window": bought(one),
    }
