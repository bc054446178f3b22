"""Benchmarks: ``uv run python -m tests.bench NAME [--json]``. One module a benchmark, with ``main(json: bool) -> None``."""
