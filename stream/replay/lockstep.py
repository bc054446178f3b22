"""Processes that play their own customers keep step by the day: nobody enters a day without the version that all made.

A day's version needs everybody's contribution, also of those who have nothing to play up to there. So whoever has no more
events rests, and is told to move on to the day that somebody else is waiting for.
"""

from __future__ import annotations

from typing import NamedTuple

from stream.actions.message import Message
from stream.config import Settings
from stream.events.instants import DAY_MS, day_of
from stream.processor.epochs import Coordinator, decode_contribution, epoch_message


class Waits(NamedTuple):
    """Asks for a newer version: ``contributions`` since the last time, and the instant it is on its way to."""

    contributions: list[bytes]
    heading_ms: int


class Rests(NamedTuple):
    """Asks how far to go on: the events are all played, the last of them at ``last_ms``."""

    last_ms: int | None


class Version(NamedTuple):
    """Answers `Waits`."""

    epoch: bytes


class Goal(NamedTuple):
    """Answers `Rests`: move on to ``at_ms``; ``final`` if that is the end (``None``: there was no event at all)."""

    at_ms: int | None
    final: bool


Asked = Waits | Rests
Answer = Version | Goal


class Lockstep:
    """Takes what players ask and returns who is answered what; a player asks once and waits for the answer."""

    def __init__(self, settings: Settings, players: int) -> None:
        self._coordinator = Coordinator(settings, players)
        self._players = players
        self._version = Version(b"")
        self._folded = 0
        """How many versions there have been."""
        self.told: list[Message] = []
        """What was published of the days that are over."""
        self._given = [0] * players
        """The latest of them that each player was given."""
        self._waiting: set[int] = set()
        self._resting: dict[int, int | None] = {}
        self._goal_ms = -1
        self._sent_ms = [-1] * players

    def take(self, player: int, asked: Asked) -> list[tuple[int, Answer]]:
        """Notes a question; the answers that this makes possible."""
        answers: list[tuple[int, Answer]] = []
        if isinstance(asked, Waits):
            for contribution in asked.contributions:
                self._coordinator.contribute(decode_contribution(contribution))
            self._waiting.add(player)
            self._goal_ms = max(self._goal_ms, day_of(asked.heading_ms) * DAY_MS)
            epoch = self._coordinator.fold()
            if epoch is not None:
                self._version = Version(epoch_message(epoch).value or b"")
                self._folded += 1
                self.told += self._coordinator.told
            # Everybody has closed the day that was folded, so everybody waits for this. Who closed several days at once may be
            # late: given an earlier version, and not back yet to ask for the next one.
            for number in sorted(self._waiting):
                if self._given[number] < self._folded:
                    self._given[number] = self._folded
                    self._waiting.remove(number)
                    answers.append((number, self._version))
        else:
            self._resting[player] = asked.last_ms
        for number in sorted(self._resting):
            if self._sent_ms[number] < self._goal_ms:
                self._sent_ms[number] = self._goal_ms
                del self._resting[number]
                answers.append((number, Goal(self._goal_ms, final=False)))
        if len(self._resting) == self._players:
            until_ms = max((last for last in self._resting.values() if last is not None), default=None)
            answers += [(number, Goal(until_ms, final=True)) for number in range(self._players)]
            self._resting.clear()
        return answers
