"""Desired against running devices: the only place that starts, stops and restarts one.

Each device is one component under :mod:`agent.core.supervision`. A driver that fails is closed and, after a
backoff with full jitter, opened again; whatever else escapes from it goes to the supervision, so a bug
in one driver costs one device and never the agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.backoff import Backoff
from agent.clock import Clock
from agent.config.model import Device
from agent.core.bounded import rest
from agent.core.faults import in_a_line, remedy_of
from agent.core.supervision import Supervision
from agent.driving import create_driver
from agent.sampling.bounds import Bounds
from agent.sampling.sampler import BAD, Latest, Sampler, Sink, group_points
from drivers.contract import DriverError, FailureKind
from drivers.quality import Quality

log = logging.getLogger(__name__)

TRANSIENT_CAP = 5.0
"""Seconds: a device that comes back shall be read again within ten, an attempt that just fails included."""
PERMANENT_CAP = 300.0
SAY_AGAIN = 3600.0
"""Seconds before the same fault of some points is said again."""
MOST_SAID = 1000
STAGGER = 0.005
"""Seconds between the starts of devices, at most: a thousand connections at once would be a burst."""

Report = Callable[[str, str, dict[str, Any]], None]
"""(kind, device, detail): an event worth keeping."""


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """A device as it is now."""

    name: str
    state: str
    """``starting``, ``running``, ``degraded``, ``down`` or ``off``."""
    good: int
    bad: int
    reconnects: int
    last_good_us: int
    latency_s: float
    late: int
    scans: int
    first_good_us: int
    last_error: str
    remedy: str
    faults: tuple[str, ...]
    observations: dict[str, Any]

    @classmethod
    def switched_off(cls, name: str) -> DeviceSnapshot:
        """A device with ``enabled = false``."""
        return cls(name, "off", 0, 0, 0, 0, 0.0, 0, 0, 0, "", "", (), {})


class DeviceRunner:
    """One device: its driver, its sampler, and the retry around them."""

    def __init__(
        self,
        device: Device,
        series: NDArray[np.int32],
        group_ids: Callable[[float], int],
        sink: Sink,
        clock: Clock,
        *,
        data_dir: Path,
        shared: MutableMapping[Hashable, Any],
        full_every_us: int,
        on_scan: Callable[[], None],
        report: Report,
    ) -> None:
        """``series``: int32, series id by point index. ``group_ids``: interval in seconds → scan group."""
        self.device = device
        points = [tag.point for tag in device.tags]
        self._make_driver = partial(
            create_driver, device, data_dir, clock.now, shared, learn=True, clock_trusted=lambda: clock.trusted
        )
        self._driver = self._make_driver()
        groups = [(group, group_ids(group.interval)) for group in group_points(points)]
        self._sampler = Sampler(
            self._driver,
            groups,
            series,
            sink,
            clock,
            full_every_us=full_every_us,
            device=device.name,
            names=[tag.series for tag in device.tags],
            bounds=Bounds.of(device.options),
            on_scan=on_scan,
            on_good=self._note_recovery,
            on_faults=self._note_faults,
        )
        self._report = report
        self._backoff = Backoff(first_s=1.0, cap_s=TRANSIENT_CAP)
        self._state = "starting"
        self._error: DriverError | None = None
        self._reconnects = 0
        self._monotonic = clock.monotonic
        self._said: dict[str, float] = {}
        """Faults of some points and when each was said last."""
        self._quiet = True

    @property
    def latest(self) -> Latest:
        """Last value of every point."""
        return self._sampler.latest

    def stale(self) -> NDArray[np.bool_]:
        """By point index: whether its last value is not known to hold any more."""
        return self._sampler.stale()

    def record_in_full(self, every_us: int) -> None:
        """Record every point at least so often, see :class:`~agent.sampling.sampler.Sampler`."""
        self._sampler.full_every_us = every_us

    async def run(self) -> None:
        """Run until cancelled; raises what nobody foresaw, and may be called again then."""
        if self._state == "down":
            self._reconnects += 1
        while True:
            if self._sampler.is_lost:
                self._driver = await asyncio.to_thread(self._make_driver)
                self._sampler.renew(self._driver)
            try:
                await self._sampler.run()
            except DriverError as error:
                self._failed(error)
            except Exception as error:
                self._sampler.record_bad(Quality.BAD)
                what = f"driver {self.device.driver} failed: {in_a_line(error)}"
                self._failed(DriverError(what, quality=Quality.BAD, remedy=remedy_of(error)))
                raise
            await rest(self._backoff.next())
            self._reconnects += 1

    def _note_recovery(self) -> None:
        self._backoff.reset()
        self._state = "running"
        if self._error is not None:
            log.info("device %s: delivers again", self.device.name)
        self._error = None
        self._report("connect", self.device.name, {})

    def _failed(self, error: DriverError) -> None:
        was = self._error
        self._backoff.cap_s = PERMANENT_CAP if error.kind is FailureKind.PERMANENT else TRANSIENT_CAP
        # Once for each cause: a device that stays down must not fill the journal.
        if was is None or str(was) != str(error):
            log.warning("device %s: %s%s", self.device.name, error, f" → {error.remedy}" if error.remedy else "")
        self._error = error
        if self._state != "down":
            self._state = "down"
            self._report("disconnect", self.device.name, {"cause": error.quality.cause or "bad"})

    def _note_faults(self, faults: Sequence[DriverError]) -> None:
        # A point that is bad every other scan must not fill the journal: each fault is said once an hour.
        now = self._monotonic()
        new = [text for text in map(str, faults) if now - self._said.get(text, -SAY_AGAIN) >= SAY_AGAIN]
        self._said.update(dict.fromkeys(new, now))
        for text in new[:5]:
            log.warning("device %s: %s", self.device.name, text)
        if len(new) > 5:
            log.warning("device %s: and %d more faults", self.device.name, len(new) - 5)
        if new:
            self._quiet = False
        elif not faults and not self._quiet:
            log.info("device %s: all points good again", self.device.name)
            self._quiet = True
        if len(self._said) > MOST_SAID:
            self._said.clear()

    def snapshot(self) -> DeviceSnapshot:
        """The device as it is now."""
        quality, tally = self._sampler.latest.quality, self._sampler.tally
        was_good = quality < BAD
        stale = was_good & self._sampler.stale()
        good, old = int((was_good & ~stale).sum()), int(stale.sum())
        silent = self._state == "running" and old > 0
        state = "degraded" if self._state == "running" and good < len(quality) else self._state
        text, remedy = (str(self._error), self._error.remedy) if self._error else ("", "")
        if silent and not good:
            state, text, remedy = "down", "no scan has ended for a while", "it is connected anew by itself"
        faults = tally.faults + ((f"{old} values are stale: not read for several intervals",) if silent else ())
        return DeviceSnapshot(
            name=self.device.name,
            state=state,
            good=good,
            bad=len(quality) - good,
            reconnects=self._reconnects,
            last_good_us=tally.last_good_us,
            latency_s=tally.latency_s,
            late=tally.late,
            scans=tally.scans,
            first_good_us=tally.first_good_us,
            last_error=text,
            remedy=remedy,
            faults=faults,
            observations=self._observations(),
        )

    def _observations(self) -> dict[str, Any]:
        # Asked for by everything that shows the status, and code of a third party.
        try:
            found = dict(self._driver.observations())
            msgspec.json.encode(found)
        except Exception as error:  # noqa: BLE001 - the boundary of the driver
            return {"observations_failed": in_a_line(error)}
        return found


class Supervisor:
    """Runs the devices it was given, each a component of its own; some may be exchanged while the others run."""

    def __init__(self, supervision: Supervision, runners: Sequence[DeviceRunner], off: Sequence[str] = ()) -> None:
        """``off``: names of devices that are known and switched off."""
        self._supervision = supervision
        self.runners = {runner.device.name: runner for runner in runners}
        self.off = tuple(off)
        self._started: dict[str, DeviceRunner] | None = None
        """What runs, by name; None: nothing has been started."""
        self._exchanging = asyncio.Lock()

    def start(self) -> None:
        """Run every device until its supervision ends."""
        self._started = {}
        self._start_missing()

    async def exchange(self, runners: Sequence[DeviceRunner], off: Sequence[str] = ()) -> None:
        """From now on run exactly these: one that runs already goes on undisturbed, the others are stopped and started.

        What stops has ended, and let go of its connection, before anything starts.
        """
        async with self._exchanging:
            self.runners, self.off = {runner.device.name: runner for runner in runners}, tuple(off)
            if self._started is None:
                return  # start() starts them
            leaving = [name for name, runner in self._started.items() if self.runners.get(name) is not runner]
            for name in leaving:
                del self._started[name]
            await self._supervision.stop(map(_component, leaving))
            self._start_missing()

    def _start_missing(self) -> None:
        assert self._started is not None
        missing = [runner for name, runner in self.runners.items() if name not in self._started]
        stagger = STAGGER if len(missing) > 20 else 0.0
        for number, runner in enumerate(missing):
            name = runner.device.name
            self._started[name] = runner
            self._supervision.start(_component(name), runner.run, cap_s=TRANSIENT_CAP, delay_s=number * stagger)

    def snapshots(self) -> list[DeviceSnapshot]:
        """All devices, in the order of the configuration; those that are switched off last."""
        return [runner.snapshot() for runner in self.runners.values()] + [
            DeviceSnapshot.switched_off(n) for n in self.off
        ]


def _component(device: str) -> str:
    """The name of a device as a component."""
    return f"device {device}"
