"""The newest time that a trusted clock has shown: it is past, whatever a clock or a platform says after a restart."""

from __future__ import annotations

import logging
from typing import Protocol

from agent.clock import BUILD_US, FAR_US, LATEST_US

log = logging.getLogger(__name__)

MARK = "clock_high_water"
"""The setting by which the store keeps it."""
STEP_US = 600_000_000
"""It is written down in steps of ten minutes: each is a write to a card that wears out."""
SETTLED_S = 3600.0
"""A mark that would jump by more than a day, or fall, waits until the clock has said so for an hour of boot time."""


class MarkedClock(Protocol):
    """What is asked of :class:`agent.clock.Clock`."""

    source: str
    not_before_us: int

    @property
    def trusted(self) -> bool: ...
    @property
    def epoch_age_s(self) -> float: ...
    def now(self) -> int: ...
    def monotonic(self) -> float: ...


def read_mark(text: str | None) -> int:
    """The mark as it was kept (UTC microseconds); 0 where there is none, or an absurd one."""
    mark = int(text) if text and len(text) < 20 and text.isascii() and text.isdigit() else 0
    return mark if BUILD_US <= mark <= LATEST_US else 0


class HighWater:
    """One an agent. A clock that is not trusted never moves it; only NTP can lower it."""

    def __init__(self, clock: MarkedClock) -> None:
        self._clock = clock
        self._trusted_s: float | None = None
        """Since when the clock has been trusted without a correction."""

    def moved(self) -> int | None:
        """The mark, when it has to be kept anew; the clock has it already. Call it often."""
        clock = self._clock
        if not clock.trusted:
            self._trusted_s = None
            return None
        if self._trusted_s is None:
            self._trusted_s = clock.monotonic()
        settled = min(clock.monotonic() - self._trusted_s, clock.epoch_age_s) >= SETTLED_S
        ahead = clock.now() - clock.not_before_us
        if 0 <= ahead < STEP_US or (ahead > FAR_US and not settled):
            return None
        if ahead < 0 and not (settled and clock.source == "ntp"):
            return None
        if ahead < 0:
            log.warning("NTP says that it is earlier than was believed before; that counts")
        clock.not_before_us = max(BUILD_US, clock.now())
        return clock.not_before_us
