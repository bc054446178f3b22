"""Customers whose due instants other rules have left: taken a slice at a time, each slice part of a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice


class Stale:
    """Keys still to be looked at. What a step has taken comes back when the step is rolled back.

    >>> stale = Stale()
    >>> stale.begin([b"a", b"b", b"c"])
    >>> stale.take(2), stale.take(2), bool(stale), stale.is_through
    ([b'a', b'b'], [b'c'], False, True)
    >>> stale.rollback(); stale.take(None), stale.is_through
    ([b'a', b'b', b'c'], True)
    """

    def __init__(self) -> None:
        self._rest: Iterator[bytes] | None = None
        self._taken: list[bytes] = []
        self.slices = 0
        """Slices that were taken."""

    def __bool__(self) -> bool:
        return self._rest is not None

    @property
    def is_through(self) -> bool:
        """The open step has taken the last."""
        return self._rest is None

    def begin(self, keys: Iterable[bytes]) -> None:
        """All of these, whatever was left before."""
        self._rest, self._taken, self.slices = iter(keys), [], 0

    def forget(self) -> None:
        """There is nothing to be looked at."""
        self._rest, self._taken = None, []

    def take(self, most: int | None) -> list[bytes]:
        """The next ones, at most so many; ``None``: all."""
        if self._rest is None:
            return []
        taken = list(islice(self._rest, most))
        if most is None or len(taken) < most:
            self._rest = None
        self._taken += taken
        self.slices += 1
        return taken

    def commit(self) -> None:
        """What was taken is done for good."""
        self._taken = []

    def rollback(self) -> None:
        """What was taken since the last commit has to be done again."""
        if self._taken:
            self._rest = chain(self._taken, self._rest or ())
            self._taken = []
