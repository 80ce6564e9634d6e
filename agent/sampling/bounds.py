"""How long each call of a driver may take: a driver keeps its own, shorter bounds, and these hold where it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from drivers.contract import PointGroup

ALWAYS_S = 20.0
"""What every call is given, whatever the device."""
OPEN_S = 60.0
"""A handshake, and looking up every address."""
TIMEOUTS = 10
"""Answers in a row that may be missing before the driver gives the whole read up."""
PER_POINT_S = 0.05
"""The slowest sensible line: one request a point, at 9,600 baud."""
LONGEST_INTERVAL_S = 300.0
LONGEST_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one device, in seconds; ``timeout_s`` is what it is configured to be given for one answer."""

    timeout_s: float = 1.0

    @classmethod
    def of(cls, options: Any) -> Bounds:
        """From a device's options, whatever driver they are of."""
        given = getattr(options, "timeout_s", getattr(options, "timeout", None))
        if not isinstance(given, int | float) or not math.isfinite(given) or given <= 0:
            return cls()
        return cls(min(float(given), LONGEST_TIMEOUT_S))

    def open(self, points: int) -> float:
        """For connecting to a device with so many points."""
        return OPEN_S + self._answers + points * PER_POINT_S

    def read(self, group: PointGroup) -> float:
        """For one read. A driver that is told of changes waits for news, which come at the pace of the interval."""
        waits = 3 * min(group.interval, LONGEST_INTERVAL_S)
        return ALWAYS_S + max(waits, self._answers) + len(group.points) * PER_POINT_S

    @property
    def close(self) -> float:
        """For letting go."""
        return ALWAYS_S / 2 + self.timeout_s

    @property
    def _answers(self) -> float:
        return TIMEOUTS * self.timeout_s


def stale_after(interval: float) -> float:
    """Seconds after which a value that is read in this interval is not what the machine shows now."""
    return 3 * interval + ALWAYS_S / 2
