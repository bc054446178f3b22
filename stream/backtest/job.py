"""What every process of a backtest is told."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from stream.config import Settings
from stream.errors import ConfigurationError, RuleFileError
from stream.events.instants import DAY_MS
from stream.events.money import Rates
from stream.rules.loader import load_rules
from stream.rules.rule import RuleSet

VERSIONS = ("old", "new")
"""The two sets of rules, in the order in which everything here has them."""
ROOM_BYTES = 2 << 30
"""Memory of a process for customers at hand, by estimate. More: a process may need it all; less: where more customers are
active in a day, each is packed and unpacked once a day, some 20 us."""


class Named(NamedTuple):
    """A set of rules by its folder; ``""`` is the library that comes with Winback."""

    folder: str
    version: str
    """The rule set's, once it was read; every process must find the same."""


class Job(NamedTuple):
    """What to do. Each process reads the rule files for itself."""

    settings: Settings
    rates: Rates | None
    rules: tuple[Named, Named]
    folder: Path
    processes: int
    until_ms: int | None
    window_days: int
    in_order: bool = False
    """Everybody's events by time, as live has them; only alone."""
    room_bytes: int = ROOM_BYTES

    @property
    def window_ms(self) -> int:
        """How long after a decision a purchase counts."""
        return self.window_days * DAY_MS


def read_both(old_folder: str, new_folder: str) -> tuple[RuleSet, RuleSet]:
    """Both sets of rules. Raises `RuleFileError` with all mistakes of all files of both."""
    found: list[RuleSet] = []
    problems: list[str] = []
    for folder in (old_folder, new_folder):
        try:
            found.append(load_rules(folder))
        except RuleFileError as error:
            problems += error.problems
    if problems:
        raise RuleFileError(list(dict.fromkeys(problems)))
    old, new = found
    return old, new


def read_again(job: Job) -> tuple[RuleSet, RuleSet]:
    """As `read_both`, in another process. Raises `ConfigurationError` when the files have changed meanwhile."""
    both = read_both(*[named.folder for named in job.rules])
    changed = [n.folder for n, rules in zip(job.rules, both, strict=True) if n.version != rules.version]
    if changed:
        raise ConfigurationError([f"{folder}: the rules have changed since the backtest began" for folder in changed])
    return both
