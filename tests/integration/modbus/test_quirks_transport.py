"""Frames, connections and names that are not as the book says; named after the reports they come from."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers import resolve
from drivers.contract import DriverError
from drivers.modbus import Options, bus
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import FRAMERS, HEALTHY, SILENT, Reaction, Request, crc16
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_devices import Bank, Device, points
from tests.support.modbus_faults import TIMEOUT_S, on, once, read_until, to, whole_failure
from tests.support.ports import free_port

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


class Lamps(Bank):
    """Bits that are put; all others 0."""

    lit: bytes = b""

    def read(self, function: int, address: int, count: int) -> bytes | int:
        return self.lit if function == 1 else super().read(function, address, count)


def echoing(framer: str) -> Callable[[Request], Reaction]:
    """A line that gives back what is sent, before the answer."""

    def react(request: Request) -> Reaction:
        sent = FRAMERS[framer][1](request.unit, request.pdu, 0)
        return Reaction(alter=lambda frame: sent + frame)

    return react


async def line_of(transport: str, folder: Path, units: dict[int, Bank]) -> tuple[Any, Options]:
    framer = "ascii" if transport == "ascii" else "rtu"
    if transport == "rtu-over-tcp":
        server = NetServer("127.0.0.1", free_port(), units, framer)  # type: ignore[arg-type]
        return server, to(server, transport=transport, timeout=TIMEOUT_S)
    line = SerialLine(folder / "tty", 115_200, units, framer)  # type: ignore[arg-type]
    return line, on(line, transport=transport, timeout=TIMEOUT_S)


@pytest.mark.parametrize("transport", ["rtu", "ascii", "rtu-over-tcp"])
async def test_f3_the_echo_of_the_request_is_no_answer(transport: str, tmp_path: Path) -> None:
    """The request for 20 coils from 0x0300 is, to the letter, a sound answer to itself."""
    bank = Lamps()
    bank.lit = b"\xff\xff\x0f"
    line, options = await line_of(transport, tmp_path, {1: bank})
    of = points(*(f"coil:{0x300 + at}" for at in range(20)))
    async with line:
        line.react = echoing("ascii" if transport == "ascii" else "rtu")
        async with Device(options, of) as device:
            for _ in range(2):
                assert await device.read() == [1] * 20
            assert device.driver.observations()["local_echo"] is True


@pytest.mark.parametrize("transport", ["rtu", "ascii"])
async def test_f3_an_answer_that_looks_like_the_request_is_one_where_nothing_echoes(
    transport: str, tmp_path: Path
) -> None:
    bank = Lamps()
    bank.lit = b"\x00\x00\x14"
    line, options = await line_of(transport, tmp_path, {1: bank})
    async with line, Device(options, points("holding:7", *(f"coil:{0x300 + at}" for at in range(20)))) as device:
        # Asked first, nobody can tell; another request settles it.
        await read_until(device, lambda got: got == [7, *(float(0x140000 >> at & 1) for at in range(20))])


async def test_f3_only_the_echo_and_nobody_behind_it_is_silence(tmp_path: Path) -> None:
    line, options = await line_of("rtu", tmp_path, {1: Lamps()})
    async with line, Device(options, points(*(f"coil:{0x300 + at}" for at in range(20)))) as device:
        line.react = lambda request: Reaction(alter=lambda frame: b"\x01" + request.pdu + crc16(b"\x01" + request.pdu))
        error = await whole_failure(device)
        assert error.quality is Quality.TIMEOUT
        assert "unit id" in error.remedy


async def test_f3_an_echo_in_pieces_behind_noise(tmp_path: Path) -> None:
    line, options = await line_of("rtu", tmp_path, {1: Bank()})
    async with line, Device(options, points("coil:1", "holding:10")) as device:
        line.react = lambda request: Reaction(
            alter=lambda frame: b"\x00\xfe" + b"\x01" + request.pdu + crc16(b"\x01" + request.pdu) + frame
        )
        for _ in range(2):
            assert await device.read() == [1, 10]


LENGTHS: dict[str, Callable[[int], int]] = {
    "one too large": lambda right: right + 1,
    "nine too large": lambda right: right + 9,
    "two too small": lambda right: right - 2,
    "zero": lambda right: 0,
    "all ones": lambda right: 0xFFFF,
    "without the unit": lambda right: right - 1,
}


@pytest.mark.parametrize("padded", [False, True], ids=["header only", "with a byte too many"])
@pytest.mark.parametrize("what", LENGTHS)
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_f15_the_pdus_own_length_decides(transport: str, what: str, padded: bool) -> None:
    def alter(frame: bytes) -> bytes:
        length = LENGTHS[what](int.from_bytes(frame[4:6], "big"))
        return frame[:4] + length.to_bytes(2, "big") + frame[6:] + b"\0" * padded

    bank = Bank(holes=[5])
    async with NetServer("127.0.0.1", free_port(), {1: bank}, udp=transport == "udp") as server:
        server.react = lambda request: Reaction(alter=alter)
        of = points("holding:10", "coil:1", "holding:5", "input:2")
        async with Device(to(server, transport=transport), of) as device:
            for _ in range(3):
                assert await device.read() == [10, 1, Quality.ADDRESS, 2]
            assert (await device.driver.identify())["vendor"] == "Gongfu"


IDS: dict[str, Callable[[int, int], int]] = {
    "zero": lambda tid, count: 0,
    "always one": lambda tid, count: 1,
    "counts for itself from 0": lambda tid, count: count,
    "counts for itself from 1": lambda tid, count: count + 1,
    "one byte of it": lambda tid, count: tid & 0xFF,
    "bytes exchanged": lambda tid, count: (tid & 0xFF) << 8 | tid >> 8,
    "ours and one": lambda tid, count: (tid + 1) & 0xFFFF,
}


@pytest.mark.parametrize("option", ["", "ignore"])
@pytest.mark.parametrize("what", IDS)
async def test_f12_a_gateway_that_does_not_send_ids_back(server: NetServer, what: str, option: str) -> None:
    count = iter(range(1000))

    def alter(frame: bytes) -> bytes:
        return IDS[what](int.from_bytes(frame[:2], "big"), next(count)).to_bytes(2, "big") + frame[2:]

    server.react = lambda request: Reaction(alter=alter)
    async with Device(to(server, transaction_id=option), points("holding:10", "holding:900", "coil:1")) as device:
        for _ in range(3):
            assert await device.read() == [10, 900, 1]
        assert server.accepted == 1


async def test_f12_strict_takes_no_other_id(server: NetServer) -> None:
    server.react = lambda request: Reaction(tid_shift=1)
    async with Device(to(server, transaction_id="strict", timeout=TIMEOUT_S), points("holding:10")) as device:
        error = await whole_failure(device)
        assert error.quality is Quality.MALFORMED


@pytest.mark.parametrize("option", ["", "ignore"])
@pytest.mark.parametrize("pushed", [False, True], ids=["on its connection", "pushed to the next"])
async def test_f12_a_late_answer_without_id_answers_nothing(server: NetServer, option: str, pushed: bool) -> None:
    """Nothing in the frame tells the answers apart but the values."""
    no_id = Reaction(alter=lambda frame: b"\0\0" + frame[2:])
    server.react = lambda request: no_id
    of = points("holding:10", "holding:20", "holding:30")
    async with Device(to(server, transaction_id=option, max_gap=0, timeout=TIMEOUT_S), of) as device:
        assert await device.read() == [10, 20, 30]
        late = once(SILENT if pushed else Reaction(delay_s=1.25 * TIMEOUT_S, alter=no_id.alter))

        def react(request: Request) -> Reaction:
            reaction = late(request)
            if pushed and reaction is SILENT:
                stale = b"\0\0\0\0\0\5\1\3\2\0\x63"
                for share in (1.1, 1.4, 1.7):
                    asyncio.get_running_loop().call_later(share * TIMEOUT_S, server.say, stale)
            return no_id if reaction is HEALTHY else reaction

        server.react = react
        assert await device.read() == [Quality.TIMEOUT, 20, 30]
        for _ in range(3):
            assert await device.read() == [10, 20, 30]


def asleep(server: NetServer, seconds: float) -> Callable[[Request], Reaction]:
    """Swallow what comes so soon after connecting."""
    born: dict[int, float] = {}

    def react(request: Request) -> Reaction:
        began = born.setdefault(server.accepted, time.monotonic())
        return SILENT if time.monotonic() - began < seconds else HEALTHY

    return react


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp"])
async def test_f11_a_device_that_swallows_what_comes_just_after_connecting(transport: str) -> None:
    framer = "rtu" if transport == "rtu-over-tcp" else "tcp"
    async with NetServer("127.0.0.1", free_port(), {1: Bank()}, framer) as server:
        server.react = asleep(server, 1.5)
        async with Device(to(server, transport=transport, timeout=TIMEOUT_S), points("holding:10")) as device:
            assert await device.read() == [10]
            assert server.accepted == 1


async def test_f11_connect_delay_waits_before_the_first_request(server: NetServer) -> None:
    accepted_s = [0.0]
    async with Device(to(server, connect_delay="300ms"), points("holding:10")) as device:
        accepted_s[0] = time.monotonic()  # open ends after the delay
        assert await device.read() == [10]
        assert device.driver._bus._connect_delay_s == 0.3
    assert len(server.requests) == 1


async def test_f11_the_remedy_names_the_option(server: NetServer) -> None:
    server.react = lambda request: SILENT
    async with Device(to(server, timeout=0.05), points("holding:10")) as device:
        assert "connect_delay" in (await whole_failure(device)).remedy


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp"])
async def test_f31_an_idle_connection_that_is_reset_costs_no_sample(transport: str) -> None:
    framer = "rtu" if transport == "rtu-over-tcp" else "tcp"
    server = NetServer("127.0.0.1", free_port(), {1: Bank()}, framer)
    async with (
        server,
        Device(to(server, transport=transport, timeout=TIMEOUT_S), points("holding:10", "coil:1")) as device,
    ):
        for number in range(3):
            server.react = once(Reaction(hang_up=True)) if number else lambda request: HEALTHY
            assert await device.read() == [10, 1]
            assert device.faults == []


async def test_f31_a_connection_that_is_always_reset_is_a_failure(server: NetServer) -> None:
    async with Device(to(server), points("holding:10")) as device:
        assert await device.read() == [10]
        server.react = lambda request: Reaction(hang_up=True)
        assert (await whole_failure(device)).quality is Quality.CONNECTION
        assert len(server.requests) == 3


@pytest.mark.parametrize("framer", ["rtu", "ascii"])
@pytest.mark.parametrize("noise", [b"\0", b"\xf8\x80\x80", bytes(range(200, 240)), b"\xff" * 9000], ids=len)
async def test_n8_garbage_on_a_line_is_told_from_silence(framer: str, noise: bytes, tmp_path: Path) -> None:
    async with (
        SerialLine(tmp_path / "tty", 115_200, {1: Bank()}, framer) as line,
        Device(on(line, transport=framer, timeout=TIMEOUT_S), points("holding:10")) as device,
    ):
        line.react = lambda request: Reaction(alter=lambda frame: noise)
        garbage = await whole_failure(device)
    async with SerialLine(tmp_path / "tty", 115_200, {1: Bank()}, framer) as line:
        line.react = lambda request: SILENT
        async with Device(on(line, transport=framer, timeout=TIMEOUT_S), points("holding:10")) as device:
            silence = await whole_failure(device)
    assert garbage.quality is Quality.MALFORMED
    assert all(word in garbage.remedy for word in ("baudrate", "parity", "A and B"))
    assert silence.quality is Quality.TIMEOUT
    assert all(word in silence.remedy for word in ("unit id", "power"))
    assert "baudrate" not in silence.remedy


async def test_n8_garbage_that_comes_late_is_garbage(tmp_path: Path) -> None:
    async with (
        SerialLine(tmp_path / "tty", 115_200, {1: Bank()}) as line,
        Device(on(line, timeout=TIMEOUT_S), points("holding:10")) as device,
    ):
        line.say(b"\xf8\x80\x80")  # before anything is asked
        line.react = lambda request: SILENT
        assert (await whole_failure(device)).quality is Quality.MALFORMED


def names(monkeypatch: pytest.MonkeyPatch, known: dict[str, Any]) -> None:
    """A name server that knows only these; a callable is called before it answers."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **keys: Any) -> Any:
        found = known.get(host)
        if found is None:
            return real(host, port, *args, **keys)
        if callable(found):
            found = found()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("timeout", [0.2, 1.0])
