"""Time: a UTC clock that knows who vouches for it, and a clock for durations that nobody sets.

Stamps come from the boot-time clock plus an offset. While nobody vouches for it, the offset is that of the system
clock at start, and what it stamped can be moved: a correction starts a new *epoch*, and the samples of an epoch that
was not trusted are re-stamped. Within an epoch stamps grow: what NTP slews is made up for gently.

Who may teach this clock, within which bounds, and what may be done under which trust: docs/time.md.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

BUILD_US = 1_793_491_200_000_000
"""2026-11-01, moved on with each release: before this program was made it cannot be."""
LATEST_US = BUILD_US + 30 * 366 * 86_400_000_000
"""No gateway of today lives to see it, and every calendar can still reckon with it."""
STEP_US = 1_000_000
"""A system clock that moved further than this against the boot-time clock was stepped."""
DATE_TOLERANCE_US = 5_000_000
"""``Date`` counts whole seconds and travels for a while; nearer than this is agreement."""
FAR_US = 86_400_000_000
"""A platform that moves the clock further ahead than this must be heard twice."""
CONFIRM_US = 60_000_000
"""So long after the first answer, at least, comes the one that confirms it."""
DRIFT_PART = 10_000
"""A clock that nobody disciplines loses or gains no more than one part in so many."""
SLEW_PART = 100
"""Small differences are made up for at one part in so many."""
_TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class Correction:
    """The clock was corrected: stamps of ``epoch`` (and of ``epoch`` only) were wrong by ``-shift_us``."""

    epoch: int
    shift_us: int
    source: str
    restamp: bool
    """Whether the samples of the epoch shall be re-stamped: it was not trusted, and now it is known."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A platform's word that is not believed yet: UTC minus boot time, and when it was heard first."""

    base_us: int
    heard_us: int


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


def boottime_us() -> int:
    """Microseconds since this machine was started, those in which it slept too; nobody sets this clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


@cache
def boot_id() -> str:
    """Which start of the machine :func:`boottime_us` counts from; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


