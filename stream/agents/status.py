"""What the worker is doing, for probes and metrics: is it alive, is it ready, and if not, why."""

from __future__ import annotations

import enum
import time

import msgspec

from stream.agents.restore import Progress

STALLED_SECONDS = 60.0
"""A partition with work waiting that has applied nothing for so long fails the liveness probe. A restart costs a restore;
it must not be done for a slow transaction (which times out after 60 s and is then tried again) or a long batch."""


class Doing(enum.StrEnum):
    """Where a partition is on its way to processing."""

    CLAIMING = "claiming"
    """Fencing the former owner."""
    RESTORING = "restoring"
    RUNNING = "running"
    WAITING = "waiting for its epoch"
    """Event clock only: the new day's thresholds and model are not published yet."""
    PAUSED = "paused"
    """A rebalance is going on."""
    RETRYING = "retrying"
    """Something outside failed; it is tried again."""


class PartitionStatus(msgspec.Struct):
    """One partition of this worker."""

    stage: Doing = Doing.CLAIMING
    progress: Progress = msgspec.field(default_factory=Progress)
    trouble: str = ""
    """The last failure, until something succeeds."""
    disk: str = ""
    """Why there is no copy of the state on disk though there should be one."""
    moved: float = msgspec.field(default_factory=time.monotonic)
    """When it last made progress (monotonic seconds)."""
    busy: bool = False
    """Whether work waits for it."""

    @property
    def restoring(self) -> bool:
        """Whether its state is being read back."""
        return self.stage is Doing.RESTORING

    def set_busy(self, busy: bool) -> None:
        """Work waits, or none does. Work that comes after an idle hour has not waited for an hour."""
        if busy and not self.busy:
            self.moved = time.monotonic()
        self.busy = busy

    def move(self, stage: Doing | None = None) -> None:
        """Notes progress."""
        self.moved = time.monotonic()
        if stage is not None:
            self.stage = stage


class WorkerStatus:
    """The worker as a whole."""

    def __init__(self) -> None:
        self.partitions: dict[int, PartitionStatus] = {}
        self.broker_away_since: float | None = time.monotonic()
        self.topics_ready = False
        self.assigned = False
        """Whether the group has told this worker what it gets, be it nothing."""
        self.caught_up = False
        """Event clock: all partitions are at the end of their inputs and at ``--until``."""
        self.timers_fail = ""
        self.rules_trouble = ""
        """Why what was published isn't followed."""
        self.group_trouble = ""
        """What the consumer group reported last, until it works again."""

    def not_ready(self) -> list[str]:
        """Why the worker isn't ready, in sentences for a person; empty when it is."""
        reasons = []
        if self.broker_away_since is not None:
            away = time.monotonic() - self.broker_away_since
            reasons.append(f"no Kafka broker answers since {away:.0f} s; waiting for it")
        elif not self.topics_ready:
            reasons.append("the topics are being checked")
        elif not self.assigned:
            why = f" ({self.group_trouble})" if self.group_trouble else ""
            reasons.append(f"waiting for the consumer group to assign partitions{why}")
        for number, status in sorted(self.partitions.items()):
            if status.stage is Doing.RESTORING:
                reasons.append(f"partition {number}: restoring {status.progress.ratio:.0%}")
            elif status.stage in (Doing.CLAIMING, Doing.RETRYING, Doing.PAUSED):
                reasons.append(
                    f"partition {number}: {status.stage.value}" + (f" ({t})" if (t := status.trouble) else "")
                )
        if self.timers_fail:
            reasons.append(f"timers fail: {self.timers_fail}")
        if self.rules_trouble:
            reasons.append(self.rules_trouble)
        return reasons

    def word(self) -> str | None:
        """The same in a word for metrics; ``None`` when ready."""
        stages = {status.stage for status in self.partitions.values()}
        if self.broker_away_since is not None:
            return "broker_away"
        if not self.assigned:
            return "starting"
        if self.stalled():
            return "stalled"
        if stages & {Doing.CLAIMING, Doing.RESTORING}:
            return "recovering"
        if stages & {Doing.RETRYING}:
            return "retrying"
        if stages & {Doing.PAUSED}:
            return "rebalancing"
        if self.timers_fail:
            return "timers"
        return "rules" if self.rules_trouble else None

    def stalled(self) -> list[int]:
        """Partitions with work that have not moved for `STALLED_SECONDS` though the broker answers."""
        if self.broker_away_since is not None:
            return []
        now = time.monotonic()
        return [
            number
            for number, status in sorted(self.partitions.items())
            if status.busy and status.stage is not Doing.WAITING and now - status.moved > STALLED_SECONDS
        ]
