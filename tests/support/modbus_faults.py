"""Making Modbus devices misbehave, and what the driver owes to whoever asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from drivers.contract import DriverError, FailureKind
from drivers.modbus import Options
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import HEALTHY, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_devices import Device

TIMEOUT_S = 0.4
"""Where silence is waited for. Whoever answers needs milliseconds; the rest is for a machine that is busy."""
LATE_S = 1.25 * TIMEOUT_S
"""Later than the timeout, sooner than twice that."""
PATIENT_S = 60.0
"""Where everything is answered, or ends by something else than the timeout."""


def to(server: NetServer, **options: object) -> Options:
    """Options that lead to a server; patient ones, unless said otherwise."""
    return Options(**({"host": "127.0.0.1", "port": server.port, "timeout": PATIENT_S} | options))  # type: ignore[arg-type]


def on(line: SerialLine, **options: object) -> Options:
    """Options that lead to a serial line of RTU at 115200 baud; patient ones, unless said otherwise."""
    known = {"transport": "rtu", "port": str(line.link), "baudrate": 115_200, "timeout": PATIENT_S}
    return Options(**(known | options))  # type: ignore[arg-type]


def once(reaction: Reaction, where: Callable[[Request], bool] = lambda request: True) -> Callable[[Request], Reaction]:
    """React so to the first request that fits, and healthily to all others."""
    left = [reaction]

    def react(request: Request) -> Reaction:
        return left.pop() if left and where(request) else HEALTHY

    return react


async def whole_failure(device: Device) -> DriverError:
    """Read, and the failure that this must be: transient, and with a remedy."""
    with pytest.raises(DriverError) as caught:
        await device.read()
    assert caught.value.kind is FailureKind.TRANSIENT
    assert caught.value.remedy
    return caught.value


async def reopen(device: Device) -> None:
    """As the framework does after a failure."""
    await device.driver.close()
    await device.driver.open()


async def reopened(device: Device) -> None:
    """Reopen until it works, as the framework does: a short timeout may be too short for a busy machine."""
    async with asyncio.timeout(PATIENT_S):
        while True:
            with contextlib.suppress(DriverError):
                return await reopen(device)


async def read_until(device: Device, fits: Callable[[list[float | str | Quality]], bool]) -> None:
    """Read again and again, as the framework does, until the values fit."""
    async with asyncio.timeout(PATIENT_S):
        while True:
            try:
                if fits(await device.read()):
                    return
            except DriverError:
                await reopened(device)
