"""Cables, restarts, dead units and shared connections."""

from __future__ import annotations

import asyncio
import itertools
import struct
from pathlib import Path

import pytest

from drivers.contract import DriverError, FailureKind
from drivers.modbus import Options, bus
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import HANG_UP, HEALTHY, SILENT, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_devices import Bank, Device, points
from tests.support.modbus_faults import PATIENT_S, TIMEOUT_S, reopen, to, whole_failure
from tests.support.ports import free_port

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


async def test_L17_plc_restart(server: NetServer) -> None:
    async with Device(to(server), points("holding:10", "holding:900")) as device:
        assert await device.read() == [10, 900]
        await server.stop()
        error = await whole_failure(device)
        assert error.quality is Quality.CONNECTION
        await device.driver.close()
        with pytest.raises(DriverError, match="refuses the connection") as caught:
            await device.driver.open()
        assert "port" in caught.value.remedy
        await server.start()
        await device.driver.open()
        assert await device.read() == [10, 900]


async def test_a_connection_that_breaks_in_the_middle_of_a_scan_is_made_anew(server: NetServer) -> None:
    async with Device(to(server), points("holding:10", "holding:900", "coil:1")) as device:
        assert await device.read() == [10, 900, 1]
        server.react = lambda request: HANG_UP if request.address == 10 else HEALTHY
        async with asyncio.timeout(PATIENT_S / 2):  # noticed at once, not by the driver's timeout
            assert await device.read() == [Quality.CONNECTION, 900, 1]


async def test_half_open_connection_is_found_by_timeout(server: NetServer) -> None:
    async with Device(
        to(server, timeout=TIMEOUT_S), points("holding:10", "holding:900", "coil:1", "input:1")
    ) as device:
        assert await device.read() == [10, 900, 1, 1]
        server.requests.clear()
        server.react = lambda request: SILENT
        error = await whole_failure(device)
        assert error.quality is Quality.TIMEOUT
        assert len(server.requests) == 2, "two silences in a row are enough"
        await reopen(device)
        server.requests.clear()
        await whole_failure(device)
        assert len({request.address for request in server.requests}) == 1, "one request decides"
        assert len(server.requests) == 3, "but it is repeated before a fresh connection is given up"
        server.react = lambda request: HEALTHY
        await reopen(device)
        assert await device.read() == [10, 900, 1, 1]


async def test_host_that_cannot_be_resolved_is_transient() -> None:
    device = Device(Options(host="no-such-host.invalid", timeout=PATIENT_S), points("holding:0"))
    with pytest.raises(DriverError, match=r"no connection to no-such-host\.invalid:502") as caught:
        await device.driver.open()
    assert caught.value.kind is FailureKind.TRANSIENT


