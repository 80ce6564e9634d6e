"""Modbus devices as the agent runs them: supervised, sampled, with what was recorded and said."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.clock import Clock
from agent.config.model import Device, Tag
from agent.core.supervision import Supervision
from agent.supervisor import DeviceRunner, DeviceSnapshot, Supervisor
from drivers.contract import Point
from drivers.modbus import DRIVER, Options
from drivers.quality import Quality
from tests.support.sampling import RecordingSink


def modbus_device(name: str, options: Options, points: Sequence[Point], interval: float = 0.02) -> Device:
    """A device as the configuration would give it."""
    assert not DRIVER.check(options, points)
    tags = tuple(
        Tag(
            series=f"{name}.{point.name}",
            point=replace(point, interval=interval),
            unit="",
            kind="gauge",
            rollover=None,
            sensitivity=1,
        )
        for point in points
    )
    return Device(name=name, driver="modbus", interval=interval, type=DRIVER, options=options, tags=tags)


@dataclass(slots=True)
class Supervised:
    """Devices under one supervisor; ``sinks`` by the name of the device."""

    supervisor: Supervisor
    sinks: dict[str, RecordingSink]
    scanned: asyncio.Event = field(default_factory=asyncio.Event)

    def snapshot(self, name: str) -> DeviceSnapshot:
        """A device as it is now."""
        return self.supervisor.runners[name].snapshot()

    def latest(self, name: str) -> list[float | Quality]:
        """The last value of every point, or its quality where that is bad."""
        latest = self.supervisor.runners[name].latest
        pairs = zip(latest.value.tolist(), latest.quality.tolist(), strict=True)
        return [value if code < Quality.BAD else Quality(code) for value, code in pairs]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds after some scan; the test's own timeout bounds it."""
        while not condition():
            self.scanned.clear()
            await self.scanned.wait()

    async def attempts(self, name: str, count: int) -> None:
        """Wait until the device was scanned, or tried again, so many times more."""

        def made() -> int:
            snapshot = self.snapshot(name)
            return snapshot.scans + snapshot.reconnects

        target = made() + count
        await self.until(lambda: made() >= target)


@asynccontextmanager
async def supervised(*devices: Device) -> AsyncIterator[Supervised]:
    """Run the devices for the length of the block; they share what devices of one agent share."""
    shared: dict[Hashable, Any] = {}
    supervision = Supervision()
    made = Supervised(Supervisor(supervision, []), {device.name: RecordingSink() for device in devices})
    runners = [
        DeviceRunner(
            device,
            np.arange(len(device.tags), dtype=np.int32),
            lambda interval: 1,
            made.sinks[device.name],
            Clock(),
            data_dir=Path(os.devnull),
            shared=shared,
            full_every_us=3_600_000_000,
            on_scan=made.scanned.set,
            report=lambda kind, name, detail: None,
        )
        for device in devices
    ]
    made.supervisor = Supervisor(supervision, runners)
    made.supervisor.start()
    try:
        yield made
    finally:
        await supervision.stop_all(10.0)
    assert not shared, "what the devices shared is gone with them"


def said(records: Sequence[logging.LogRecord], name: str) -> list[str]:
    """The warnings about a device, in order."""
    lines = [record.getMessage() for record in records if record.levelno >= logging.WARNING]
    return [line for line in lines if line.startswith(f"device {name}: ")]
