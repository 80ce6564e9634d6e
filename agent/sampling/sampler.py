"""The sampling of one device: open, scan every group on its pace, hand on what changed, close.

What flows in: a driver and its groups. What flows out: samples and scans, to a :class:`Sink`. When
the driver fails as a whole, :meth:`Sampler.run` records why each point is bad and raises; the
supervisor decides when to come back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.buffer.records import Loss
from agent.clock import STEP_US, Clock
from agent.core.bounded import TookTooLong, rest, within
from agent.sampling.bounds import Bounds, stale_after
from agent.sampling.filter import ChangeFilter, select
from agent.sampling.pacing import Pace
from agent.sampling.sound import sound
from drivers.contract import Driver, DriverError, Point, PointGroup, Samples
from drivers.quality import Quality

log = logging.getLogger(__name__)

BAD = int(Quality.BAD)
IDLE_S = 3600.0
T = TypeVar("T")


class Sink(Protocol):
    """Where samples go: the buffer's recorder."""

    def add_samples(self, series: NDArray[np.int32], samples: Samples) -> None: ...
    def add_scan(self, group_id: int, time_us: int, late: int) -> None: ...
    def add_loss(self, loss: Loss) -> None: ...


@dataclass(slots=True)
class Latest:
    """The last value of every point of a device, by point index; what the status and the console show."""

    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    seen: NDArray[np.float64]
    """When each was told or confirmed last, in seconds of the monotonic clock."""
    text: dict[int, str] = field(default_factory=dict)

    @classmethod
    def nothing(cls, count: int) -> Latest:
        """Nothing read yet: time 0 and bad."""
        return cls(np.zeros(count, np.int64), np.full(count, np.nan), np.full(count, BAD, np.uint8), np.zeros(count))

    def update(self, samples: Samples, monotonic: float) -> None:
        """Take over a block that came at ``monotonic``; of several rows of a point, numpy leaves the last."""
        index = samples.index
        self.time[index] = samples.time
        self.value[index] = samples.value
        self.quality[index] = samples.quality
        self.seen[index] = monotonic
        for row, text in samples.text.items():
            self.text[int(index[row])] = text


@dataclass(slots=True)
class Tally:
    """What a device's sampling has done since start; ``latency_s`` is the last scan's duration."""

    scans: int = 0
    late: int = 0
    first_good_us: int = 0
    last_good_us: int = 0
    latency_s: float = 0.0
    faults: tuple[str, ...] = ()
    """What is wrong with some of the points, one line each, as of each group's last scan."""


def group_points(points: Sequence[Point]) -> list[PointGroup]:
    """Points of the same interval are read together; shortest interval first."""
    by_interval: dict[float, list[Point]] = {}
    for point in points:
        by_interval.setdefault(point.interval, []).append(point)
    return [PointGroup(tuple(by_interval[interval]), interval) for interval in sorted(by_interval)]


@dataclass(slots=True)
class _Run:
    """One group on its way."""

    group: PointGroup
    group_id: int
    pace: Pace
    bound_s: float
    """Of one read."""
    full_slot: int = -1
    faults: tuple[DriverError, ...] = ()


