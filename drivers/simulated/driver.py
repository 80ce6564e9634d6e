"""The simulated device as the framework drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.contract import Context, DriverError, FailureKind, Point, PointGroup, Samples, is_invalid
from drivers.quality import Quality
from drivers.simulated.options import Options, seconds
from drivers.simulated.signals import NUMERIC, Floats, Signal, parse, state

_INTEGERS = frozenset("int8 uint8 int16 uint16 int32 uint32 int64 uint64".split())  # noqa: SIM905


class _Compiled:
    """A group made ready: points of one kind are computed in one step; ``read`` loops over kinds only."""

    def __init__(self, group: PointGroup, dropped: frozenset[str]) -> None:
        points = group.points
        signals = [parse(point.address) for point in points]
        self.index = np.array([point.index for point in points], np.int32)
        self.quality = np.zeros(len(points), np.uint8)
        self.text: dict[int, str] = {}
        self.faults: tuple[DriverError, ...] = ()
        self._element = np.array([point.element for point in points], np.int64)
        self._scale = np.array([point.scale for point in points])
        self._offset = np.array([point.offset for point in points])
        self._invalid = [(row, point.invalid) for row, point in enumerate(points) if point.invalid]
        self._whole = _rows(point.type in _INTEGERS for point in points)
        self._truth = _rows(point.type == "bool" for point in points)
        self._states = [(row, signal) for row, signal in enumerate(signals) if signal.kind == "state"]
        self._kinds = [
            (NUMERIC[kind].function, rows, _arguments(signals, points, rows))
            for kind in NUMERIC
            if len(rows := _rows(signal.kind == kind for signal in signals))
        ]
        for row, (point, signal) in enumerate(zip(points, signals, strict=True)):
            if point.name in dropped:
                self._drop(row, point)
            elif signal.kind == "text":
                self.text[row] = signal.text
            elif signal.kind == "bad":
                self.quality[row] = int(signal.arguments[0])

    def _drop(self, row: int, point: Point) -> None:
        self.quality[row] = Quality.ADDRESS
        fault = DriverError(
            f"{point.name}: the device has nothing at {point.address}",
            kind=FailureKind.PARTIAL,
            quality=Quality.ADDRESS,
            remedy="remove the name from the option drop",
            points=(point.index,),
        )
        self.faults = (*self.faults, fault)

    def samples(self, now: int) -> Samples:
        """Every point as it is at ``now`` (UTC microseconds)."""
        us = now + self._element * 1_000_000
        second = us / 1e6
        raw = np.full(len(self.index), np.nan)
        for function, rows, arguments in self._kinds:
            raw[rows] = function(arguments, us[rows], second[rows])
        for row, signal in self._states:
            raw[row] = state(signal, float(second[row]))
        raw[self._whole] = np.floor(raw[self._whole])
        raw[self._truth] = raw[self._truth] != 0
        quality = self.quality.copy()
        for row, invalid in self._invalid:
            if quality[row] < Quality.BAD and row not in self.text and is_invalid(raw[row], invalid):
                quality[row] = Quality.INVALID
        value = raw * self._scale + self._offset
        value[quality >= Quality.BAD] = np.nan
        return Samples(
            index=self.index.copy(),
            time=np.full(len(self.index), now, np.int64),
            value=value,
            quality=quality,
            text=self.text,
            faults=self.faults,
        )


def _rows(mask: Any) -> NDArray[np.intp]:
    return np.flatnonzero(np.fromiter(mask, np.bool_))


def _arguments(signals: list[Signal], points: tuple[Point, ...], rows: NDArray[np.intp]) -> Floats:
    # The point's index comes last: the seed that tells one noise from another.
    return np.array([(*signals[row].arguments, points[row].index) for row in rows], np.float64)


class SimulatedDriver:
    """A device that is computed; it fails as its options say."""

    def __init__(self, options: Options, context: Context) -> None:
        self._options = options
        self._context = context
        self._latency, self._timeout = seconds(options.latency), seconds(options.timeout)
        self._outage_us = round(seconds(options.outage_every) * 1e6), round(seconds(options.outage_for) * 1e6)
        self._compiled: dict[PointGroup, _Compiled] = {}
        self._opens = self._reads = 0
        self._open = False

    async def open(self) -> None:
        """Connect; fails as asked."""
        self._opens += 1
        await self._answer()
        if self._opens <= self._options.fail_open:
            raise self._failure(f"simulated failure of attempt {self._opens} to connect", "fail_open")
        self._open = True

    async def read(self, group: PointGroup) -> Samples:
        """Compute the group's values as of the answer's arrival."""
        if not self._open:
            raise DriverError(f"{self._context.device}: not connected")
        self._reads += 1
        await self._answer()
        every = self._options.fail_every
        if every and self._reads % every == 0:
            raise self._failure(f"simulated failure of every read number {every}", "fail_every")
        if group not in self._compiled:
            self._compiled[group] = _Compiled(group, frozenset(self._options.drop))
        return self._compiled[group].samples(self._context.now())

    async def close(self) -> None:
        """Disconnect."""
        self._open = False

    def observations(self) -> Mapping[str, Any]:
        """How often it was opened and read."""
        return {"opens": self._opens, "reads": self._reads}

    async def _answer(self) -> None:
        """Wait as long as the device takes, at most until the timeout."""
        await asyncio.sleep(min(self._latency, self._timeout))
        if self._latency > self._timeout:
            message = f"{self._context.device}: no answer within {self._timeout:g} s"
            raise DriverError(message, quality=Quality.TIMEOUT, remedy="raise timeout or lower latency")
        if not self._reachable():
            raise DriverError(f"{self._context.device}: unplugged", remedy="plug it in again")

    def _reachable(self) -> bool:
        every, last = self._outage_us
        if every and self._context.now() % every < last:
            return False
        return not self._options.cable or Path(self._options.cable).exists()

    def _failure(self, message: str, option: str) -> DriverError:
        kind = FailureKind(self._options.failure)
        remedy = f"take {option} out of the connection"
        return DriverError(f"{self._context.device}: {message}", kind=kind, remedy=remedy)
