"""Cables, restarts, late and spoilt answers: the wrong question is never answered, and it ends by itself."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import logging
import os
import random
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.contract import DriverError, FailureKind
from drivers.modbus import Options, bus
from drivers.modbus.client import _port_refused
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import HANG_UP, HEALTHY, SILENT, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_devices import Bank, Device, free_port, points

pytestmark = pytest.mark.soak  # some bounds are too tight for a machine that builds at the same time

TIMEOUT_S = 0.2
LATE_S = 1.25 * TIMEOUT_S
"""Later than the timeout, sooner than twice that."""


@pytest.fixture
async def server() -> AsyncIterator[NetServer]:
    async with NetServer("127.0.0.1", 0, {1: Bank()}) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:  # type: ignore[misc]
    """Whatever happens, the driver returns it; a log line for each would be a flood (L15)."""
    with caplog.at_level(logging.INFO):
        yield  # type: ignore[misc]
    ours = [record for record in caplog.records if record.name.split(".")[0] in ("drivers", "pymodbus", "asyncio")]
    assert [record.getMessage() for record in ours] == []


def to(server: NetServer, **options: object) -> Options:
    return Options(**({"host": "127.0.0.1", "port": server.port, "timeout": TIMEOUT_S} | options))  # type: ignore[arg-type]


def once(reaction: Reaction, where: Callable[[Request], bool] = lambda request: True) -> Callable[[Request], Reaction]:
    """React so to the first request that fits, and healthily to all others."""
    left = [reaction]

    def react(request: Request) -> Reaction:
        return left.pop() if left and where(request) else HEALTHY

    return react


async def whole_failure(device: Device) -> DriverError:
    with pytest.raises(DriverError) as caught:
        await device.read()
    assert caught.value.kind is FailureKind.TRANSIENT
    assert caught.value.remedy
    return caught.value


async def reopen(device: Device) -> None:
    await device.driver.close()
    await device.driver.open()


# --- late and spoilt answers ----------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "udp", "rtu-over-tcp"])
async def test_L13_a_late_answer_never_answers_the_next_question(transport: str) -> None:
    framer = "rtu" if transport == "rtu-over-tcp" else "tcp"
    bank = Bank()
    async with NetServer("127.0.0.1", 0, {1: bank}, framer, udp=transport == "udp") as server:
        of = points("holding:10", "holding:20", "holding:30")
        async with Device(to(server, transport=transport, max_gap=0), of) as device:
            assert await device.read() == [10, 20, 30]
            server.react = once(Reaction(delay_s=LATE_S), lambda request: request.address == 10)
            assert await device.read() == [Quality.TIMEOUT, 20, 30]
            for _ in range(3):
                assert await device.read() == [10, 20, 30]


@pytest.mark.parametrize("framer", ["rtu", "ascii"])
async def test_L13_a_late_answer_on_a_serial_line_answers_nothing(framer: str, tmp_path: Path) -> None:
    """Nothing in the frame tells the answers apart: same unit, same function, same length."""
    async with SerialLine(tmp_path / "tty", 115_200, {1: Bank(), 2: Bank()}, framer) as line:
        options = {"transport": framer, "port": str(line.link), "baudrate": 115_200, "timeout": TIMEOUT_S, "max_gap": 0}
        shared: dict[object, object] = {}
        late, other = Options(unit=1, **options), Options(unit=2, **options)  # type: ignore[arg-type]
        of = points("holding:10", "holding:20", "holding:30")
        async with Device(late, of, shared) as one, Device(other, of, shared) as two:
            assert await one.read() == await two.read() == [10, 20, 30]
            line.react = once(Reaction(delay_s=LATE_S), lambda request: (request.unit, request.address) == (1, 10))
            first, second = await asyncio.gather(one.read(), two.read())
            assert first == [Quality.TIMEOUT, 20, 30]
            lost = (Quality.TIMEOUT, Quality.MALFORMED)  # two talked at once
            assert all(value in (at, *lost) for at, value in zip((10, 20, 30), second, strict=True))
            assert await one.read() == await two.read() == [10, 20, 30]


async def test_L13_an_answer_after_reopening_a_serial_line_answers_nothing(tmp_path: Path) -> None:
    async with SerialLine(tmp_path / "tty", 115_200, {1: Bank()}) as line:
        options = Options(transport="rtu", port=str(line.link), baudrate=115_200, timeout=TIMEOUT_S, max_gap=0)
        async with Device(options, points("holding:10", "holding:20")) as device:
            line.react = once(Reaction(delay_s=LATE_S))
            await whole_failure(device)
            await reopen(device)
            assert await device.read() == [10, 20]


SPOILT: dict[str, Reaction] = {
    "wrong transaction id": Reaction(tid_shift=1),
    "transaction id of before": Reaction(tid_shift=-1),
    "transaction id zero": Reaction(alter=lambda frame: b"\0\0" + frame[2:]),
    "wrong unit": Reaction(unit=77),
    "wrong protocol id": Reaction(alter=lambda frame: frame[:2] + b"\1\2" + frame[4:]),
    "cut off": Reaction(alter=lambda frame: frame[:-1]),
    "length too long": Reaction(alter=lambda frame: frame[:5] + bytes([frame[5] + 9]) + frame[6:]),
    "length too short": Reaction(alter=lambda frame: frame[:5] + bytes([frame[5] - 2]) + frame[6:]),
    "length zero": Reaction(alter=lambda frame: frame[:4] + b"\0\0" + frame[6:]),
    "fewer registers": Reaction(pdu=b"\x03\x02\x00\x0a"),
    "more registers": Reaction(pdu=b"\x03\x08" + b"\x00\x0a" * 4),
    "byte count that lies": Reaction(pdu=b"\x03\x06\x00\x0a\x00\x0b"),
    "another function": Reaction(pdu=b"\x04\x04\x00\x0a\x00\x0b"),
    "function of a write": Reaction(pdu=b"\x10\x00\x00\x00\x01"),
    "unknown function": Reaction(pdu=b"\x65\x04\x00\x0a\x00\x0b"),
    "nothing in it": Reaction(pdu=b"\x03"),
    "noise": Reaction(alter=lambda frame: os.urandom(64)),
    "text": Reaction(alter=lambda frame: b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "flood": Reaction(alter=lambda frame: b"\xff" * 2000),
}


@pytest.mark.parametrize("what", SPOILT)
async def test_L13_a_spoilt_answer_is_malformed_and_the_connection_made_anew(server: NetServer, what: str) -> None:
    of = points("holding:10", "holding:11", "coil:1", "input:2")
    async with Device(to(server), of) as device:
        assert await device.read() == [10, 11, 1, 2]
        server.react = once(SPOILT[what], lambda request: request.function == 3)
        assert await device.read() == [Quality.MALFORMED, Quality.MALFORMED, 1, 2]
        assert server.accepted == 2
        assert len(device.faults) == 1
        assert await device.read() == [10, 11, 1, 2]
        assert server.accepted == 2


@pytest.mark.parametrize("what", ["wrong unit", "cut off", "fewer registers", "noise", "text", "unknown function"])
@pytest.mark.parametrize("framer", ["rtu", "ascii"])
async def test_L13_a_spoilt_answer_on_a_serial_line(framer: str, what: str, tmp_path: Path) -> None:
    of = points("holding:10", "holding:11", "coil:1")
    async with SerialLine(tmp_path / "tty", 115_200, {1: Bank()}, framer) as line:
        options = Options(transport=framer, port=str(line.link), baudrate=115_200, timeout=TIMEOUT_S)  # type: ignore[arg-type]
        async with Device(options, of) as device:
            assert await device.read() == [10, 11, 1]
            line.react = once(SPOILT[what], lambda request: request.function == 3)
            assert await device.read() == [Quality.MALFORMED, Quality.MALFORMED, 1]
            assert await device.read() == [10, 11, 1]


async def test_a_wrong_checksum_is_malformed(tmp_path: Path) -> None:
    for framer in ("rtu", "ascii"):
        flip = 0x01 if framer == "ascii" else 0x10
        async with SerialLine(tmp_path / framer, 115_200, {1: Bank()}, framer) as line:
            options = Options(transport=framer, port=str(line.link), baudrate=115_200, timeout=TIMEOUT_S)  # type: ignore[arg-type]
            async with Device(options, points("holding:10", "coil:1")) as device:
                assert await device.read() == [10, 1]
                spoil = Reaction(alter=lambda frame, flip=flip: frame[:6] + bytes([frame[6] ^ flip]) + frame[7:])
                line.react = once(spoil, lambda request: request.function == 3)
                assert await device.read() == [Quality.MALFORMED, 1]
                assert await device.read() == [10, 1]


async def test_noise_before_an_answer_does_no_harm_on_a_serial_line(tmp_path: Path) -> None:
    async with SerialLine(tmp_path / "tty", 115_200, {1: Bank()}) as line:
        options = Options(transport="rtu", port=str(line.link), baudrate=115_200, timeout=TIMEOUT_S)
        async with Device(options, points("holding:10")) as device:
            line.say(b"\xfe\xff\x00")
            assert await device.read() == [10]


@pytest.mark.parametrize("transport", ["tcp", "udp", "rtu-over-tcp", "rtu", "ascii"])
async def test_L15_garbage_raises_nothing_but_driver_errors(transport: str, tmp_path: Path) -> None:
    chance = random.Random(transport)

    def react(request: Request) -> Reaction:
        at, size = chance.randrange(12), chance.randrange(1, 40)
        kind = chance.randrange(4)
        if kind == 0:
            return Reaction(alter=lambda frame: chance.randbytes(size))
        if kind == 1:
            return Reaction(alter=lambda frame: frame[:at] + chance.randbytes(1) + frame[at + 1 :])
        if kind == 2:
            return Reaction(pdu=chance.randbytes(size))
        return HEALTHY

    framer = {"udp": "tcp", "rtu-over-tcp": "rtu"}.get(transport, transport)
    options: dict[str, object] = {"transport": transport, "timeout": "20ms"}
    line: SerialLine | NetServer
    if transport in ("rtu", "ascii"):
        line = SerialLine(tmp_path / "tty", 0, {1: Bank()}, framer)
        options |= {"port": str(line.link), "baudrate": 115_200}
    else:
        line = NetServer("127.0.0.1", free_port(), {1: Bank()}, framer, udp=transport == "udp")
        options |= {"host": "127.0.0.1", "port": line.port}
    async with line, Device(Options(**options), points("holding:10", "coil:1", "input:5")) as device:  # type: ignore[arg-type]
        line.react = react
        for _ in range(40):
            try:
                await device.read()
            except DriverError:
                await reopen(device)
        line.react = lambda request: HEALTHY
        await reopen(device)
        healthy = {0: (10, Quality.ADDRESS), 1: (1, Quality.ADDRESS), 2: (5, Quality.ADDRESS)}
        got = await device.read()  # a spoilt answer may have looked like a refusal, which is remembered
        assert all(got[index] in healthy[index] for index in healthy)


# --- connections ------------------------------------------------------------------------------------


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
        server.react = once(HANG_UP, lambda request: request.address == 10)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await device.read() == [Quality.CONNECTION, 900, 1]
        assert loop.time() - began < device.driver._terms.timeout_s, "noticed at once"


async def test_half_open_connection_is_found_by_timeout(server: NetServer) -> None:
    async with Device(to(server), points("holding:10", "holding:900", "coil:1", "input:1")) as device:
        assert await device.read() == [10, 900, 1, 1]
        server.requests.clear()
        server.react = lambda request: SILENT
        error = await whole_failure(device)
        assert error.quality is Quality.TIMEOUT
        assert len(server.requests) == 2, "two silences in a row are enough"
        await reopen(device)
        server.requests.clear()
        await whole_failure(device)
        assert len(server.requests) == 1, "a device that was away costs one timeout"
        server.react = lambda request: HEALTHY
        await reopen(device)
        assert await device.read() == [10, 900, 1, 1]


async def test_host_that_cannot_be_resolved_is_transient() -> None:
    device = Device(Options(host="no-such-host.invalid", timeout="5s"), points("holding:0"))
    with pytest.raises(DriverError, match=r"no connection to no-such-host\.invalid:502") as caught:
        await device.driver.open()
    assert caught.value.kind is FailureKind.TRANSIENT


async def test_devices_behind_a_dead_gateway_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them stand in line for one attempt, not for one attempt each."""
    async with NetServer("127.0.0.1", 0, {}) as server:
        port = server.port
    shared: dict[object, object] = {}
    of = points("holding:0")
    devices = [Device(Options(host="127.0.0.1", port=port, unit=unit), of, shared) for unit in range(1, 9)]
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


# --- several devices --------------------------------------------------------------------------------


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

    async with NetServer("127.0.0.1", 0, {unit: Bank() for unit in range(1, 6)}, delay=0.001) as server:
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


# --- serial ports -----------------------------------------------------------------------------------


async def test_serial_port_missing_then_appearing(tmp_path: Path) -> None:
    line = SerialLine(tmp_path / "ttyUSB0", 115_200, {1: Bank()})
    device = Device(Options(transport="rtu", port=str(line.link), baudrate=115_200), points("holding:10"))
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
        device = Device(Options(transport="rtu", port=str(line.link), baudrate=115_200), points("holding:10"))
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
    refused = _port_refused("/dev/ttyUSB0", 13, PermissionError(13, "Permission denied"))
    assert "dialout" in refused.remedy


# --- values -----------------------------------------------------------------------------------------


async def test_nan_from_the_device_is_no_value(server: NetServer) -> None:
    bank = server.units[1]
    assert isinstance(bank, Bank)
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
    async with Device(to(server, timeout="5s"), points(*of)) as device:
        assert await device.read() == list(range(10_000))
        assert len(server.requests) == 80
