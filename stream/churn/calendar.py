"""The fixed calendar of churn snapshots: every ``period``, at a phase of the customer's own, so work is spread evenly."""

from __future__ import annotations

from stream.events.instants import DAY_MS

SNAPSHOTS_PER_HORIZON = 3
"""Looks at a customer within one horizon. More: examples overlap more than they add, and more snapshots are kept (on CDNOW
the AUC with 1, 3 and 9 looks is the same within 0.0004). Fewer: a small shop waits longer for its first labels."""
INTEREST_HORIZONS = 8
INTEREST_LEAST_DAYS = 500
"""A customer who was silent for so many horizons, and so many days, is looked at no more. Fewer: the model is asked about
silences it has never seen a label for, and a yearly gift buyer is given up before the anniversary; more: dead records
are visited for ever."""

HALF_LIFE_HORIZONS = 4.0
"""Evidence counts half after this many horizons. Smaller: small shops forget what they can't re-learn; larger: the
model clings to a shop that no longer exists."""


def period_ms(horizon_days: int) -> int:
    """Time between two looks at the same customer: a third of the horizon, in whole days.

    >>> [period_ms(days) // DAY_MS for days in (90, 30, 7, 2)]
    [30, 10, 2, 1]
    """
    return max(1, horizon_days // SNAPSHOTS_PER_HORIZON) * DAY_MS


def interest_ms(horizon_days: int) -> int:
    """How long after the last purchase a customer is still looked at."""
    return max(INTEREST_HORIZONS * horizon_days, INTEREST_LEAST_DAYS) * DAY_MS


LEAST_OWN_DAYS = 7
"""No personal horizon is shorter. Shorter: whoever comes daily has churned after a long weekend; longer: it isn't their own."""


def own_horizon_days(cycle_days: float, cycles: float, horizon_days: int) -> int:
    """After how many days without a purchase a customer has churned: so many own cycles, the common horizon at most.

    Those without a cycle have the common one; so has everybody when ``cycles`` is 0.

    >>> [own_horizon_days(cycle, 2.0, 90) for cycle in (0.0, 2.0, 12.4, 60.0)], own_horizon_days(12.4, 0.0, 90)
    ([90, 7, 25, 90], 90)
    """
    if not cycles or cycle_days <= 0.0:
        return horizon_days
    return min(horizon_days, max(LEAST_OWN_DAYS, round(cycles * cycle_days)))


def next_grid_ms(customer_hash: int, after_ms: int, period_ms: int) -> int:
    """The first instant of a customer's calendar after ``after_ms``: always a midnight UTC when the period has whole days.

    At midnight, a snapshot has seen whole days only, so its label counts whole days as well: a purchase is on one side
    of it or on the other.

    >>> day = DAY_MS
    >>> next_grid_ms(7, 100 * day, 10 * day) / day, next_grid_ms(7, 107 * day, 10 * day) / day
    (107.0, 117.0)
    """
    step_ms = DAY_MS if period_ms % DAY_MS == 0 else 1
    phase = customer_hash % (period_ms // step_ms) * step_ms
    return (after_ms - phase) // period_ms * period_ms + period_ms + phase
