"""The real sampler on a clock that stands still while it waits: hours of scans within moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.clock import Clock
from agent.sampling.sampler import Sampler, Sink, group_points
from drivers.contract import Point, PointGroup, Samples

Shown = Callable[[NDArray[np.int64]], NDArray[np.float64]]


class PacedClock(Clock):
    """Goes on only when it is told to."""

    def __init__(self, time_us: int) -> None:
        super().__init__()
        self._begin = self.time = time_us

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return (self.time - self._begin) / 1e6


class Ended(Exception):
    """The stretch to be sampled is over."""


class Registers:
    """A driver that shows functions of time."""

    def __init__(self, shown: Sequence[Shown], clock: PacedClock, answer_us: int, end: int) -> None:
        self._shown, self._clock, self._answer, self._end = shown, clock, answer_us, end

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def read(self, group: PointGroup) -> Samples:
        if self._clock.time >= self._end:
            raise Ended
        self._clock.time += self._answer
        count = len(self._shown)
        time = np.full(count, self._clock.time, np.int64)
        value = np.array([float(each(time[:1])[0]) for each in self._shown])
        return Samples(
            index=np.arange(count, dtype=np.int32), time=time, value=value, quality=np.zeros(count, np.uint8)
        )

    def observations(self) -> Mapping[str, Any]:
        return {}


async def sampled(
    monkeypatch: pytest.MonkeyPatch, shown: Sequence[Shown], sink: Sink, span: tuple[int, int], *,
    interval: float, full_every_us: int, series: Sequence[int] = (), group: int = 1, answer_us: int = 5_000,
) -> None:  # fmt: skip
    """Scan from the begin of ``span`` (UTC microseconds) up to its end."""
    clock = PacedClock(span[0])
    pause = asyncio.sleep

    async def leap(seconds: float) -> None:
        clock.time += round(seconds * 1e6)
        await pause(0)

    points = [Point(index=at, name=f"t{at}", address="", interval=interval) for at in range(len(shown))]
    sampler = Sampler(
        Registers(shown, clock, answer_us, span[1]),
        [(each, group) for each in group_points(points)],
        np.array(series or range(len(shown)), np.int32),
        sink,
        clock,
        full_every_us=full_every_us,
    )
    with monkeypatch.context() as patched:
        patched.setattr("agent.sampling.sampler.rest", leap)
        with pytest.raises(Ended):
            await sampler.run()
