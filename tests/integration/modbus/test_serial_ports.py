"""Serial ports that are missing, busy, or none."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from drivers.contract import DriverError, FailureKind
from drivers.modbus import Options
from drivers.modbus.refused import port_refused
from drivers.quality import Quality
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_devices import Bank, Device, points
from tests.support.modbus_faults import TIMEOUT_S, on, whole_failure

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


async def test_serial_port_missing_then_appearing(tmp_path: Path) -> None:
    line = SerialLine(tmp_path / "ttyUSB0", 115_200, {1: Bank()})
    device = Device(on(line, timeout=TIMEOUT_S), points("holding:10"))
    with pytest.raises(DriverError, match="does not exist") as caught:
        await device.driver.open()
    assert caught.value.kind is FailureKind.TRANSIENT
    assert "/dev/serial/by-id" in caught.value.remedy
    async with line:
        await device.driver.open()
        assert await device.read() == [10]
    error = await whole_failure(device)
    assert error.quality in (Quality.CONNECTION, Quality.TIMEOUT)
    await device.driver.close()
    async with line:
        await device.driver.open()
        assert await device.read() == [10]
        await device.driver.close()


async def test_serial_port_in_use(tmp_path: Path) -> None:
    async with SerialLine(tmp_path / "tty", 115_200, {1: Bank()}) as line:
        device = Device(on(line), points("holding:10"))
        with line.link.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with pytest.raises(DriverError, match="in use by another program") as caught:
                await device.driver.open()
            assert caught.value.kind is FailureKind.TRANSIENT
            assert "fuser" in caught.value.remedy
        await device.driver.open()
        assert await device.read() == [10]
        await device.driver.close()


async def test_what_is_no_serial_port_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    device = Device(Options(transport="rtu", port=str(tmp_path / "file")), points("holding:10"))
    with pytest.raises(DriverError, match="cannot be opened") as caught:
        await device.driver.open()
    assert caught.value.remedy


def test_permission_denied_names_the_group() -> None:
    refused = port_refused("/dev/ttyUSB0", 13, PermissionError(13, "Permission denied"))
    assert "dialout" in refused.remedy
