"""Runs one command and sees to it that the command never outlives the process that wanted it.

A program of its own, so that it is single-threaded where it forks and alive where its owner isn't::

    python -I -S watchdog.py GRACE_SECONDS NICENESS OUTPUT_FILE COMMAND…

Standard input is the line to the owner. Its end (the owner closed it, or died however suddenly) means "end the
command": SIGTERM, and SIGKILL after the grace. One byte ``K`` means SIGKILL at once. Should the watchdog itself be
killed, Linux kills the command (PR_SET_PDEATHSIG); other systems have no such thing. Standard output gets one line, the
command's process id, and ends with the command; the exit code is the command's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

KILL = b"K"
_PR_SET_PDEATHSIG = 1
_OWNER_CHECK_SECONDS = 1.0
"""How often to look whether the owner is still our parent, for the case that a fork of the owner holds the line open.
Larger: such an orphan lives longer. Smaller: more wake-ups of an idle machine."""


def _die_with(watchdog: int) -> None:
    """In the forked child: ask Linux for SIGKILL when the watchdog ends, and notice if it already has."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watchdog:
        os._exit(1)


def _obey_owner(process: subprocess.Popen[bytes], owner: int, grace_seconds: float) -> None:
    order = b""
    while os.getppid() == owner:
        if select.select([0], [], [], _OWNER_CHECK_SECONDS)[0]:
            order = os.read(0, 1)
            break
    if order != KILL:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    process.kill()


def main(arguments: list[str]) -> int:
    """Run the command to its end and return its exit code (128 + signal if a signal ended it)."""
    grace, niceness, output, *command = arguments
    owner, me = os.getppid(), os.getpid()
    os.nice(int(niceness))
    with Path(output).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=(lambda: _die_with(me)) if sys.platform == "linux" else None,  # noqa: PLW1509  no threads yet
        )
    print(process.pid, flush=True)  # noqa: T201  the parent reads it
    threading.Thread(target=_obey_owner, args=(process, owner, float(grace)), daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