class Clock:
    """The agent's only source of time. Cheap: ``now`` is two additions.

    ``high_water_us``: the newest time that was vouched for in an earlier life; only NTP may say that it is earlier.
    ``built_us``: nobody may say that it is before that.
    """

    def __init__(
        self,
        *,
        system_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic_us: Callable[[], int] = boottime_us,
        synchronised: Callable[[], bool] = ntp_synchronised,
        epoch: int = 0,
        high_water_us: int = 0,
        built_us: int = BUILD_US,
    ) -> None:
        self._system_us = system_us
        self._monotonic_us = monotonic_us
        self._synchronised = synchronised
        self._built_us = built_us
        self.not_before_us = min(max(built_us, high_water_us), LATEST_US)
        """A time that is past, and that a platform cannot go back behind (UTC microseconds)."""
        self._slewed_from_us = self._agreed_us = self._epoch_from_us = monotonic_us()
        self._slew_us = 0
        """Still to be made up for when :attr:`_slewed_from_us` was."""
        self._base_us = self._seen_base_us = system_us() - self._slewed_from_us
        self._claim: _Claim | None = None
        self._corrections: list[Correction] = []
        self.epoch = epoch
        """Number of the running epoch; stored with every block."""
        self._disciplined = self._vouched_by_kernel()
        self.source = "ntp" if self._disciplined else "none"
        """Who vouches for it: ``ntp``, ``platform`` or ``none``."""

    @property
    def trusted(self) -> bool:
        """Whether stamps may be believed."""
        return self.source != "none"

    @property
    def offset_us(self) -> int:
        """System clock minus this clock, in microseconds."""
        return self._system_us() - self.now()

    @property
    def base_us(self) -> int:
        """This clock minus boot time, in microseconds."""
        mono = self._monotonic_us()
        return self._base_us + self._slewed(mono)

    @property
    def epoch_age_s(self) -> float:
        """Seconds for which the running epoch has stamped."""
        return (self._monotonic_us() - self._epoch_from_us) / 1e6

    def now(self) -> int:
        """UTC microseconds."""
        mono = self._monotonic_us()
        return mono + self._base_us + (self._slewed(mono) if self._slew_us else 0)

    def monotonic(self) -> float:
        """Seconds of a clock that is never set, and goes on in a suspended machine; for pacing and durations."""
        return self._monotonic_us() / 1e6

    def platform_date(self, utc_us: int) -> bool:
        """Take note of the ``Date`` of an answer of ``[platform]``; it counts only while NTP does not.

        Returns whether it is to be confirmed: by an answer on another connection, a minute later.
        """
        if self._disciplined or not self.not_before_us <= utc_us <= LATEST_US:
            return False
        shift, mono = utc_us - self.now(), self._monotonic_us()
        if self.trusted:
            self._follow_drift(shift, mono)
        elif shift > FAR_US:
            return self._claimed(utc_us - mono, mono)
        elif abs(shift) > DATE_TOLERANCE_US:
            self._correct(shift, "platform")
        else:
            self.source, self._agreed_us, self._claim = "platform", mono, None
        return False

    def _follow_drift(self, shift_us: int, mono: int) -> None:
        # Trusted: no word steps it any more. But without NTP a crystal drifts, for years.
        drifted = (mono - self._agreed_us) // DRIFT_PART
        if abs(shift_us) <= DATE_TOLERANCE_US:
            self._agreed_us = mono
        elif abs(shift_us) <= DATE_TOLERANCE_US + drifted:
            self._slew(max(-drifted, min(shift_us, drifted)), mono)
            self._agreed_us = mono

    def _claimed(self, base_us: int, mono: int) -> bool:
        """A word that would move much: believed when it is said again later, and nothing else was said meanwhile."""
        claim = self._claim
        if claim is None or abs(base_us - claim.base_us) > DATE_TOLERANCE_US + (mono - claim.heard_us) // DRIFT_PART:
            self._claim = _Claim(base_us, mono)
        elif mono - claim.heard_us >= CONFIRM_US:
            self._correct(base_us + mono - self.now(), "platform")
            return False
        return True

    def check(self) -> None:
        """Look for a step of the system clock and for synchronisation gained or lost; call it often."""
        mono = self._monotonic_us()
        base = self._system_us() - mono
        stepped = abs(base - self._seen_base_us) > STEP_US
        self._seen_base_us = base
        shift = base - self._base_us - self._slewed(mono)
        self._disciplined = self._vouched_by_kernel()
        if self._disciplined:
            if abs(shift) > STEP_US:
                self._correct(shift, "ntp")
            else:
                self.source = "ntp"
                self._slew(shift, mono)
        elif self.source == "none" and stepped and self.not_before_us <= base + mono <= LATEST_US:
            # Somebody set the clock by hand. Nobody vouches for either; the newer word counts.
            self._correct(shift, "none")

    def corrections(self) -> list[Correction]:
        """Corrections since the last call, oldest first."""
        taken, self._corrections = self._corrections, []
        return taken

    def _vouched_by_kernel(self) -> bool:
        # A time server can be wrong, too. Not before the program was made, and not beyond any calendar.
        return self._synchronised() and self._built_us <= self._system_us() <= LATEST_US

    def _slewed(self, mono: int) -> int:
        done = (mono - self._slewed_from_us) // SLEW_PART
        return min(done, self._slew_us) if self._slew_us > 0 else -min(done, -self._slew_us)

    def _slew(self, shift_us: int, mono: int) -> None:
        """Make up for a difference from now on, instead of what is still to be made up for."""
        self._base_us += self._slewed(mono)
        self._slewed_from_us, self._slew_us = mono, shift_us

    def _correct(self, shift_us: int, source: str) -> None:
        restamp = not self.trusted and source != "none"
        self._corrections.append(Correction(self.epoch, shift_us, source, restamp))
        log.warning("clock corrected by %.1f s (%s)", shift_us / 1e6, source)
        mono = self._monotonic_us()
        self._slew(0, mono)
        self._base_us += shift_us
        self._agreed_us = self._epoch_from_us = mono
        self._claim = None
        self.source = source
        self.epoch += 1
