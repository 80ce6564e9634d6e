"""``check --connect``, ``--trust`` and ``browse`` with OPC UA servers, as an operator types them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from asyncua import Server, ua

from tests.support.agents import gongfu_edge, running, wait_until_running, write_config
from tests.support.opcua_hostile import Hostile, Raw
from tests.support.opcua_secure import Pair, Users, serving
from tests.support.ports import free_port

P = ua.SecurityPolicyType
SECURE = (P.Basic256Sha256_SignAndEncrypt,)
URI = "urn:maker:cnc"


async def build(server: Server) -> None:
    own = await server.register_namespace(URI)
    machine = await server.nodes.objects.add_object(ua.NodeId("CNC", own), ua.QualifiedName("CNC", own))
    for name, value in (("Spindle.Load", 12.5), ("Program", "O1021")):
        await machine.add_variable(ua.NodeId(name, own), ua.QualifiedName(name, own), value)


def config(folder: Path, url: str, *tags: str, **connection: str) -> Path:
    keys = ", ".join(f'{key} = "{value}"' for key, value in {"url": url, **connection}.items())
    listed = ", ".join(tags) or f'{{ name = "load", address = "nsu={URI};s=Spindle.Load" }}'
    return write_config(
        folder, f'[[device]]\nname = "cnc-1"\ndriver = "opcua"\nconnection = {{ {keys} }}\ntag = [{listed}]\n'
    )


async def run(command: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(gongfu_edge, command, "--config", str(path), *arguments)


async def check(path: Path, *arguments: str) -> tuple[int, str]:
    done = await run("check", path, "--connect", *arguments)
    assert "Traceback" not in done.stderr
    assert not done.stderr, "nothing but the report"
    return done.returncode, done.stdout.partition("the configuration is valid")[2]


async def test_a_certificate_is_trusted_by_the_operator_and_refused_when_it_changes(tmp_path: Path) -> None:
    old, new = Pair.make(), Pair.make()
    async with serving(SECURE, old) as (server, url):
        await build(server)
        path = config(tmp_path, url)
        code, said = await check(path)
        assert code == 1
        assert "not trusted yet" in said
        assert "gongfu-edge check --connect --trust cnc-1" in said
        code, said = await check(path, "--trust", "cnc-1")
        assert code == 0, said
        assert "trusted from now on" in said
        read = await run("read", path, "cnc-1")
        assert (read.returncode, read.stdout.split()[4:6]) == (0, ["load", "12.5"]), read.stderr
        assert (await check(path))[0] == 0
    kept = tmp_path / "data" / "drivers" / "opcua"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert all(each.stat().st_mode & 0o077 == 0 for each in kept.rglob("*"))
    async with serving(SECURE, new, port=server.endpoint.port) as (server, _):
        await build(server)
        code, said = await check(path)
        assert code == 1
        assert "has changed" in said
        assert "--trust" in said


async def test_a_running_agent_reads_a_trusted_server_and_is_not_disturbed(tmp_path: Path) -> None:
    console = free_port()
    async with serving(SECURE, Pair.make(), users=Users()) as (server, url):
        await build(server)
        path = config(tmp_path, url, username="operator", password="s3cret")
        path.write_text(path.read_text("utf-8").replace('listen = ""', f'listen = "127.0.0.1:{console}"'), "utf-8")
        assert (await check(path, "--trust"))[0] == 0
        with running(path) as agent:
            await asyncio.to_thread(wait_until_running, console)
            code, said = await check(path)
            status = json.loads((await run("status", path, "--json")).stdout)
            agent.terminate()  # so that it closes its session
            assert await asyncio.to_thread(agent.wait, 60) == 0
    assert code == 0, said
    assert "ok, 1 of 1 tags" in said
    (device,) = status["devices"]
    assert (device["state"], device["reconnects"]) == ("running", 0)


async def test_each_way_to_fail_says_how_to_mend_it(tmp_path: Path) -> None:
    async with serving((P.NoSecurity,), None, users=Users()) as (server, url):
        await build(server)
        assert 'security = "none"' in (await check(config(tmp_path, url)))[1]
        assert "does not offer" in (await check(config(tmp_path, url, security="Basic256Sha256")))[1]
    async with serving(SECURE, Pair.make(), users=Users()) as (server, url):
        await build(server)
        wrong = config(tmp_path, url, username="operator", password="wrong")
        code, said = await check(wrong, "--trust")
        assert code == 1
        assert "wrong user name or password" in said
        assert '"auto"' in (await check(config(tmp_path, url, security="none")))[1]
    assert "check the port" in (await check(config(tmp_path, f"opc.tcp://127.0.0.1:{free_port()}")))[1]


async def test_unknown_nodes_and_wrong_types_are_told_by_tag(tmp_path: Path) -> None:
    async with serving((P.NoSecurity,), None) as (server, url):
        await build(server)
        tags = (
            f'{{ name = "good", address = "nsu={URI};s=Spindle.Load" }}',
            f'{{ name = "misspelt", address = "nsu={URI};s=Spindle.Laod" }}',
            '{ name = "path", address = "/Objects/2:CNC/2:Programm" }',
            f'{{ name = "typed", address = "nsu={URI};s=Program", type = "float32" }}',
        )
        code, said = await check(config(tmp_path, url, *tags, security="none"))
    assert code == 1
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "1 of 4 tags" in lines["cnc-1"]
    assert f'did you mean "nsu={URI};s=Spindle.Load"?' in lines["misspelt"]
    assert f'did you mean "nsu={URI};s=Program"?' in lines["path"]
    assert "float32" in lines["typed"]
    assert lines["good"].split() == ["good", "12.5"]


async def test_browse_prints_a_tree_and_entries_that_the_configuration_takes(tmp_path: Path) -> None:
    async with serving((P.NoSecurity,), None) as (server, url):
        await build(server)
        path = config(tmp_path, url, security="none")
        tree = await run("browse", path, "cnc-1", "CNC")
        entries = await run("browse", path, "cnc-1", "--toml")
        nothing = await run("browse", path, "cnc-1", "/Objects/CNX")
        unknown = await run("browse", path, "cnc1")
        loaded = tomllib.loads("[[device]]\n" + entries.stdout)["device"][0]["tag"]
        listed = tuple(
            f'{{ name = "{tag["name"]}", address = "{tag["address"]}", type = "{tag["type"]}" }}' for tag in loaded
        )
        code, said = await check(config(tmp_path, url, *listed, security="none"))
    assert tree.stdout.splitlines()[1].startswith("CNC ")
    assert "12.5" in tree.stdout
    assert not tree.stderr
    assert {tag["address"] for tag in loaded} >= {f"nsu={URI};s=Spindle.Load", f"nsu={URI};s=Program"}
    assert code == 0, said
    assert nothing.returncode == 1
    assert '"2:CNC"' in nothing.stderr
    assert unknown.returncode == 1
    assert "did you mean 'cnc-1'?" in unknown.stderr


async def test_a_device_that_cannot_be_browsed_says_so(tmp_path: Path) -> None:
    device = '[[device]]\nname = "m"\ndriver = "modbus"\nconnection = { host = "127.0.0.1" }\n'
    path = write_config(tmp_path, device + 'tag = [{ name = "t", address = "holding:1" }]\n')
    done = await run("browse", path, "m")
    assert done.returncode == 1
    assert "cannot be browsed" in done.stderr
    assert "gongfu-edge read m" in done.stderr


@pytest.mark.parametrize("arguments", [("--depth", "0"), ("--limit", "0"), ("--depth", "x")])
async def test_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert (await run("browse", write_config(tmp_path), "sim", *arguments)).returncode == 2


async def test_n6_a_device_without_tags_is_reached_and_said_to_be_untested(tmp_path: Path) -> None:
    async with serving((P.NoSecurity,), None) as (server, url):
        await build(server)
        path = config(tmp_path, url, security="none")
        path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("tag = ")))
        code, said = await check(path)
    assert code == 0, said
    assert "no tags: nothing was tested" in said


@pytest.mark.parametrize("command", ["read", "browse", "check"])
async def test_n1_no_command_shows_a_traceback_for_what_a_device_does(tmp_path: Path, command: str) -> None:
    """A server whose every value is garbage, and one that is none."""
    for answers in ({"Read": lambda _: b"\x01\x00\x7a\x02garbage"}, {"Hello": lambda _: Raw(b"\x1b[2Jhello\n" * 9)}):
        async with Hostile(**answers) as server:
            path = config(tmp_path, server.url, security="none")
            done = await run(command, path, "--connect" if command == "check" else "cnc-1")
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert "Traceback" not in said
        assert "update the server" in said
        assert "\x1b" not in said
