"""The wall clock: the only place that reads it for the processor."""

from __future__ import annotations

import time


class WallClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Unix milliseconds UTC."""
        return time.time_ns() // 1_000_000