async def test_devices_behind_a_dead_gateway_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them stand in line for one attempt, not for one attempt each."""
    async with NetServer("127.0.0.1", free_port(), {}) as server:
        port = server.port
    shared: dict[object, object] = {}
    of = points("holding:0")
    devices = [
        Device(Options(host="127.0.0.1", port=port, unit=unit, timeout=PATIENT_S), of, shared) for unit in range(1, 9)
    ]
    attempts = 0

    class Counted(bus.Connection):
        async def connect(self, timeout_s: float) -> None:
            nonlocal attempts
            attempts += 1
            await super().connect(timeout_s)

    monkeypatch.setattr(bus, "Connection", Counted)
    results = await asyncio.gather(*(device.driver.open() for device in devices), return_exceptions=True)
    assert [str(result) for result in results] == [f"127.0.0.1:{port} refuses the connection"] * 8
    assert attempts == 1
    assert not shared


async def test_L33_devices_of_one_gateway_share_one_connection_one_request_at_a_time() -> None:
    in_flight, most = 0, 0

    async def counted(request: Request, send: object) -> bool:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        try:
            return await serve(request, send)
        finally:
            in_flight -= 1

    async with NetServer("127.0.0.1", free_port(), {unit: Bank() for unit in range(1, 6)}, delay=0.001) as server:
        serve, server._serve = server._serve, counted  # type: ignore[method-assign]
        shared: dict[object, object] = {}
        devices = [Device(to(server, unit=unit), points("holding:1", "holding:900"), shared) for unit in range(1, 6)]
        for device in devices:
            await device.driver.open()
        for _ in range(3):
            assert await asyncio.gather(*(device.read() for device in devices)) == [[1, 900]] * 5
        assert server.accepted == 1
        assert most == 1
        units = [request.unit for request in server.requests]
        assert units[:10] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5], "they take turns"
        for device in devices:
            await device.driver.close()
        assert not shared


async def test_share_false_gives_each_device_its_own_connection(server: NetServer) -> None:
    shared: dict[object, object] = {}
    devices = [Device(to(server, share=False), points("holding:1"), shared) for _ in range(30)]
    await asyncio.gather(*(device.driver.open() for device in devices))
    assert await asyncio.gather(*(device.read() for device in devices)) == [[1]] * 30
    assert server.accepted == 30
    await asyncio.gather(*(device.driver.close() for device in devices))


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_L21_a_dead_unit_costs_the_others_its_timeout_only(kind: str, tmp_path: Path) -> None:
    units = {1: Bank(), 3: Bank()}  # unit 2 is dead
    line: SerialLine | NetServer
    if kind == "rtu":
        line = SerialLine(tmp_path / "tty", 115_200, units)
        options: dict[str, object] = {"transport": "rtu", "port": str(line.link), "baudrate": 115_200}
    else:
        line = NetServer("127.0.0.1", free_port(), units)
        options = {"host": "127.0.0.1", "port": line.port}
    shared: dict[object, object] = {}
    of = points("holding:1", "holding:300", "coil:3", "input:4")
    async with line:
        devices = {
            unit: Device(Options(unit=unit, timeout=TIMEOUT_S, **options), of, shared)  # type: ignore[arg-type]
            for unit in (1, 2, 3)
        }
        for device in devices.values():
            await device.driver.open()
        for _ in range(3):
            found = await asyncio.gather(*(device.read() for device in devices.values()), return_exceptions=True)
            assert found[0] == found[2] == [1, 300, 1, 4]
            assert isinstance(found[1], DriverError)
        asked = [request.unit for request in line.requests]
        assert asked.count(2) == 3, "one probe a scan"
        assert asked.count(1) == asked.count(3) == 12
        for device in devices.values():
            await device.driver.close()
        assert not shared


async def test_other_settings_on_a_line_in_use_need_a_person(tmp_path: Path) -> None:
    async with SerialLine(tmp_path / "tty", 9600, {1: Bank()}) as line:
        shared: dict[object, object] = {}
        async with Device(Options(transport="rtu", port=str(line.link)), points("holding:1"), shared):
            other = Device(Options(transport="rtu", port=str(line.link), parity="E"), points("holding:1"), shared)
            with pytest.raises(DriverError, match="other settings") as caught:
                await other.driver.open()
            assert caught.value.kind is FailureKind.PERMANENT
            assert "parity" in caught.value.remedy
        assert not shared


async def test_a_cancelled_read_spoils_no_other_device(server: NetServer) -> None:
    asked = asyncio.Event()

    def slow_at_first(request: Request) -> Reaction:
        reaction = HEALTHY if asked.is_set() else Reaction(delay_s=0.05)
        asked.set()
        return reaction

    shared: dict[object, object] = {}
    one, two = (Device(to(server), points(f"holding:{at}"), shared) for at in (10, 20))
    async with one, two:
        server.react = slow_at_first
        reading = asyncio.create_task(one.read())
        await asked.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await two.read() == [20]
        assert await one.read() == [10]


async def test_nan_from_the_device_is_no_value(server: NetServer, bank: Bank) -> None:
    bank.put(0, struct.pack(">fff", float("nan"), 1.5, float("inf")))
    of = [{"address": f"holding:{at}", "type": "float32"} for at in (0, 2, 4)]
    async with Device(to(server), points(*of)) as device:
        assert await device.read() == [Quality.INVALID, 1.5, Quality.INVALID]


async def test_L28_each_answer_has_its_own_stamp(server: NetServer) -> None:
    ticks = itertools.count(1_000_000)
    of = points("holding:1", "holding:2", "holding:900", "coil:1")
    async with Device(to(server), of, now=lambda: next(ticks)) as device:
        await device.read()
        stamps = dict(zip(device.samples.index.tolist(), device.samples.time.tolist(), strict=True))
    assert stamps[0] == stamps[1]
    assert len({stamps[0], stamps[2], stamps[3]}) == 3


async def test_ten_thousand_tags_are_read_whole(server: NetServer) -> None:
    of = [{"address": "holding:0", "type": "uint16", "element": at} for at in range(10_000)]
    async with Device(to(server), points(*of)) as device:
        assert await device.read() == list(range(10_000))
        assert len(server.requests) == 80
