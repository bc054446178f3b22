"""One process's share: its customers played under both sets of rules, from lines that are decoded once, and laid side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, tee
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import orjson

from stream.backtest.job import VERSIONS, Job
from stream.backtest.ledger import ORDER_KINDS, Ledger, bought_within, purchases_ms
from stream.backtest.made import Made
from stream.backtest.matching import SAME, Pairing, last_words, pair
from stream.backtest.recorder import Recorder
from stream.backtest.tallies import Tallies
from stream.events.codec import Decoder
from stream.events.instants import day_of, to_text
from stream.events.kinds import Event
from stream.replay.lockstep import Answer, Asked
from stream.replay.player import ROOM_BYTES, Player
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


class Question(NamedTuple):
    """What one of the two versions asks of the others who play it."""

    version: int
    asked: Asked


class Pair:
    """Two players of the same lines. Each goes as far as it can without an answer, whichever is behind first."""

    def __init__(self, job: Job, rules: tuple[RuleSet, RuleSet], number: int, blocks: Sequence[Block]) -> None:
        self._job = job
        self._number = number
        self._ledger = Ledger(job.folder / f"orders-{number}")
        self._first_day: int | None = None
        self._recorders = [
            Recorder(job.folder / f"decisions-{version}-{number}", each)
            for version, each in zip(VERSIONS, rules, strict=True)
        ]
        decoder = Decoder(job.settings, job.rates, latest_ms=job.until_ms)
        players = [
            Player(
                job.settings, each, recorder, number=number, decoder=decoder, until_ms=job.until_ms, score_at_ms=(),
                room_bytes=ROOM_BYTES // len(VERSIONS),
            )
            for each, recorder in zip(rules, self._recorders, strict=True)
        ]  # fmt: skip
        first, second = tee(in_order(blocks, players[0].load))
        # The first player's portions are noted on their way, when it comes back for more: then it has played them.
        self._games = [players[0].play(self._noted(first)), players[1].play(second)]
        self._answers: list[Answer | None] = [None, None]
        self._played = [0, 0]
        self._ready = {0, 1}
        self._waiting: set[int] = set()

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
        version = min(self._ready, key=lambda version: (self._played[version], version))
        try:
            said = self._games[version].send(self._answers[version])
        except StopIteration:
            self._ready.remove(version)
            return 0
        self._answers[version] = None
        if not isinstance(said, int):
            self._ready.remove(version)
            self._waiting.add(version)
            return Question(version, said)
        before = min(self._played)
        self._played[version] += said
        return min(self._played) - before

    def answer(self, version: int, answer: Answer) -> None:
        """Lets a version that waits go on."""
        self._waiting.remove(version)
        self._answers[version] = answer
        self._ready.add(version)

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
