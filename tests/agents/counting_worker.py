"""A worker with the counting core as a program, to be killed by tests. Settings come from the environment."""

from __future__ import annotations

import os
import sys

import uvloop

from stream.environment import read_settings
from stream.worker import run_worker, set_up_logging
from tests.agents.counting import counting_core

if __name__ == "__main__":
    settings = read_settings({}, os.environ)
    set_up_logging("info")
    until_ms = int(sys.argv[1]) if len(sys.argv) > 1 else None
    uvloop.run(
        run_worker(settings, core=counting_core(settings), until_ms=until_ms, exit_when_done=until_ms is not None)
    )