async def test_f20_the_second_address_is_tried_within_the_timeout(
    server: NetServer, monkeypatch: pytest.MonkeyPatch, timeout: float
) -> None:
    names(monkeypatch, {"plc.test": ["127.0.0.2", "127.0.0.1"]})
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def swallowing(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.2":
            await asyncio.Event().wait()
        await real(sock, address)

    monkeypatch.setattr(loop, "sock_connect", swallowing)
    async with Device(Options(host="plc.test", port=server.port, timeout=timeout), points("holding:10")) as device:
        assert await device.read() == [10]


async def test_f30_a_silent_name_server_costs_its_devices_only(
    server: NetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    names(monkeypatch, {f"plc{at}.test": lambda: answers.wait(30) and ["127.0.0.1"] for at in range(40)})
    of = points("holding:10")
    silent = [Device(Options(host=f"plc{at % 40}.test", port=server.port, timeout=0.2), of) for at in range(80)]
    opening = [asyncio.create_task(device.driver.open()) for device in silent]
    try:
        async with asyncio.timeout(10):  # all of the pool's threads would wait for 30 s
            assert await asyncio.gather(*(asyncio.to_thread(lambda: 1) for _ in range(64))) == [1] * 64
            async with Device(to(server), of) as device:
                assert await device.read() == [10]
        failures = await asyncio.gather(*opening, return_exceptions=True)
        assert all(isinstance(failure, DriverError) for failure in failures)
        assert sum(thread.name.startswith("look up plc") for thread in threading.enumerate()) == 40, "one a name"
    finally:
        answers.set()
    async with asyncio.timeout(30):
        await asyncio.to_thread(lambda: [thread.join() for thread in threading.enumerate() if "plc" in thread.name])
        assert not resolve._lookups
    async with Device(Options(host="plc1.test", port=server.port), of) as device:
        assert await device.read() == [10]


async def test_f12_another_gateway_at_the_same_address_is_met_anew(server: NetServer) -> None:
    """While other devices keep the connection's memory alive."""
    shared: dict[object, object] = {}
    of = points("holding:10")
    options = to(server, timeout=0.1)
    async with Device(options, of, shared) as one, Device(options, of, shared) as two:
        assert await one.read() == await two.read() == [10]
        server.react = lambda request: Reaction(alter=lambda frame: b"\0\0" + frame[2:])
        for _ in range(bus._STRANGERS + 1):
            for device in (one, two):
                try:
                    await device.read()
                except DriverError:
                    await device.driver.close()
                    await device.driver.open()
        await read_until(one, lambda got: got == [10])
