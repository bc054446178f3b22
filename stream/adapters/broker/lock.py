"""One broker a data folder: kernel locks, which no crash can leave behind."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from stream.errors import AlreadyRunning

_OWNER_SECONDS = 1.0
"""How long to wait for an owner that is just dying: ``kill -9`` returns before the kernel has closed its files. Larger
would only delay the refusal."""
_NODE_SECONDS = 30.0
"""How long to wait for the JVM of a killed owner to shut down. It must be above the grace of a node, or a start right
after ``kill -9`` may be refused; larger would only keep a person waiting when a JVM hangs."""


class FolderLock:
    """Two locks: ``broker.lock`` belongs to the owner and names its process; ``node.lock`` is held on for its JVMs.

    The kernel drops the first when the owner dies, so a stale file never refuses a start. The second is free only when
    the last JVM of that owner has ended, so two JVMs never write to the same data.
    """

    def __init__(self, folder: Path) -> None:
        """Take the locks.

        Raises:
            AlreadyRunning: another living process has them.
        """
        self._owner = os.open(folder / "broker.lock", os.O_RDWR | os.O_CREAT, 0o644)
        self.node_fd = os.open(folder / "node.lock", os.O_RDWR | os.O_CREAT, 0o644)
        """To be inherited by whatever must end before the next owner may start."""
        try:
            if not _lock(self._owner, _OWNER_SECONDS):
                pid = os.pread(self._owner, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise AlreadyRunning(f"process {pid} already runs a broker in {folder}")
            os.truncate(self._owner, 0)
            os.pwrite(self._owner, f"{os.getpid()}\n".encode("ascii"), 0)
            if not _lock(self.node_fd, _NODE_SECONDS):
                raise AlreadyRunning(f"the Kafka process of an earlier broker in {folder} doesn't end")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the folder back."""
        os.close(self.node_fd)
        os.close(self._owner)


def _lock(fd: int, patience_seconds: float) -> bool:
    """Lock the file, waiting so long at most: the call with a time limit that the system lacks."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True
