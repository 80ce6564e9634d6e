"""Whether the source's time stamps can be believed. Pure but for its memory."""

from __future__ import annotations

import numpy as np

from drivers.opcua.rows import Rows
from drivers.quality import Quality

DAY_US = 86_400_000_000
OLDEST_US = 1_230_768_000_000_000
"""2009, when OPC UA came out: an older stamp tells of a clock that was never set."""


class Stamps:
    """Marks values whose stamps cannot be.

    A stamp may be old without being wrong: many servers stamp a value when it changes, and a set point
    may stay as it is for weeks. So an old one is wrong only where it came with a new value; one in the
    future, or from before OPC UA existed, always is.
    """

    def __init__(self, points: int) -> None:
        self._last = np.full(points, np.iinfo(np.int64).max)
        self._value = np.full(points, np.nan)

    def judge(self, rows: Rows, time: int) -> None:
        """Mark rows that arrived at ``time`` (UTC microseconds): good ones become Quality.CLOCK."""
        stamp, point = rows.source_time, rows.point
        suspect = (stamp > time + DAY_US) | (stamp < time - DAY_US) & (stamp != 0)
        if suspect.any():
            self._mark(rows, suspect, time)
        self._last[point], self._value[point] = time, rows.value

    def _mark(self, rows: Rows, suspect: np.ndarray[tuple[int], np.dtype[np.bool_]], time: int) -> None:
        stamp, point = rows.source_time, rows.point
        known = ~np.isnan(self._value[point])
        changed = known & (rows.value != self._value[point])
        # Between the last look and this one the value changed: that is when it can have been stamped.
        wrong = (stamp > time + DAY_US) | (stamp < OLDEST_US) | (changed & (stamp < self._last[point] - DAY_US))
        rows.quality[suspect & wrong & (rows.quality == Quality.GOOD)] = Quality.CLOCK
