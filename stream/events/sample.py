"""Which things of a day are worth passing on to a learner that only takes so many of them."""

from __future__ import annotations

from heapq import heappush, heapreplace

ALL = 1 << 32
"""Draws are smaller: bits of a digest, so a thing has the same one wherever it is seen."""


class Sample:
    """Lets the things with the smallest draws of a day pass, ``most`` of them and the next one, by which is told how many there were.

    Whoever puts the samples of several partitions together finds the smallest draws of all of them in it, since nothing is kept
    back that is among the smallest. What came early and is none of them any more passed too.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._largest_first: list[int] = []
        self.admitted = ALL
        """Draws from here on never pass: as many as may be needed on a day like the last one."""

    def takes(self, drawn: int) -> bool:
        """Whether a thing passes.

        >>> sample = Sample(1)
        >>> [sample.takes(drawn) for drawn in (50, 90, 60, 80, 10)]
        [True, True, True, False, True]
        """
        if drawn >= self.admitted:
            return False
        passed = self._largest_first
        if len(passed) <= self._most:
            heappush(passed, -drawn)
        elif drawn < -passed[0]:
            heapreplace(passed, -drawn)
        else:
            return drawn == -passed[0]
        return True

    def start_again(self) -> None:
        """Another day, or what passed never happened."""
        self._largest_first.clear()


def seen(draws: list[int], most: int, admitted: int) -> float:
    """How many things there were, by the draws of those that passed, ascending.

    Of more than ``most`` by the largest draw that is needed (the k-minimum-values estimator: Bar-Yossef et al., "Counting
    distinct elements in a data stream", RANDOM 2002; off by about 1 in the square root of ``most``): that one is the same however
    the things were shared out, while more or fewer that are not needed may have passed. Of fewer by the share that may pass.

    >>> seen([5, 9], 2, ALL), seen([5, 9], 2, ALL // 4), round(seen([ALL // 8, ALL // 4, ALL // 2], 2, ALL))
    (2.0, 8.0, 4)
    """
    if len(draws) > most:
        return most * ALL / max(1, draws[most])
    return len(draws) * ALL / admitted
