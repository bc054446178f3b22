"""A worker with the core of `_rfm_core` as a program of its own. Settings come from the environment."""

from __future__ import annotations

import os

import uvloop

from stream.environment import read_settings
from stream.worker import run_worker, set_up_logging
from tests.bench._rfm_core import rfm_core

if __name__ == "__main__":
    settings = read_settings({}, os.environ)
    set_up_logging("info")
    uvloop.run(run_worker(settings, core=rfm_core(settings)))
