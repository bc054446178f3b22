"""Published rules and switches on a worker: followed from the topic, checked once, handed to all partitions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from stream.agents.epochs import EpochFollower
from stream.agents.ports import Core, Release
from stream.agents.restore import Progress, restore
from stream.config import Settings
from stream.errors import WinbackError

_log = logging.getLogger(__name__)


class Releases:
    """What is live. One that this Winback can't read is not followed: the last one stays, and the worker says so."""

    def __init__(self, settings: Settings, core: Core, on_release: Callable[[Release], None]) -> None:
        self.current: Release | None = None
        self.trouble = ""
        self._settings = settings
        self._core = core
        self._on_release = on_release
        self.follower = EpochFollower(settings, lambda _: self._read_on(), settings.topic_rules)

    async def fresh(self) -> Release | None:
        """What is live by now, to begin with.

        Read anew, because the partition may come from a worker that was ahead of this one: its decisions must not go back
        to an older version.

        Raises:
            WinbackError: this Winback can't read it.
        """
        if self._core.release is None:
            return None
        values: dict[bytes, bytes] = {}
        await restore(self._settings, self._settings.topic_rules, 0, values, Progress())
        self._take(self._core.release(values))
        return self.current

    def _read_on(self) -> None:
        if self._core.release is None:
            return
        values: Mapping[bytes, bytes] = self.follower.by_key()
        try:
            release = self._core.release(values)
        except WinbackError as error:
            self.trouble = f"the published rules can't be used: {error}"
            _log.error("%s; the last version stays in use", self.trouble)
            return
        self._take(release)

    def _take(self, release: Release) -> None:
        """Whoever reads first is followed; the other one comes with the same or less."""
        before = self.current
        if before is not None and (release.number, release.switch) <= (before.number, before.switch):
            return
        self.current, self.trouble = release, ""
        if before is None or before.number != release.number:
            whose = f"version {release.number}, published by {release.by}" if release.number else "this worker's own"
            _log.info("rules: %s (%s)", whose, release.rules_version)
        if before is None or before.switched != release.switched:
            _log.info("rules: %s", "; ".join(release.switched))
        self._on_release(release)