class Sampler:
    """Scans one device for as long as its configuration lives; ``run`` may be called again and again."""

    def __init__(
        self,
        driver: Driver,
        groups: Sequence[tuple[PointGroup, int]],
        series: NDArray[np.int32],
        sink: Sink,
        clock: Clock,
        *,
        full_every_us: int,
        device: str = "",
        names: Sequence[str] = (),
        on_scan: Callable[[], None] = lambda: None,
        bounds: Bounds = Bounds(),  # noqa: B008 - it never changes
        on_good: Callable[[], None] = lambda: None,
        on_faults: Callable[[Sequence[DriverError]], None] = lambda faults: None,
    ) -> None:
        """``groups``: (group, scan group id). ``series``: int32, series id by point index.

        ``full_every_us``: each group is recorded in full at its first and at its last scan in every such span of
        UTC, so that whoever reads the buffer needs nothing older, and knows what held when the span began.
        ``device``, and the series' ``names`` by
        point index, name what the device dropped. ``on_scan`` is called after each scan
        attempt, ``on_good`` after the first good sample since the device was opened, ``on_faults``
        when the set of partial faults changes.
        """
        self._driver = driver
        self._groups = groups
        self._points = [point for group, _ in groups for point in group.points]
        self._series = series
        self._sink = sink
        self._clock = clock
        self.full_every_us = full_every_us
        self._device = device
        self._names = names
        self._on_scan = on_scan
        self._bounds = bounds
        self._on_good = on_good
        self._on_faults = on_faults
        in_order = sorted(self._points, key=lambda point: point.index)
        self._filter = ChangeFilter(in_order)
        self.latest = Latest.nothing(len(self._points))
        self.tally = Tally()
        self._good_since_open = False
        self._stale_after = np.array([stale_after(point.interval) for point in in_order])
        self.is_lost = False
        """Whether a call of the driver goes on although it was cancelled: the driver is not to be used again."""

    def renew(self, driver: Driver) -> None:
        """Go on with another driver of the same device."""
        self._driver, self.is_lost = driver, False

    def stale(self) -> NDArray[np.bool_]:
        """By point index: whether its last value is not known to hold any more."""
        return self._clock.monotonic() - self.latest.seen > self._stale_after

    async def run(self) -> None:
        """Open and scan until cancelled; raises the :class:`DriverError` that ended it."""
        self._good_since_open = False
        try:
            await self._bounded("open", self._driver.open(), self._bounds.open(len(self._points)))
            await self._scan_for_ever()
        except DriverError as error:
            self.record_bad(error.quality)
            raise
        finally:
            self._on_scan()
            if not self.is_lost:
                await self._close()

    async def _bounded(self, call: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        try:
            return await within(seconds, work, on_left=self._lose)
        except TookTooLong as error:
            raise DriverError(
                f"{call} hangs: no end within {seconds:.0f} s",
                quality=Quality.TIMEOUT,
                remedy="it is connected anew by itself; if it lasts, restart the device, and tell the driver's author",
            ) from error

    async def _close(self) -> None:
        # Nothing is raised for a close that hangs: it would hide what ended the run, or that it was cancelled.
        try:
            await within(self._bounds.close, self._driver.close(), on_left=self._lose)
        except TookTooLong as error:
            log.warning("device %s: close hangs, it %s", self._device, error)

    def _lose(self) -> None:
        self.is_lost = True

    def record_bad(self, quality: Quality) -> None:
        """Record every point as bad: nothing is known of the device from now on."""
        self._keep(Samples.bad(self._points, self._clock.now(), quality), full=False)

    async def _scan_for_ever(self) -> None:
        # One scan at a time on a device: the group that is due first goes first, so a slow group
        # delays the others by one scan at most and requests never overlap on the connection.
        now = self._clock.monotonic()
        runs = [
            _Run(group, group_id, Pace(group.interval, now), self._bounds.read(group))
            for group, group_id in self._groups
        ]
        while runs:
            run = min(runs, key=lambda each: each.pace.due)
            wait = run.pace.due - self._clock.monotonic()
            # Yield even when late: one device that cannot keep up must not starve the loop.
            await rest(max(wait, 0))
            await self._scan(run, runs)
        while True:  # a device without points stays open, and idle
            await rest(IDLE_S)

    async def _scan(self, run: _Run, runs: Sequence[_Run]) -> None:
        started, began, base_us = self._clock.now(), self._clock.monotonic(), self._clock.base_us
        samples = sound(await self._bounded("read", self._driver.read(run.group), run.bound_s), len(self._points))
        ended = self._clock.monotonic()
        if abs(shift_us := self._clock.base_us - base_us) >= STEP_US:
            # The clock was corrected meanwhile: what it stamped before is of an epoch that is over.
            samples, started = _moved(samples, started, shift_us), started + shift_us
        # By the rows' own stamps: what a subscription brings may be from before the scan.
        slot = int(samples.time.min()) // self.full_every_us
        late = run.pace.advance(ended)
        following = started + round((run.pace.due - began) * 1e6)
        last = following // self.full_every_us != started // self.full_every_us
        self._keep(samples, full=last or slot != run.full_slot)
        run.full_slot = slot
        if samples.lost:
            self._note_lost(samples)
        self._sink.add_scan(run.group_id, started, late)
        self.tally.scans += 1
        self.tally.late += late
        self.tally.latency_s = ended - began
        if (samples.quality < BAD).any():
            self.tally.last_good_us = int(samples.time.max())
            self.tally.first_good_us = self.tally.first_good_us or self.tally.last_good_us
            if not self._good_since_open:
                self._good_since_open = True
                self._on_good()
        self._note_faults(run, samples.faults, runs)
        self._on_scan()

    def _keep(self, samples: Samples, *, full: bool) -> None:
        self.latest.update(samples, self._clock.monotonic())
        mask = self._filter.keep(samples, full=full)
        if mask.any():
            kept = select(samples, mask)
            self._sink.add_samples(self._series[kept.index], kept)

    def _note_lost(self, samples: Samples) -> None:
        start, end, epoch = int(samples.time.min()), int(samples.time.max()), self._clock.epoch
        for index, count in samples.lost.items():
            series = self._names[index] if index < len(self._names) else ""
            self._sink.add_loss(Loss(start, end, "overflow", self._device, series, count, epoch))

    def _note_faults(self, run: _Run, faults: tuple[DriverError, ...], runs: Sequence[_Run]) -> None:
        if [str(fault) for fault in faults] == [str(fault) for fault in run.faults]:
            return
        run.faults = faults
        every = [fault for each in runs for fault in each.faults]
        self.tally.faults = tuple(str(fault) for fault in every)
        self._on_faults(every)


def _moved(samples: Samples, started_us: int, shift_us: int) -> Samples:
    """Samples of a scan during which the clock was corrected, those stamped before it stamped anew."""
    before = np.abs(samples.time - started_us) < np.abs(samples.time - started_us - shift_us)
    return replace(samples, time=np.where(before, samples.time + shift_us, samples.time))
