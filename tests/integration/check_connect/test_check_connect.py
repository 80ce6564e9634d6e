"""``gongfu-edge check --connect`` as an operator types it."""

from __future__ import annotations

import asyncio
import struct
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
    head, value, _, fault = block(done.stdout, "wrong")
    assert value.split() == ["t0", "1"]
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


def floats(*values: float) -> Bank:
    """Big-endian float32 values in the holding registers from 100 on."""
    bank = Bank()
    bank.put(100, struct.pack(f">{len(values)}f", *values))
    return bank


async def test_n6_a_device_without_tags_is_asked_once_and_said_to_be_untested(tmp_path: Path) -> None:
    async with NetServer("127.0.0.1", free_port(), {1: Bank()}) as server:
        connection = f'{{ host = "127.0.0.1", port = {server.port}, unit = %d, timeout = "300ms" }}'
        devices = [
            f'[[device]]\nname = "u{unit}"\ndriver = "modbus"\nconnection = {connection % unit}\n' for unit in (1, 9)
        ]
        done = await check(write_config(tmp_path, "".join(devices)), "--connect")
    assert done.returncode == 1, done.stdout
    right, wrong = block(done.stdout, "u1"), block(done.stdout, "u9")
    assert right[0].startswith("u1 (modbus): ok, 0 of 0 tags")
    assert "no tags: nothing was tested" in right[1]
    assert wrong[0].startswith("u9 (modbus): failed")
    assert "unit" in wrong[-1]


async def test_n7_values_are_shown_and_absurd_ones_with_what_other_orders_would_give(tmp_path: Path) -> None:
    async with NetServer("127.0.0.1", free_port(), {1: floats(230.1, 49.98)}) as server:
        tags = (
            '{ name = "right", address = "holding:100", type = "float32", unit = "V" },'
            '{ name = "wrong", address = "holding:102", type = "float32", order = "CDAB", unit = "Hz" }'
        )
        connection = f'{{ host = "127.0.0.1", port = {server.port} }}'
        text = f'[[device]]\nname = "m"\ndriver = "modbus"\nconnection = {connection}\ntag = [{tags}]\n'
        done = await check(write_config(tmp_path, text), "--connect")
    lines = block(done.stdout, "m")
    assert any(line.split() == ["right", "230.1", "V"] for line in lines), done.stdout
    (doubt,) = [line for line in lines if "can hardly be" in line]
    assert doubt.split()[0] == "wrong"
    assert "another order? ABCD 49.98" in doubt
    assert done.returncode == 1


async def test_n7_what_other_orders_give_is_left_out_where_numbers_are_sound(tmp_path: Path) -> None:
    async with NetServer("127.0.0.1", free_port(), {1: floats(0.0, -1.5)}) as server:
        tags = ", ".join(f'{{ name = "t{at}", address = "holding:{at}", type = "float32" }}' for at in (100, 102))
        connection = f'{{ host = "127.0.0.1", port = {server.port} }}'
        text = f'[[device]]\nname = "m"\ndriver = "modbus"\nconnection = {connection}\ntag = [{tags}]\n'
        done = await check(write_config(tmp_path, text), "--connect")
    assert done.returncode == 0, done.stdout
    assert "order" not in "\n".join(block(done.stdout, "m"))
