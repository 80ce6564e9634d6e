"""A scripted driver and a recording sink for tests of sampling and supervision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.buffer.records import Loss
from agent.config.model import Device, Tag
from drivers.contract import Context, DriverType, Point, PointGroup, Samples


class NoOptions(msgspec.Struct):
    """A driver without options."""


class ScriptedDriver:
    """Does what the test's functions say; counts opens and closes."""

    def __init__(self, context: Context, on_open: Callable[[int], None], on_read: Callable[..., Samples]) -> None:
        self.context, self.on_open, self.on_read = context, on_open, on_read
        self.opened = self.closed = 0

    async def open(self) -> None:
        self.opened += 1
        self.on_open(self.opened)

    async def read(self, group: PointGroup) -> Samples:
        await asyncio.sleep(0)
        return self.on_read(self, group)

    async def close(self) -> None:
        self.closed += 1

    def observations(self) -> Mapping[str, Any]:
        return {}


def scripted_device(
    on_open: Callable[[int], None], on_read: Callable[..., Samples], *, points: int = 2, interval: float = 0.01
) -> tuple[Device, list[ScriptedDriver]]:
    """A device whose driver runs the given functions, and the list that will hold the driver."""
    made: list[ScriptedDriver] = []

    def create(options: Any, all_points: Sequence[Point], context: Context) -> ScriptedDriver:
        made.append(ScriptedDriver(context, on_open, on_read))
        return made[-1]

    tags = tuple(
        Tag(
            series=f"dev.t{number}",
            point=Point(index=number, name=f"t{number}", address="", interval=interval),
            unit="",
            kind="gauge",
            rollover=None,
            sensitivity=1,
        )
        for number in range(points)
    )
    kind = DriverType("scripted", NoOptions, create)
    return Device(name="dev", driver="scripted", interval=interval, type=kind, options=NoOptions(), tags=tags), made


class RecordingSink:
    """Keeps what the sampler hands on, and wakes whoever waits for a condition on it."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, int, float, int]] = []
        self.scans: list[tuple[int, int, int]] = []
        self.losses: list[Loss] = []
        self._changed = asyncio.Event()

    def add_samples(self, series: NDArray[np.int32], samples: Samples) -> None:
        columns = (series.tolist(), samples.time.tolist(), samples.value.tolist(), samples.quality.tolist())
        self.samples.extend(zip(*columns, strict=True))
        self._changed.set()

    def add_scan(self, group_id: int, time_us: int, late: int) -> None:
        self.scans.append((group_id, time_us, late))
        self._changed.set()

    def add_loss(self, loss: Loss) -> None:
        self.losses.append(loss)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; the test's own timeout bounds it."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()
