"""Late, spoilt and foreign answers: the wrong question is never answered, and it ends by itself."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.contract import DriverError
from drivers.modbus import Options
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import FRAMERS, HEALTHY, SILENT, Frame, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.serial_line import SerialLine
from tests.support.modbus_devices import Bank, Device, points
from tests.support.modbus_faults import LATE_S, TIMEOUT_S, on, once, read_until, reopen, reopened, to, whole_failure
from tests.support.ports import free_port

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


@pytest.mark.parametrize("transport", ["tcp", "udp", "rtu-over-tcp"])
async def test_L13_a_late_answer_never_answers_the_next_question(transport: str) -> None:
    framer = "rtu" if transport == "rtu-over-tcp" else "tcp"
    bank = Bank()
    async with NetServer("127.0.0.1", free_port(), {1: bank}, framer, udp=transport == "udp") as server:
        of = points("holding:10", "holding:20", "holding:30")
        async with Device(to(server, transport=transport, max_gap=0, timeout=TIMEOUT_S), of) as device:
            assert await device.read() == [10, 20, 30]
            server.react = once(Reaction(delay_s=LATE_S), lambda request: request.address == 10)
            assert await device.read() == [Quality.TIMEOUT, 20, 30]
            for _ in range(3):
                assert await device.read() == [10, 20, 30]


@pytest.mark.parametrize("framer", ["rtu", "ascii"])
async def test_L13_a_late_answer_on_a_serial_line_answers_nothing(framer: str, tmp_path: Path) -> None:
    """Nothing in the frame tells the answers apart: same unit, same function, same length."""
    async with SerialLine(tmp_path / "tty", 115_200, {1: Bank(), 2: Bank()}, framer) as line:
        options = {"transport": framer, "timeout": TIMEOUT_S, "max_gap": 0}
        shared: dict[object, object] = {}
        late, other = on(line, unit=1, **options), on(line, unit=2, **options)
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
    async with (
        SerialLine(tmp_path / "tty", 115_200, {1: Bank()}) as line,
        Device(on(line, timeout=TIMEOUT_S, max_gap=0), points("holding:10", "holding:20")) as device,
    ):
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
    async with Device(to(server, timeout=TIMEOUT_S), of) as device:
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
    async with (
        SerialLine(tmp_path / "tty", 115_200, {1: Bank()}, framer) as line,
        Device(on(line, transport=framer, timeout=TIMEOUT_S), of) as device,
    ):
        assert await device.read() == [10, 11, 1]
        line.react = once(SPOILT[what], lambda request: request.function == 3)
        assert await device.read() == [Quality.MALFORMED, Quality.MALFORMED, 1]
        assert await device.read() == [10, 11, 1]


async def test_a_wrong_checksum_is_malformed(tmp_path: Path) -> None:
    for framer in ("rtu", "ascii"):
        flip = 0x01 if framer == "ascii" else 0x10
        async with (
            SerialLine(tmp_path / framer, 115_200, {1: Bank()}, framer) as line,
            Device(on(line, transport=framer, timeout=TIMEOUT_S), points("holding:10", "coil:1")) as device,
        ):
            assert await device.read() == [10, 1]
            spoil = Reaction(alter=lambda frame, flip=flip: frame[:6] + bytes([frame[6] ^ flip]) + frame[7:])
            line.react = once(spoil, lambda request: request.function == 3)
            assert await device.read() == [Quality.MALFORMED, 1]
            assert await device.read() == [10, 1]


BEFORE: dict[str, Callable[[Frame], bytes]] = {
    # In RTU, its last byte and the answer's first look like the head of a frame.
    "noise": lambda frame: b"\xfe\xff\x00",
    "much noise": lambda frame: b"\x01\x03\xc8" * 200,
    "a frame cut off": lambda frame: frame(1, b"\x03\x02\x00\x63", 0)[:-3],
    "an answer to another function": lambda frame: frame(1, b"\x01\x01\x00", 0),
    "an answer of another length": lambda frame: frame(1, b"\x03\x04\x00\x63\x00\x63", 0),
    "an answer of another unit": lambda frame: frame(2, b"\x03\x02\x00\x63", 0),
    "a refusal of another function": lambda frame: frame(1, b"\x81\x02", 0),
}


@pytest.mark.parametrize("what", BEFORE)
@pytest.mark.parametrize("framer", ["rtu", "ascii"])
async def test_L13_what_comes_before_an_answer_does_it_no_harm(framer: str, what: str, tmp_path: Path) -> None:
    """Without numbers, whatever is not the answer may be the end of something that was given up."""
    before = BEFORE[what](FRAMERS[framer][1])
    async with (
        SerialLine(tmp_path / "tty", 115_200, {1: Bank()}, framer) as line,
        Device(on(line, transport=framer), points("holding:10")) as device,
    ):
        line.react = once(Reaction(alter=lambda frame: before + frame))
        for _ in range(2):
            assert await device.read() == [10]


@pytest.mark.parametrize("transport", ["rtu", "ascii", "rtu-over-tcp"])
async def test_L13_the_answer_to_a_cancelled_read_answers_nothing(transport: str, tmp_path: Path) -> None:
    """It lies on the line, to the letter what the next answer would be, just when waiting for it ends."""
    framer = transport.partition("-")[0]
    line: SerialLine | NetServer
    if transport == "rtu-over-tcp":
        line = NetServer("127.0.0.1", free_port(), {1: Bank()}, framer)
        options = to(line, transport=transport, timeout=TIMEOUT_S, max_gap=0)
    else:
        line = SerialLine(tmp_path / "tty", 115_200, {1: Bank()}, framer)
        options = on(line, transport=transport, timeout=TIMEOUT_S, max_gap=0)
    asked = asyncio.Event()

    def deaf_at_first(request: Request) -> Reaction:
        reaction = HEALTHY if asked.is_set() else SILENT
        asked.set()
        return reaction

    async with line, Device(options, points("holding:10", "holding:20")) as device:
        line.react = deaf_at_first
        reading = asyncio.create_task(device.read())
        await asked.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await reopen(device)
        stale = FRAMERS[framer][1](1, b"\x03\x02\x00\x63", 0)
        asyncio.get_running_loop().call_later(TIMEOUT_S, line.say, stale)
        assert await device.read() == [10, 20]


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
    device = Device(Options(**options), points("holding:10", "coil:1", "input:5"))  # type: ignore[arg-type]
    async with line:
        await reopened(device)
        line.react = react
        for _ in range(40):
            try:
                await device.read()
            except DriverError:
                await reopened(device)
        line.react = lambda request: HEALTHY
        # A spoilt answer may have looked like a refusal, which is remembered.
        healthy = ((10, Quality.ADDRESS), (1, Quality.ADDRESS), (5, Quality.ADDRESS))
        await read_until(device, lambda got: all(value in of for value, of in zip(got, healthy, strict=True)))
        await device.driver.close()
