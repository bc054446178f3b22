"""The parts of the crash suite; `tests.bench.crash` runs it."""
