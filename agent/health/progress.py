"""The watchdog is fed by work done, not by a timer: only while scans and commits both go on.

What counts is the *end of an attempt*, whether or not it succeeded. A plant that is switched off, a
cable that is cut and a disk that is full are conditions that a restart does not mend: attempts go on
ending, the agent says what is wrong, and systemd leaves it alone. A scan that never returns, a writer
that hangs in the kernel or an event loop that is blocked are what a restart does mend: attempts stop
ending, and the feed stops.

Every other component is watched by its supervision, which starts one that hangs anew and shows it; no fault of
one component that others can do without ends the process. Only a component that hangs although supervision
should have started it anew long ago tells of a process that is stuck as a whole, and stops the feed, too.

The limits follow from the slowest rhythm that is normal. A device whose error needs a person is tried
every five minutes, so scans are given longer than that; a device read once an hour is given three
hours. A commit ends every flush; an SD card that collects its garbage may take tens of seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping

from agent.core.faults import HUNG
from agent.core.supervision import ComponentSnapshot
from agent.health.notify import Notifier

log = logging.getLogger(__name__)

SLOWEST_RETRY_S = 300.0
"""The supervisor's longest pause between two attempts at a device (its PERMANENT_CAP)."""
PATIENCE_S = 120.0
"""How long one attempt, at a device or at the disk, may take on top of its rhythm."""
UNSUPERVISED_PERIOD_S = 30.0
"""How often progress is looked at where no watchdog asks for it."""


class Progress:
    """When a scan attempt and a commit attempt last ended."""

    def __init__(
        self,
        has_devices: bool,
        shortest_interval_s: float = 1.0,
        *,
        flush_s: float = 5.0,
        monotonic: Callable[[], float] = time.monotonic,
        components: Callable[[], Iterable[ComponentSnapshot]] = tuple,
    ) -> None:
        """``shortest_interval_s``: of all points; the rhythm in which scans of the gateway must end."""
        self.expect_scans(has_devices, shortest_interval_s)
        self._commit_limit = PATIENCE_S + 3 * flush_s
        self._components = components
        self._monotonic = monotonic
        self._scan = self._commit = monotonic()

    def expect_scans(self, has_devices: bool, shortest_interval_s: float) -> None:
        """What to expect of the devices from now on. Without any there is nothing to scan: progress enough."""
        self.has_devices = has_devices
        self._scan_limit = SLOWEST_RETRY_S + PATIENCE_S + 3 * shortest_interval_s

    def mark_scan(self) -> None:
        """A scan, or an attempt to connect, has ended, well or badly."""
        self._scan = self._monotonic()

    def mark_commit(self) -> None:
        """A flush has ended, whether or not the disk took the data."""
        self._commit = self._monotonic()

    def stalled(self) -> str:
        """What does not go on, for how long; empty while everything does."""
        now = self._monotonic()
        if self.has_devices and now - self._scan > self._scan_limit:
            return f"no scan attempt has ended for {now - self._scan:.0f} s"
        if now - self._commit > self._commit_limit:
            return f"no write to disk has ended for {now - self._commit:.0f} s"
        stuck = next((each for each in self._components() if each.overdue), None)
        if stuck is not None:
            return f"{stuck.name} has made no step for {stuck.quiet_s:.0f} s and cannot be started anew"
        return ""

    def hanging(self) -> str:
        """The components that are started anew because they hang; empty when none is."""
        return ", ".join(each.name for each in self._components() if each.code == HUNG)


class Watchdog:
    """Feeds systemd's watchdog while there is progress; says once when there is none."""

    def __init__(
        self,
        notifier: Notifier,
        progress: Progress,
        period_s: float | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """``period_s``: seconds between looks; default half of what systemd asks for."""
        asked = _asked_period(environment)
        self._feeds = asked is not None or period_s is not None
        self.period_s = period_s or asked or UNSUPERVISED_PERIOD_S
        self._notifier = notifier
        self._progress = progress
        self._stalled = False
        self._hanging = ""

    async def run(self) -> None:
        """Look and feed until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self.period_s)

    def look(self) -> None:
        """Feed, or say why not."""
        stalled = self._progress.stalled()
        if stalled:
            if not self._stalled:
                log.error("%s; %s", stalled, "the watchdog will restart the agent" if self._feeds else "restart it")
            self._stalled = True
            self._notifier.status(stalled)
            return
        if self._stalled:
            log.info("scans and writes go on again")
            self._notifier.status("goes on again")
        self._stalled = False
        hanging = self._progress.hanging()
        if hanging != self._hanging:
            self._notifier.status(f"hangs, and is started anew: {hanging}" if hanging else "goes on again")
        self._hanging = hanging
        if self._feeds:
            self._notifier.watchdog()


def _asked_period(environment: Mapping[str, str]) -> float | None:
    """Half of ``$WATCHDOG_USEC`` in seconds, when it is meant for this process."""
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2e6
