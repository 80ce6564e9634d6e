"""The Modbus driver keeps the contract on every transport that can be had here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from drivers.conformance import CHECKS, Check, check_name
from drivers.contract import Point
from drivers.registry import load
from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.plant import Plant
from scripts.sandbox.serial_line import SerialLine
from tests.support.ports import free_port

READS = frozenset({1, 2, 3, 4, 0x2B})
POINTS = [
    Point(index=0, name="state", address="holding:0", type="uint16"),
    Point(index=1, name="total", address="holding:2", type="uint32"),
    Point(index=2, name="pressure", address="holding:9", type="int16", scale=0.1),
    Point(index=3, name="oil_temp", address="holding:10", type="float32", order="CDAB"),
    Point(index=4, name="hole", address="holding:15", type="uint16"),
    Point(index=5, name="serial", address="holding:20", type="string", length=16),
    Point(index=6, name="running", address="discrete:0", type="bool"),
    Point(index=7, name="guard_open", address="holding:1.1", type="bool"),
]


class Plugged:
    """What the harnesses have in common: a server that can be taken away."""

    bound_s = 15.0
    points = POINTS
    server: NetServer | SerialLine
    connection: dict[str, object]
    plugged = False

    def __init__(self) -> None:
        self.type = load("modbus")

    @property
    def options(self) -> msgspec.Struct:
        return msgspec.convert(self.connection, self.type.options)

    async def plug(self) -> None:
        if not self.plugged:
            await self.server.start()
            self.plugged = True

    async def unplug(self) -> None:
        self.plugged = False
        await self.server.stop()

    def writes(self) -> Sequence[object]:
        return [request for request in self.server.requests if request.function not in READS]


class OnTheNetwork(Plugged):
    """The simulated press behind an address, over TCP or UDP."""

    def __init__(self, transport: str, framer: str) -> None:
        super().__init__()
        port = free_port()
        self.server = NetServer("127.0.0.1", port, Plant().net_units, framer=framer, udp=transport == "udp")
        self.connection = {"transport": transport, "host": "127.0.0.1", "port": port, "unit": 1, "timeout": "500ms"}


class OnASerialLine(Plugged):
    """The same press on a pseudo-terminal; unplugged, the terminal is gone."""

    def __init__(self, folder: Path, framer: str) -> None:
        super().__init__()
        self.server = SerialLine(folder / "tty", 115_200, Plant().net_units, framer)
        self.connection = {"transport": framer, "port": str(self.server.link), "baudrate": 115_200, "unit": 1}
        self.connection["timeout"] = "500ms"


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
@pytest.mark.parametrize(
    ("transport", "framer"), [("tcp", "tcp"), ("udp", "tcp"), ("rtu-over-tcp", "rtu")], ids=lambda value: str(value)
)
async def test_modbus_conforms_on_the_network(check: Check, transport: str, framer: str) -> None:
    await check(OnTheNetwork(transport, framer))


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
@pytest.mark.parametrize("framer", ["rtu", "ascii"])
async def test_modbus_conforms_on_a_serial_line(check: Check, framer: str, tmp_path: Path) -> None:
    await check(OnASerialLine(tmp_path, framer))
