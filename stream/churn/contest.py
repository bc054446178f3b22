"""Several models side by side: who scores the customers, and who does better at it (MISSION D5).

All contenders are judged alike: on the same sample of each day's labels, by the version that they had when the customer was looked
at, or at most a third of a horizon before. Nobody has seen any of these labels. The one in use, the *champion*, gives way to a
challenger that is better beyond noise: by the AUC (DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated
ROC curves", 1988), with probabilities that are no worse (Brier score), at several looks in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.churn.examples import Example, unpack
from stream.churn.model import LOGISTIC, Formula, Standing
from stream.churn.quality import measure
from stream.events.hashing import hash64
from stream.events.instants import DAY_MS

TREES: Final = "trees"
RECENCY: Final = "recency"
CONTENDERS: Final = (LOGISTIC, TREES, RECENCY)
"""All models, the one that is in use at first first."""

WINDOW: Final = 5_000
"""Labels that the contenders are compared by. Fewer: the difference drowns in noise; more: who was better last year stays champion."""
LEAST_JUDGED: Final = 1_000
"""Fewer in the window: nobody is promoted. Smaller: the first weeks of a shop decide."""
LEAST_LEAD: Final = 0.005
"""What a challenger's AUC must be higher by. Smaller: models are swapped for what nobody would notice."""
SIGMAS: Final = 3.0
"""… and by how many standard errors. Labels of one customer aren't independent, and there are many looks: 2 would be chance every year."""
LOOK_DAYS: Final = 7
LOOKS: Final = 3
"""A challenger must lead at so many looks in a row, so many days apart. More: a changed shop waits; fewer: a week of sales decides."""

_FINE: Final = 65_535.0
"""Probabilities are kept in steps of this: 16 bits."""


class State(msgspec.Struct, kw_only=True):
    """All of a contest, for the checkpoint."""

    champion: str = LOGISTIC
    previous: str = ""
    """The champion before, empty when there was none: who comes back when a promotion is undone."""
    since_day: int = 0
    """UTC day from which the champion is in use."""
    is_pinned: bool = False
    """A person has chosen the champion, so nobody else does until that is released."""
    command_ms: int = 0
    """When the last command was given that was followed."""
    looked_day: int = 0
    began_day: int = 0
    """UTC day of the first labels."""
    standings: tuple[Standing, ...] = ()
    versions: list[tuple[int, dict[str, Formula]]] = []
    """The contenders' formulas as of some UTC days, oldest first."""
    scores: dict[str, bytes] = {}
    outcomes: bytes = b""


