"""Exponential backoff with full jitter: the one place that decides how long to wait before a retry."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits drawn evenly from 0 to ``first_s × 2**attempts``, at most ``cap_s`` seconds.

    Full jitter spreads the gateways of a park that lost their platform at the same moment. A tenth
    of the bound is always waited, so that a run of small draws is no hammering.
    """

    def __init__(self, first_s: float = 1.0, cap_s: float = 60.0, rng: Callable[[], float] = random.random) -> None:
        self.first_s = first_s
        self.cap_s = cap_s
        self.attempts = 0
        """Failures since the last success."""
        self._rng = rng

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        bound = min(self.cap_s, self.first_s * 2.0 ** min(self.attempts, 30))
        self.attempts += 1
        return bound * (0.1 + 0.9 * self._rng())

    def reset(self) -> None:
        """Note a success."""
        self.attempts = 0
