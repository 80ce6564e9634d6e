"""Modbus devices for tests: a bank of registers, drivers on it, servers that are not ours, a serial cable."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import tty
from collections.abc import AsyncIterator, Callable, Hashable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from drivers.contract import Context, LearnedRecord, Point, PointGroup, Samples, Unkept
from drivers.modbus import DRIVER, Options
from drivers.quality import Quality
from tests.support.ports import free_port

GOLDEN = Path(__file__).parents[1] / "testcases" / "modbus-golden" / "values.json"


class Bank:
    """Every register holds its address, every bit its parity, unless put otherwise."""

    def __init__(self, *, holes: Sequence[int] = (), largest: int = 125) -> None:
        self.identification = {0: b"Gongfu", 1: b"BANK-1", 2: b"2.0"}
        self.words: dict[int, int] = {}
        self.holes = set(holes)
        """Registers that do not exist."""
        self.borders: set[int] = set()
        """Registers that no request may reach across."""
        self.largest = largest
        self.refuse: dict[int, int] = {}
        """Function → exception code."""

    def put(self, address: int, data: bytes) -> None:
        """Put bytes as registers."""
        for number in range(0, len(data), 2):
            self.words[address + number // 2] = int.from_bytes(data[number : number + 2], "big")

    def read(self, function: int, address: int, count: int) -> bytes | int:
        """As a RegisterSource."""
        if function in self.refuse or function not in (1, 2, 3, 4):
            return self.refuse.get(function, 1)
        span = range(address, address + count)
        if function in (1, 2):
            bits = sum((place & 1) << number for number, place in enumerate(span))
            return bits.to_bytes((count + 7) // 8, "little")
        if count > self.largest:
            return 3
        if self.holes.intersection(span) or any(address < border < address + count for border in self.borders):
            return 2
        return b"".join(self.words.get(place, place).to_bytes(2, "big") for place in span)


def now_us() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


def points(*addresses: str | dict[str, Any]) -> list[Point]:
    """Points from addresses, or from a point's fields."""
    return [
        Point(index=index, name=f"p{index}", **({"address": each} if isinstance(each, str) else each))
        for index, each in enumerate(addresses)
    ]


class Device:
    """A driver, its points as one group, and what was read last."""

    def __init__(
        self,
        options: Options,
        of: Sequence[Point],
        shared: MutableMapping[Hashable, Any] | None = None,
        now: Callable[[], int] = now_us,
        learned: LearnedRecord | None = None,
    ) -> None:
        assert not DRIVER.check(options, of)
        self.group = PointGroup(tuple(of), 1.0)
        lent = {} if shared is None else shared
        context = Context(device="device", now=now, shared=lent, learned=learned or Unkept())
        self.driver: Any = DRIVER.create(options, of, context)
        self.samples: Samples = Samples.bad((), 0, Quality.BAD)

    async def __aenter__(self) -> Device:
        await self.driver.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.close()

    async def read(self) -> list[float | str | Quality]:
        """Read once; by point: the value, the text, or the quality where it is bad."""
        self.samples = samples = await self.driver.read(self.group)
        assert sorted(samples.index.tolist()) == [point.index for point in self.group.points]
        found: dict[int, float | str | Quality] = {}
        for row, index in enumerate(samples.index.tolist()):
            quality = Quality(samples.quality[row])
            assert samples.time[row] > 0
            if quality.level == "bad":
                assert samples.value[row] != samples.value[row]
                assert row not in samples.text
                found[index] = quality
            else:
                found[index] = samples.text[row] if row in samples.text else float(samples.value[row])
        return [found[index] for index in sorted(found)]

    @property
    def faults(self) -> list[str]:
        """What was wrong with some points."""
        return [str(fault) for fault in self.samples.faults]


def golden() -> list[dict[str, Any]]:
    """The golden cases."""
    cases: list[dict[str, Any]] = json.loads(GOLDEN.read_text("utf-8"))
    return cases


def golden_points(cases: Sequence[dict[str, Any]], start: int = 0) -> tuple[list[Point], bytes]:
    """A point for each case, laid out one behind the other from ``start``, and the registers that hold them."""
    found, data = [], b""
    for index, case in enumerate(cases):
        bit = f".{case['bit']}" if "bit" in case else ""
        keys = {key: case[key] for key in ("type", "order", "length", "scale", "offset") if key in case}
        invalid = tuple(float(value) for value in case.get("invalid", ()))
        address = f"holding:{start + len(data) // 2}{bit}"
        found.append(Point(index=index, name=f"p{index}", address=address, invalid=invalid, **keys))
        data += bytes.fromhex(case["wire"])
    return found, data


def expected(case: dict[str, Any]) -> float | str | Quality:
    """What :meth:`Device.read` gives for a golden case."""
    quality = Quality[case.get("quality", "good").upper()]
    if quality.level == "bad":
        return quality
    return case["text"] if "text" in case else float(case["value"])


@contextlib.asynccontextmanager
async def foreign_server(transport: str, folder: Path, registers: bytes) -> AsyncIterator[Options]:
    """pymodbus's own server, as one that is not ours, with the registers in both tables; options to reach it."""
    from pymodbus import FramerType
    from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    words = [int.from_bytes(registers[at : at + 2], "big") for at in range(0, len(registers), 2)]

    def table() -> list[SimData]:
        return [SimData(0, values=words, datatype=DataType.REGISTERS)]

    def bits() -> list[SimData]:
        return [SimData(0, values=[bool(number & 1) for number in range(64)], datatype=DataType.BITS)]

    device = SimDevice(1, simdata=(bits(), bits(), table(), table()))
    async with contextlib.AsyncExitStack() as stack:
        if transport in ("rtu", "ascii"):
            here, there = await stack.enter_async_context(cable(folder))
            server: Any = ModbusSerialServer(device, framer=FramerType(transport), port=str(there), baudrate=115_200)
            options = Options(transport=transport, port=str(here), baudrate=115_200, timeout="30s")
        else:
            port = free_port()
            kind: Any = ModbusUdpServer if transport == "udp" else ModbusTcpServer
            framer = FramerType.RTU if transport == "rtu-over-tcp" else FramerType.SOCKET
            server = kind(device, framer=framer, address=("127.0.0.1", port))
            options = Options(transport=transport, host="127.0.0.1", port=port, timeout="30s")
        await server.serve_forever(background=True)
        stack.push_async_callback(server.shutdown)
        yield options


@contextlib.asynccontextmanager
async def cable(folder: Path) -> AsyncIterator[tuple[Path, Path]]:
    """A serial cable: two ports, and what is written to one comes out of the other."""
    loop, ends = asyncio.get_running_loop(), [os.openpty(), os.openpty()]
    names = []
    for number, (master, slave) in enumerate(ends):
        tty.setraw(slave)
        other = ends[1 - number][0]
        loop.add_reader(master, lambda master=master, other=other: os.write(other, os.read(master, 4096)))
        names.append(folder / f"tty{number}")
        names[-1].symlink_to(os.ttyname(slave))
    try:
        yield names[0], names[1]
    finally:
        for master, slave in ends:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)
