"""What drivers/README.md shows is true: its driver, installed as it says, keeps the contract."""

from __future__ import annotations

import ast
import asyncio
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from drivers import registry
from drivers.conformance import CHECKS, Check, check_name
from drivers.contract import Context, DriverType, Point, PointGroup
from drivers.quality import Quality
from tests.support.plant_install import install

README = Path(__file__).parents[3] / "drivers" / "README.md"
ANSWERS = {"READ?": "ST,GS,+12.5 kg", "TEMP?": "-3e1", "ID?": "SCALE-7", "FAULT?": "--", "EMPTY?": ""}
POINTS = [
    Point(index=0, name="net", address="READ?", scale=2.0),
    Point(index=1, name="temp", address="TEMP?"),
    Point(index=2, name="id", address="ID?", type="string"),
    Point(index=3, name="fault", address="FAULT?"),
    Point(index=4, name="empty", address="EMPTY?"),
]


def block(language: str, containing: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.S | re.M)
    (chosen,) = [each for each in found if containing in each]
    return str(chosen)


SOURCE = block("python", "class LineDriver")


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DriverType]:
    """The driver of the README, found through the entry point that the README declares."""
    declared = tomllib.loads(block("toml", "entry-points"))["project"]["entry-points"]["gongfu_edge.drivers"]
    ((name, value),) = declared.items()
    module = value.partition(":")[0]
    install(tmp_path, "gongfu-edge-line", {module: SOURCE}, {name: value})
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._third_parties.cache_clear()
    yield registry.load(name)
    registry._third_parties.cache_clear()
    del sys.modules[module]


class Instrument:
    """A device that answers lines, on a port that stays its own."""

    bound_s = 5.0

    def __init__(self, driver: DriverType) -> None:
        self.type = driver
        self.points = POINTS
        self.server: asyncio.Server | None = None
        self.port = 0
        self.connections: set[asyncio.StreamWriter] = set()
        self.asked: list[str] = []

    @property
    def options(self) -> msgspec.Struct:
        return msgspec.convert({"host": "127.0.0.1", "port": self.port or 9}, self.type.options)

    async def plug(self) -> None:
        if self.server is None:
            self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True)
            self.port = self.server.sockets[0].getsockname()[1]

    async def unplug(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in self.connections:
                writer.transport.abort()
            self.server = None

    def writes(self) -> Sequence[object]:
        return [line for line in self.asked if line not in ANSWERS]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while line := await reader.readline():
                self.asked.append(line.decode().strip())
                writer.write(ANSWERS.get(self.asked[-1], "?").encode() + b"\r\n")
        except ConnectionError:
            pass
        finally:
            self.connections.discard(writer)
            writer.transport.abort()


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
async def test_readme_driver_conforms(check: Check, driver: DriverType) -> None:
    await check(Instrument(driver))


async def test_readme_driver_reads_numbers_and_text(driver: DriverType) -> None:
    instrument = Instrument(driver)
    await instrument.plug()
    reading = driver.create(instrument.options, POINTS, Context(device="scale", now=lambda: 1_000_000))
    await reading.open()
    samples = await reading.read(PointGroup(tuple(POINTS), 1.0))
    await reading.close()
    await instrument.unplug()
    assert samples.value[:2].tolist() == [25.0, -30.0]
    assert samples.text == {2: "SCALE-7"}
    assert samples.quality.tolist() == [Quality.GOOD] * 3 + [Quality.DECODE] * 2


def test_readme_driver_is_forty_lines_and_needs_no_numpy() -> None:
    assert len(SOURCE.splitlines()) <= 40
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported == {"asyncio", "re", "msgspec", "drivers.contract"}


def test_readme_configuration_fits_the_driver(driver: DriverType) -> None:
    (device,) = tomllib.loads(block("toml", "[[device]]"))["device"]
    assert device["driver"] == driver.name
    msgspec.convert(device["connection"], driver.options)
