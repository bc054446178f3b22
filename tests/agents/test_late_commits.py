"""Offsets that are committed late: the latest ones, together, again after a failure, and never after they were let go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka.errors import KafkaError
from faust.types import TP

from stream.agents.late_commits import LateCommits

A, B = TP("a", 0), TP("b", 1)


class Group:
    """Remembers what is committed; refuses as often as it is told to."""

    def __init__(self, refusals: int = 0) -> None:
        self.commits: list[dict[TP, int]] = []
        self.refusals = refusals
        self.committed = asyncio.Event()

    async def commit(self, offsets: Mapping[TP, int]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise KafkaError
        self.commits.append(dict(offsets))
        self.committed.set()


def test_the_latest_offsets_are_committed_together() -> None:
    """Three batches of two partitions make one commit."""

    async def scenario() -> list[dict[TP, int]]:
        group = Group()
        late = LateCommits(group.commit)
        for offsets in ({A: 1}, {B: 5}, {A: 3}):
            late.note(offsets)
        await group.committed.wait()
        await late.flush(1)
        return group.commits

    assert [{A: 3, B: 5}] == asyncio.run(scenario())


def test_a_commit_that_fails_is_tried_again() -> None:
    """With what was noted meanwhile."""

    async def scenario() -> list[dict[TP, int]]:
        group = Group(refusals=2)
        late = LateCommits(group.commit)
        late.note({A: 1})
        late.note({B: 1})
        await group.committed.wait()
        return group.commits

    assert [{A: 1, B: 1}] == asyncio.run(scenario())


def test_a_flush_commits_at_once_and_what_it_could_not_commit_is_forgotten() -> None:
    """After it others may own the partitions: an old offset must not be committed over theirs."""

    async def scenario() -> tuple[list[dict[TP, int]], list[dict[TP, int]]]:
        group = Group()
        late = LateCommits(group.commit)
        late.note({A: 1})
        await late.flush(1)
        first = list(group.commits)
        group.refusals = 1
        late.note({A: 2})
        await late.flush(1)
        late.note({B: 1})
        await late.flush(1)
        return first, group.commits

    assert ([{A: 1}], [{A: 1}, {B: 1}]) == asyncio.run(scenario())
