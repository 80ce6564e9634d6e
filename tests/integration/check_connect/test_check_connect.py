"""``gongfu-edge check --connect`` as an operator types it."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from scripts.sandbox.modbus_net import NetServer
from tests.support.agents import gongfu_edge, running, wait_until_running, write_config
from tests.support.modbus_devices import Bank
from tests.support.ports import free_port


def modbus(name: str, port: int, *addresses: str) -> str:
    tags = ", ".join(f'{{ name = "t{number}", address = "{each}" }}' for number, each in enumerate(addresses))
    connection = f'{{ host = "127.0.0.1", port = {port}, timeout = "500ms" }}'
    return f'[[device]]\nname = "{name}"\ndriver = "modbus"\nconnection = {connection}\ntag = [{tags}]\n'


async def check(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(gongfu_edge, "check", "--config", str(config), *arguments)


def block(output: str, device: str) -> list[str]:
    """The lines about a device."""
    (found,) = [part for part in output.split("\n\n") if part.startswith(f"{device} (")]
    return found.splitlines()


async def test_devices_that_are_well_wrong_and_away(tmp_path: Path) -> None:
    async with NetServer("127.0.0.1", free_port(), {1: Bank(holes=[7])}) as server:
        devices = modbus("well", server.port, "holding:1", "coil:2") + modbus(
            "wrong", server.port, "holding:1", "holding:7"
        )
        config = write_config(tmp_path, devices + modbus("away", free_port(), "holding:1"))
        done = await check(config, "--connect")
        only = await check(config, "--connect", "well")
    assert done.returncode == 1, done.stderr
    assert block(done.stdout, "well")[0].startswith("well (modbus): ok, 2 of 2 tags")
    head, _, fault = block(done.stdout, "wrong")
    assert "1 of 2 tags" in head
    assert fault.split()[0] == "t1"
    assert "holding:7" in fault
    assert "manual" in fault
    assert "check the port" in block(done.stdout, "away")[-1]
    assert done.stdout.splitlines()[-1] == "3 devices: 1 ok, 2 with something to mend"
    assert only.returncode == 0, only.stdout
    assert "wrong (" not in only.stdout


async def test_usage(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    assert (await check(config, "--trust")).returncode == 2
    assert (await check(config, "--connect", "--within", "soon")).returncode == 2
    unknown = await check(config, "--connect", "sin")
    assert unknown.returncode == 1
    assert "did you mean 'sim'?" in unknown.stderr
    assert (await check(config, "--connect")).returncode == 0


async def test_it_works_beside_the_running_agent_even_where_that_holds_the_only_connection(tmp_path: Path) -> None:
    console = free_port()
    async with NetServer("127.0.0.1", free_port(), {1: Bank()}) as server:
        devices = modbus("plc", server.port, "holding:1")
        config = write_config(tmp_path, devices)
        text = config.read_text("utf-8").replace('listen = ""', f'listen = "127.0.0.1:{console}"')
        config.write_text(text, "utf-8")
        with running(config):
            await asyncio.to_thread(wait_until_running, console)
            beside = await check(config, "--connect")
            await server.refuse()
            refused = await check(config, "--connect")
    assert beside.returncode == 0, beside.stdout
    assert block(beside.stdout, "plc")[0].startswith("plc (modbus): ok, 1 of 1 tags")
    assert refused.returncode == 0, refused.stdout
    assert "running agent" in block(refused.stdout, "plc")[1]
