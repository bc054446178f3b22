"""Nobody waits for ever, whoever asks first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stream.config import Settings
from stream.events.instants import DAY_MS
from stream.processor.epochs import DayClosed, contribution_message, decode_epoch
from stream.replay.lockstep import Lockstep, Version, Waits
from stream.segments.population import Histograms

HEADING_MS = 20 * DAY_MS


def _closes(player: int, *days: int) -> Waits:
    """Asks for a newer version after closing these days."""
    closed = [DayClosed(partition=player, day=day, histograms=Histograms()) for day in days]
    return Waits([contribution_message(each).value or b"" for each in closed], HEADING_MS)


def _days(answers: Sequence[tuple[int, object]]) -> list[tuple[int, int]]:
    return [(player, decode_epoch(answer.epoch).day) for player, answer in answers if isinstance(answer, Version)]


@pytest.mark.parametrize("late", [False, True])
def test_who_closed_several_days_at_once_gets_the_version_of_the_last_one(late: bool) -> None:
    """Also when it comes back from an earlier version only after that one was folded."""
    lockstep = Lockstep(Settings(), 2)

    assert [] == lockstep.take(0, _closes(0, 8))
    assert [(0, 5), (1, 5)] == _days(lockstep.take(1, _closes(1, 4)))
    if late:
        assert [(1, 9)] == _days(lockstep.take(1, _closes(1, 5, 6, 7, 8)))
        assert [(0, 9)] == _days(lockstep.take(0, _closes(0)))
    else:
        assert [] == lockstep.take(0, _closes(0))
        assert [(0, 9), (1, 9)] == _days(lockstep.take(1, _closes(1, 5, 6, 7, 8)))
