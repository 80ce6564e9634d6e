"""Values that are right only together with others, or in wider registers; named after the reports they come from."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from drivers.modbus import DRIVER, Options
from drivers.quality import Quality
from scripts.sandbox.modbus_frames import HEALTHY, Reaction, Request
from scripts.sandbox.modbus_net import NetServer
from tests.support.modbus_devices import Bank, Device, points
from tests.support.modbus_faults import TIMEOUT_S, to, whole_failure

INVALID = Quality.INVALID


def scaled(address: str = "holding:40083", by: str = "holding:40084", **keys: Any) -> dict[str, Any]:
    return {"address": address, "type": "int16", "scale_register": by} | keys


async def test_f2_the_scale_is_read_with_the_value(server: NetServer, bank: Bank) -> None:
    async with Device(to(server), points(scaled())) as device:
        bank.words = {40083: 6553, 40084: 0xFFFF}
        assert await device.read() == [655.3]
        bank.words = {40083: 655, 40084: 0}
        assert await device.read() == [655]
        assert {(request.address, request.count) for request in server.requests} == {(40083, 2)}


@pytest.mark.parametrize("factor", [11, 100, 32767, 0x8000, 0xFFF5, 0x8001])
async def test_f2_an_absurd_scale_makes_the_value_bad(server: NetServer, bank: Bank, factor: int) -> None:
    bank.words = {40083: 6553, 40084: factor}
    async with Device(to(server), points(scaled(), "holding:40083")) as device:
        assert await device.read() == [INVALID, 6553]
        [fault] = device.samples.faults
        assert (fault.points, "holding:40084" in str(fault)) == ((0,), True)
        assert "scale_register" in fault.remedy
        bank.words[40084] = 1
        assert await device.read() == [65530, 6553]
        assert device.faults == []


async def test_f2_a_missing_scale_makes_the_value_bad(server: NetServer, bank: Bank) -> None:
    bank.holes = {40084}
    async with Device(to(server), points(scaled(), "holding:40080", "holding:40090")) as device:
        for _ in range(2):
            assert await device.read() == [Quality.ADDRESS, 40080, 40090]


async def test_f2_scale_with_everything_else(server: NetServer, bank: Bank) -> None:
    """Several values and elements under one scale, before or behind it, with scale, offset, invalid and texts."""
    bank.words = {9: 0xFFFE, 10: 1234, 11: 0x8000, 12: 7, 20: 0x4142}
    of = points(
        scaled("holding:10", "holding:9", scale=2.0, offset=5.0),
        scaled("holding:11", "holding:9", invalid=(-32768.0,)),
        {"address": "holding:20", "type": "string", "length": 2},
        scaled("holding:12", "holding:9"),
        {"address": "holding:12", "type": "uint16"},
    )
    async with Device(to(server), of) as device:
        assert await device.read() == [29.68, INVALID, "AB", 0.07, 7]
        assert device.driver.observations()["requests"] == 1


async def test_f2_ratios_in_registers_multiply(server: NetServer, bank: Bank) -> None:
    bank.words = {6: 33, 7: 10, 0x2000: 5}
    far = {"address": "holding:0x2000", "type": "uint16", "scale": 0.1}
    of = points(far | {"factors": ("holding:0x0006",)}, far | {"factors": ("holding:6", "holding:7")}, far, "holding:6")
    async with Device(to(server), of) as device:
        assert await device.read() == pytest.approx([16.5, 165.0, 0.5, 33.0])
        bank.words[6] = 0
        assert await device.read() == [INVALID, INVALID, 0.5, 0]
        bank.holes = {7}
        bank.words[6] = 33
        for _ in range(3):
            got = await device.read()
        assert got == [16.5, INVALID, 0.5, 33]


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        (scaled(by="input:40084"), "scale_register"),
        (scaled(by="holding:41000"), "scale_register"),
        (scaled(by="nonsense"), "scale_register"),
        (scaled(type="bool"), "scale_register"),
        (scaled(block="holding:40080+4"), "scale_register"),
        ({"address": "holding:1", "factors": ("x",)}, "ct_ratio"),
        ({"address": "holding:40328", "block": "holding:40300+10"}, "block"),
        ({"address": "holding:40328", "block": "input:40327+10"}, "block"),
        ({"address": "holding:40328", "block": "holding:40327+0"}, "block"),
        ({"address": "holding:40328", "block": "holding:40327+200"}, "block"),
        ({"address": "holding:40328", "block": "holding:40327"}, "block"),
        ({"address": "holding:65535", "block": "holding:65530+10"}, "block"),
    ],
)
def test_f2_f5_what_cannot_be_is_said(keys: dict[str, Any], field: str) -> None:
    [problem] = DRIVER.check(Options(host="plc"), points(keys))
    assert problem.field == field
    assert problem.message
    assert problem.remedy


def whole_only(request: Request) -> Reaction:
    """A device that is right only when its documented block is read as a whole."""
    span = range(request.address, request.address + request.count)
    if (request.address, request.count) == (40327, 10) or not set(span) & set(range(40327, 40337)):
        return HEALTHY
    return Reaction(pdu=bytes([3, 2 * request.count]) + b"\xff\xff" * request.count)


@pytest.mark.parametrize("block", ["holding:40327+10", "40327+10", "holding : 0x9D87 + 10"])
async def test_f5_a_block_is_read_as_a_whole_and_alone(server: NetServer, bank: Bank, block: str) -> None:
    server.react = whole_only
    inside = {"type": "uint32", "block": block}
    of = points(
        {"address": "holding:40328"} | inside, {"address": "holding:40330"} | inside, "holding:40326", "holding:40337"
    )
    async with Device(to(server), of) as device:
        right = [40328 << 16 | 40329, 40330 << 16 | 40331, 40326, 40337]
        for _ in range(2):
            assert await device.read() == right
        bank.holes = {40337}
        for _ in range(3):
            got = await device.read()
        assert got == [*right[:3], Quality.ADDRESS]


async def test_f5_a_block_that_is_refused_is_a_hole_as_a_whole(server: NetServer, bank: Bank) -> None:
    bank.holes = {40336}
    of = points({"address": "holding:40328", "block": "holding:40327+10"}, "holding:40326")
    async with Device(to(server), of) as device:
        for _ in range(2):
            assert await device.read() == [Quality.ADDRESS, 40326]
        assert all(count in (1, 10) for count in (request.count for request in server.requests))


class Wide(Bank):
    """32 bits behind every register address."""

    def read(self, function: int, address: int, count: int) -> bytes | int:
        if function not in (3, 4):
            return super().read(function, address, count)
        if count > 62:
            return 3
        return b"".join(self.words.get(at, at).to_bytes(4, "big") for at in range(address, address + count))


async def test_f22_32_bits_behind_one_address() -> None:
    bank = Wide()
    bank.words = {5: struct.unpack(">I", struct.pack(">f", 1.5))[0], 6: 0xFFFFFFFE, 7: 0x41424344}
    of = points(
        {"address": "holding:5", "type": "float32"},
        {"address": "holding:6", "type": "int32"},
        {"address": "holding:7", "type": "string", "length": 4},
        {"address": "holding:6", "type": "int16"},
        "holding:8.3",
        {"address": "holding:1", "type": "uint64"},
        {"address": "holding:9", "type": "uint32", "order": "CDAB"},
        {"address": "holding:100", "type": "uint32", "element": 0},
        {"address": "holding:100", "type": "uint32", "element": 99},
        scaled("holding:10", "holding:11"),
    )
    async with NetServer("127.0.0.1", 0, {1: bank}) as server:
        bank.words[11] = 0xFFFFFFFF
        async with Device(to(server, register_bits=32), of) as device:
            assert await device.read() == [
                1.5, -2, "ABCD", -2, 1, 1 << 32 | 2, 9 << 16, 100, 199, 1,
            ]  # fmt: skip


@pytest.mark.parametrize("transport", ["tcp", "rtu-over-tcp"])
async def test_f22_the_remedy_names_the_option(transport: str) -> None:
    async with NetServer("127.0.0.1", 0, {1: Wide()}, "tcp" if transport == "tcp" else "rtu") as server:
        async with Device(to(server, transport=transport, timeout=TIMEOUT_S), points("holding:5")) as device:
            error = await whole_failure(device)
            assert error.quality is Quality.MALFORMED
            assert "register_bits = 32" in error.remedy
        async with Device(to(server, transport=transport, timeout=TIMEOUT_S), points("holding:5", "coil:1")) as device:
            assert await device.read() == [Quality.MALFORMED, 1]
            assert "register_bits = 32" in device.samples.faults[0].remedy
