"""``gongfu-edge read`` where the running agent holds the serial port, or a PLC's only connection (N9)."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.sandbox.serial_line import SerialLine
from tests.support.agents import gongfu_edge, running, wait_until_running, write_config
from tests.support.modbus_devices import Bank
from tests.support.ports import free_port

TAGS = 'tag = [{ name = "seven", address = "holding:7" }, { name = "eight", address = "holding:8", unit = "bar" }]'


def device(name: str, port: Path, unit: int) -> str:
    connection = f'{{ transport = "rtu", port = "{port}", baudrate = 115200, unit = {unit}, timeout = "300ms" }}'
    return f'[[device]]\nname = "{name}"\ndriver = "modbus"\ninterval = "50ms"\nconnection = {connection}\n{TAGS}\n'


@dataclass
class Shop:
    config: Path
    line: SerialLine
    listen: int

    async def read(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(gongfu_edge, "read", *arguments, "--config", str(self.config))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    listen = free_port()
    async with SerialLine(tmp_path / "ttyUSB0", 0, {1: Bank()}) as line:
        config = write_config(tmp_path, device("press", line.link, 1) + device("away", line.link, 2))
        config.write_text(config.read_text().replace('listen = ""', f'listen = "127.0.0.1:{listen}"'))
        yield Shop(config, line, listen)


@asynccontextmanager
async def agent(shop: Shop) -> AsyncIterator[None]:
    with running(shop.config):
        await asyncio.to_thread(wait_until_running, shop.listen, 2)
        yield


async def test_n9_the_running_agent_is_asked_for_what_it_holds(shop: Shop) -> None:
    async with agent(shop):
        done = await shop.read("press")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        how, _, *rows = done.stdout.splitlines()
        assert how.startswith("press: read by the running agent") and " s ago" in how
        assert [row.split() for row in rows if "good" in row] == [["seven", "7", "good"], ["eight", "8", "bar", "good"]]
        one = await shop.read("press", "eight")
        assert "seven" not in one.stdout and "eight" in one.stdout


async def test_n9_a_device_that_the_agent_cannot_read_either_is_said_in_its_words(shop: Shop) -> None:
    async with agent(shop):
        done = await shop.read("away")
    assert done.returncode == 1 and done.stdout == ""
    assert "the running agent holds the port, and says: " in done.stderr and "another program" not in done.stderr


async def test_n9_values_of_another_configuration_are_not_given_for_those_of_the_file(shop: Shop) -> None:
    async with agent(shop):
        text = shop.config.read_text()
        # What was edited elsewhere does not matter to this device.
        shop.config.write_text(text.replace('period = "5s"', 'period = "10s"'))
        assert (await shop.read("press")).returncode == 0
        shop.config.write_text(text.replace("holding:7", "holding:9") + device("new", shop.line.link, 1))
        for name in ("press", "new"):
            done = await shop.read(name)
            assert done.returncode == 1 and done.stdout == "", name
            assert "by another configuration" in done.stderr and "gongfu-edge reload" in done.stderr


async def test_n9_another_program_is_still_another_program(shop: Shop) -> None:
    with shop.line.link.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = await shop.read("press")
    assert done.returncode == 1 and "in use by another program" in done.stderr and "fuser" in done.stderr


async def test_n9_check_names_the_running_agent_too(shop: Shop) -> None:
    async with agent(shop):
        command = ("check", "--connect", "--config", str(shop.config))
        done = await asyncio.to_thread(gongfu_edge, *command)
    assert done.returncode == 1
    assert "press (modbus): ok" in done.stdout and "away (modbus): failed" in done.stdout
    assert "the running agent holds the port, and says: " in done.stdout and "fuser" not in done.stdout
