"""Time: a UTC clock that knows whether it is trusted, and monotonic pacing.

Stamps come from the monotonic clock plus an offset, so they never jump back while the agent runs.
The offset is set from the system clock at start and corrected when the system clock becomes trusted
(NTP) or the platform's ``Date`` shows that it is wrong. A correction starts a new *epoch*; samples of
an epoch that was not trusted are re-stamped by its correction.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

log = logging.getLogger(__name__)

STEP_US = 1_000_000
"""A system clock that moved further than this against the monotonic one was stepped."""
DATE_TOLERANCE_US = 5_000_000
"""``Date`` counts whole seconds and travels for a while; nearer than this is agreement."""
_TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class Correction:
    """The clock was corrected: stamps of ``epoch`` (and of ``epoch`` only) were wrong by ``-shift_us``."""

    epoch: int
    shift_us: int
    source: str
    restamp: bool
    """Whether the samples of the epoch shall be re-stamped: it was not trusted, and now it is known."""


def ntp_synchronised() -> bool:
    """Whether the kernel says that its clock is disciplined (``adjtimex``); False where it cannot say."""

    class _Timex(ctypes.Structure):
        _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_byte * 512))

    try:
        state: int = _libc().adjtimex(ctypes.byref(_Timex()))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _TIME_ERROR


@cache
def _libc() -> ctypes.CDLL:
    # Finding it starts a process: once is enough.
    return ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)


class Clock:
    """The agent's only source of time. Cheap: ``now`` is one addition."""

    def __init__(
        self,
        *,
        system_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
        synchronised: Callable[[], bool] = ntp_synchronised,
        epoch: int = 0,
    ) -> None:
        self._system_us = system_us
        self._monotonic_us = monotonic_us
        self._synchronised = synchronised
        self._base_us = system_us() - monotonic_us()
        self._corrections: list[Correction] = []
        self.epoch = epoch
        """Number of the running epoch; stored with every block."""
        self.source = "ntp" if synchronised() else "none"

    @property
    def trusted(self) -> bool:
        """Whether stamps may be believed."""
        return self.source != "none"

    @property
    def offset_us(self) -> int:
        """System clock minus this clock, in microseconds."""
        return self._system_us() - self.now()

    def now(self) -> int:
        """UTC microseconds."""
        return self._monotonic_us() + self._base_us

    def monotonic(self) -> float:
        """Seconds of a clock that is never set; for pacing and durations."""
        return self._monotonic_us() / 1e6

    def platform_date(self, utc_us: int) -> None:
        """Take note of the platform's ``Date``: it confirms or corrects a clock that NTP does not keep."""
        if self.source == "ntp":
            return
        shift = utc_us - self.now()
        if abs(shift) <= DATE_TOLERANCE_US:
            self.source = "platform"
        else:
            self._correct(shift, "platform")

    def check(self) -> None:
        """Look for a step of the system clock and for synchronisation gained or lost; call it often."""
        synchronised = self._synchronised()
        shift = self._system_us() - self.now()
        if synchronised and abs(shift) > STEP_US:
            self._correct(shift, "ntp")
        elif synchronised:
            self.source = "ntp"
            self._base_us += shift  # NTP slews: follow it, a step is handled above
        elif self.source == "none" and abs(shift) > STEP_US:
            # Somebody set the clock by hand. Nobody vouches for either; the newer word counts.
            self._correct(shift, "none")

    def corrections(self) -> list[Correction]:
        """Corrections since the last call, oldest first."""
        taken, self._corrections = self._corrections, []
        return taken

    def _correct(self, shift_us: int, source: str) -> None:
        restamp = not self.trusted and source != "none"
        self._corrections.append(Correction(self.epoch, shift_us, source, restamp))
        log.warning("clock corrected by %.1f s (%s)", shift_us / 1e6, source)
        self._base_us += shift_us
        self.source = source
        self.epoch += 1