class Contest:
    """The contenders' scores, and who is champion by them."""

    def __init__(self, horizon_days: int, period_days: int) -> None:
        self._horizon_days = horizon_days
        self._period_days = period_days
        self._state = State(versions=[], scores={})
        self._scores: dict[str, list[int]] = {name: [] for name in CONTENDERS}
        self._outcomes: list[int] = []

    @property
    def champion(self) -> str:
        """Who scores the customers."""
        return self._state.champion

    @property
    def is_pinned(self) -> bool:
        """Whether a person has said so."""
        return self._state.is_pinned

    @property
    def previous(self) -> str:
        """Who did before; empty when nobody did."""
        return self._state.previous

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How everybody stood at the last look."""
        return self._state.standings

    def judge(self, examples: Iterable[Example]) -> None:
        """Judges all contenders by labels that none of them has seen, each by what it knew when the customer was looked at."""
        for example in examples:
            known = self._known_at(example.time_ms // DAY_MS)
            if known is None:
                continue
            vector = unpack(example.values)
            for name in CONTENDERS:
                self._scores[name].append(round(known[name].probability(vector) * _FINE))
            self._outcomes.append(example.churned)
        del self._outcomes[:-WINDOW]
        for scores in self._scores.values():
            del scores[:-WINDOW]

    def wants_versions(self, day: int) -> bool:
        """Whether the formulas as of a UTC day are to be kept. Those of the first horizon aren't.

        They are judged a horizon later, when whoever learns more slowly, and more, has long overtaken whoever was good at once.
        """
        state = self._state
        state.began_day = state.began_day or day
        if day < state.began_day + self._horizon_days:
            return False
        return not state.versions or day >= state.versions[-1][0] + self._period_days

    def keep_versions(self, day: int, formulas: Mapping[str, Formula]) -> None:
        """Keeps the formulas that hold from a UTC day on, and drops those that no label will ask for any more."""
        versions = self._state.versions
        versions.append((day, dict(formulas)))
        while len(versions) > 1 and versions[1][0] <= day - self._horizon_days:
            del versions[0]

    def look(self, day: int) -> str:
        """Compares the contenders, once in `LOOK_DAYS`; the name of who becomes champion by it, mostly empty."""
        state = self._state
        if day < state.looked_day + LOOK_DAYS:
            return ""
        state.looked_day = day
        if len(set(self._outcomes)) < 2:
            return ""
        churned = np.array(self._outcomes, dtype=np.bool_)
        scores = {name: np.array(rows) / _FINE for name, rows in self._scores.items()}
        before = {standing.name: standing.leads_since for standing in state.standings}
        state.standings = tuple(
            self._standing(name, scores[name], scores[state.champion], churned, before.get(name, 0))
            for name in CONTENDERS
        )
        ready = [s for s in state.standings if s.leads_since >= LOOKS]
        if state.is_pinned or not ready or day < state.since_day + self._horizon_days:
            return ""
        return max(ready, key=lambda standing: standing.lead).name

    def crown(self, name: str, day: int) -> None:
        """Makes a contender the champion from a UTC day on."""
        state = self._state
        if name == state.champion:
            return
        state.previous, state.champion, state.since_day = state.champion, name, day
        state.standings = tuple([msgspec.structs.replace(s, leads_since=0) for s in state.standings])

    def follow(self, name: str, at_ms: int) -> bool:
        """Whether a person's command is new, which it is once; pins the champion, or releases it with an empty name."""
        state = self._state
        if at_ms <= state.command_ms or (name and name not in CONTENDERS):
            return False
        state.command_ms, state.is_pinned = at_ms, bool(name)
        return True

    def state(self) -> State:
        """Everything needed to go on."""
        scores = {name: np.array(rows, dtype="<u2").tobytes() for name, rows in self._scores.items()}
        return msgspec.structs.replace(self._state, scores=scores, outcomes=bytes(self._outcomes))

    def restore(self, state: State) -> None:
        """Goes on from the state of another contest."""
        self._state = msgspec.structs.replace(state, versions=list(state.versions))
        self._scores = {name: np.frombuffer(state.scores.get(name, b""), dtype="<u2").tolist() for name in CONTENDERS}
        self._outcomes = list(state.outcomes)

    # -- inside

    def _known_at(self, day: int) -> Mapping[str, Formula] | None:
        """The newest formulas that held on a UTC day."""
        return next((formulas for since, formulas in reversed(self._state.versions) if since <= day), None)

    def _standing(
        self,
        name: str,
        scores: NDArray[np.float64],
        champions: NDArray[np.float64],
        churned: NDArray[np.bool_],
        leads_since: int,
    ) -> Standing:
        found = measure(scores, churned)
        lead, noise = lead_of(scores, champions, churned)
        is_truer = float(np.mean((scores - churned) ** 2)) <= float(np.mean((champions - churned) ** 2))
        is_better = len(churned) >= LEAST_JUDGED and lead >= LEAST_LEAD and lead >= SIGMAS * noise and is_truer
        return Standing(
            name=name,
            judged=found.pairs,
            auc=found.auc,
            brier=found.brier,
            calibration_error=found.calibration_error,
            lead=lead,
            noise=noise,
            leads_since=leads_since + 1 if is_better else 0,
        )


def lead_of(ours: NDArray[np.float64], theirs: NDArray[np.float64], churned: NDArray[np.bool_]) -> tuple[float, float]:
    """How much larger the AUC of our scores is than that of theirs, and the standard error of that (DeLong and others 1988).

    >>> churned = np.array([False, True] * 50)
    >>> lead_of(churned * 1.0, churned * 1.0, churned)
    (0.0, 0.0)
    """
    positive = _placements(ours, churned)[0] - _placements(theirs, churned)[0]
    negative = _placements(ours, churned)[1] - _placements(theirs, churned)[1]
    variance = sum(float(part.var(ddof=1)) / len(part) for part in (positive, negative) if len(part) > 1)
    return float(positive.mean()), variance**0.5


def _placements(
    scores: NDArray[np.float64], churned: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each who churned the share of buyers scored below, for each buyer the share of churners scored above; ties count half."""
    up, down = np.sort(scores[~churned]), np.sort(scores[churned])
    above = np.searchsorted(up, scores[churned], "left") + np.searchsorted(up, scores[churned], "right")
    below = np.searchsorted(down, scores[~churned], "left") + np.searchsorted(down, scores[~churned], "right")
    return above / (2.0 * len(up)), 1.0 - below / (2.0 * len(down))


def sample(examples: Sequence[Example], most: int) -> Sequence[Example]:
    """At most so many of a day's examples, the same ones in whatever order they come; in canonical order."""
    if len(examples) <= most:
        return examples
    drawn = sorted(examples, key=lambda e: hash64(f"{e.time_ms}:{e.customer}"))[:most]
    return sorted(drawn, key=lambda e: (e.time_ms, e.customer))
