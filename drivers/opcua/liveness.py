"""Whether a subscription lives: by what it tells, not by the state of its connection. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.opcua.columns import Columns

AUDIT_S = 10.0
"""Between two looks at items that have been quiet."""
AUDITED = 200
"""Items that are looked at in one audit."""


class Heartbeat:
    """The server's clock as a monitored item: while it moves, the server samples, notifies and sends."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        """Its client handle; no other item's."""
        self._value = np.nan
        self._moved_at = 0.0
        self._moves = 0

    def see(self, columns: Columns, now: float) -> None:
        """Take note of values that came at ``now``, by the loop's clock."""
        found = columns.value[columns.handle == self.handle]
        if len(found) and found[-1] != self._value:
            self._value, self._moved_at = float(found[-1]), now
            self._moves += 1

    def stopped(self, now: float, patience_s: float) -> bool:
        """Whether it stands still, having moved before: there are servers whose clock is no node that moves."""
        return self._moves > 2 and now - self._moved_at > patience_s


class Audit:
    """Items that have told nothing for a while are read now and then, and compared with what they told.

    A value that differs, and still does when there was time enough to notify it, tells of an item that
    is dead.
    """

    def __init__(self, items: int, deadband: NDArray[np.float64], patience_s: NDArray[np.float64]) -> None:
        """By client handle: what need not be notified, and how long a notification may take."""
        self._deadband, self.patience_s = deadband, patience_s
        self._value = np.full(items, np.nan)
        self._heard = np.zeros(items)
        self._looked = np.zeros(items)
        self._doubt = np.zeros(items)
        """Since when an item is in doubt; 0: it is not."""
        self._due = 0.0
        self.awaited = np.zeros(items, np.bool_)
        """Items that are monitored and have told nothing at all."""

    def hear(self, columns: Columns, now: float) -> None:
        """Take note of notifications; their handles must be items."""
        handle = columns.handle
        self._value[handle], self._heard[handle] = columns.value, now
        self._doubt[handle] = 0.0
        self.awaited[handle] = False

    def begin(self, now: float) -> None:
        """The first audit is due some time after ``now``."""
        self._due = now + AUDIT_S

    def due(self, now: float) -> bool:
        """Whether it is time to look."""
        return now >= self._due

    def choose(self, monitored: NDArray[np.bool_], now: float) -> list[int]:
        """The items to read now: those that never told anything, those in doubt, and the longest quiet."""
        self._due = now + AUDIT_S
        since = np.maximum(self._heard, self._looked)
        since[self.awaited | (self._doubt > 0)] = -1.0
        since[~monitored | (since > now - AUDIT_S)] = np.inf
        most = min(AUDITED, len(since))
        chosen = np.argpartition(since, most - 1)[:most] if most else np.zeros(0, np.intp)
        chosen = chosen[np.isfinite(since[chosen])]
        self._looked[chosen] = now
        return sorted(chosen.tolist())

    def compare(self, columns: Columns, now: float) -> list[int]:
        """Look at what was read: the handles of items that are dead."""
        handle, found = columns.handle, columns.value
        with np.errstate(invalid="ignore"):
            differs = np.abs(found - self._value[handle]) > self._deadband[handle]
        doubt = self._doubt[handle]
        dead = differs & (doubt > 0) & (now - doubt > self.patience_s[handle])
        self._doubt[handle] = np.where(differs, np.where(doubt > 0, doubt, now), 0.0)
        return [int(each) for each in handle[dead]]
