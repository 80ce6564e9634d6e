"""Drift-free pacing on the monotonic clock. Pure."""

from __future__ import annotations

import math


class Pace:
    """Due times of one group: ``origin + n × interval``, whatever the scans take.

    A scan that overruns its successor's time is followed by the next slot in the future; the slots
    in between are skipped and counted as late, never queued up.
    """

    def __init__(self, interval: float, now: float) -> None:
        self.interval = interval
        self._origin = now
        self._slot = 0

    @property
    def due(self) -> float:
        """Monotonic seconds at which the next scan is due."""
        return self._origin + self._slot * self.interval

    def advance(self, now: float) -> int:
        """Go to the next slot after a scan that ended at ``now``; returns the number of slots skipped."""
        following = self._slot + 1
        self._slot = max(following, math.ceil((now - self._origin) / self.interval - 1e-6))
        return self._slot - following
