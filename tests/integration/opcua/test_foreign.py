"""The same against a server that shares no line with our client's library: node-opcua's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drivers.quality import Quality
from tests.support.agents import gongfu_edge
from tests.support.opcua_cut import Cut
from tests.support.opcua_devices import RETURN_S, configuration, until, watched
from tests.support.opcua_node import NodeServer, node_server
from tests.support.opcua_servers import LAB, OTHER, tag

MODES = pytest.mark.parametrize("mode", ["subscribe", "poll"])
SERVED = {
    "flag": ("Boolean", True, 1.0),
    "int32": ("Int32", -12, -12.0),
    "uint32": ("UInt32", 4294967284, 4294967284.0),
    "int64": ("Int64", "-9007199254740992", -(2.0**53)),
    "float64": ("Double", 0.1, 0.1),
    "text": ("String", "铣床", "铣床"),
    "when": ("DateTime", "2026-01-02T03:04:05.678Z", 1767323045.678),
}
DOUBLES = [{"name": name, "type": "Double", "value": 1.0} for name in ("a", "b")]


@MODES
async def test_L14_types_and_arrays(mode: str) -> None:
    nodes = [{"name": name, "type": kind, "value": value} for name, (kind, value, _) in SERVED.items()]
    nodes.append({"name": "axes", "type": "Double[]", "value": [1.5, 2.5]})
    with node_server(*nodes) as server:
        tags = (*(tag(name) for name in SERVED), tag("axes", count=2))
        async with watched(server.url, *tags, mode=mode) as device:
            for name, (_, _, expected) in SERVED.items():
                await device.is_(name, expected)
            await device.is_("axes[1]", 2.5)


@MODES
async def test_L01_one_vanished_node_leaves_the_others(mode: str) -> None:
    with node_server(*DOUBLES) as server:
        async with watched(server.url, tag("a"), tag("gone"), tag("b"), mode=mode) as device:
            await device.is_("a", 1.0)
            await device.is_("b", 1.0)
            await device.is_bad("gone", Quality.ADDRESS)
            server.do("delete", name="b")
            await device.is_bad("b", Quality.ADDRESS)
            await _changes(server, device, "a", 2.0)


@MODES
async def test_L03_L17_restart_with_another_namespace_order_and_a_cut_without_a_word(mode: str) -> None:
    with node_server(*DOUBLES) as server:
        async with Cut(server.port) as cut, watched(cut.url, tag("a"), tag("b"), mode=mode) as device:
            await device.is_("a", 1.0)
            server.kill()
            await device.down()
            await asyncio.to_thread(server.start, namespaces=[OTHER, "urn:gongfu:new", LAB])
            await device.is_("a", 1.0, within_s=RETURN_S)
            cut.blackhole()
            await device.down()
            cut.heal()
            await device.is_("b", 1.0, within_s=RETURN_S)
            await _changes(server, device, "a", 3.0)


async def test_a_publish_response_lost_by_the_cable_is_fetched_again() -> None:
    with node_server(*DOUBLES) as server:
        async with Cut(server.port) as cut, watched(cut.url, tag("a"), tag("b")) as device:
            await device.is_("a", 1.0)
            cut.lose("PublishResponse")
            server.do("write", name="a", value=5.0)
            await until(lambda: not cut.losing("PublishResponse"), "the loss")
            server.do("write", name="b", value=5.0)
            await device.is_("b", 5.0)
            await device.is_("a", 5.0, within_s=RETURN_S)
            assert device.events == ["connect"]
            assert cut.requests["RepublishRequest"] >= 1


async def test_a_deadband_and_limits_of_a_call() -> None:
    nodes = [{"name": f"n{number}", "type": "Double", "value": 1.0} for number in range(25)]
    limits = {"maxMonitoredItemsPerCall": 4, "maxNodesPerRead": 6}
    with node_server(*nodes, limits=limits) as server:
        tags = [tag(f"n{number}", deadband=5.0) for number in range(25)]
        async with watched(server.url, *tags) as device:
            for each in tags:
                await device.is_(each["name"], 1.0)
            for value in (3.0, 7.0):
                server.do("write", name="n0", value=value)
            await device.is_("n0", 7.0)
            assert device.values("n0") == [1.0, 7.0]
            assert device.events == ["connect"]


@MODES
async def test_read_only_the_wire_carries_no_write(mode: str) -> None:
    with node_server(*DOUBLES) as server:
        async with Cut(server.port) as cut:
            async with watched(cut.url, tag("a"), tag("gone"), mode=mode) as device:
                await device.is_("a", 1.0)
            refused = {"WriteRequest", "CallRequest", "AddNodesRequest", "HistoryUpdateRequest", "encrypted"}
            assert not refused & set(cut.requests)


def test_a_secured_server_is_read_once_it_is_trusted(tmp_path: Path) -> None:
    plan = {"policies": ["Basic256Sha256", "Aes256_Sha256_RsaPss"], "modes": ["Sign", "SignAndEncrypt"]}
    with node_server(*DOUBLES, users={"edge": "secret"}, **plan) as server:
        user = {"username": "edge", "password": "secret"}
        config = tmp_path / "config.toml"
        text = configuration(server.url, tag("a"), security="auto", timeout="4s", **user)
        config.write_text(text.replace('name = "lab"', f'name = "lab"\ndata_dir = "{tmp_path / "data"}"'))

        def run(*command: str) -> tuple[int, str]:
            done = gongfu_edge(*command, "--config", str(config))
            return done.returncode, done.stdout + done.stderr

        code, said = run("check", "--connect")
        assert (code, "not trusted yet" in said, "--trust cnc" in said) == (1, True, True), said
        code, said = run("read", "cnc")
        assert (code, "not trusted yet" in said) == (1, True), said
        code, said = run("check", "--connect", "--trust", "cnc")
        assert (code, "trusted from now on" in said) == (0, True), said
        code, said = run("read", "cnc")
        assert (code, said.split()[-3:]) == (0, ["a", "1", "good"]), said
        assert "secret" not in said


async def _changes(server: NodeServer, device: object, name: str, value: float) -> None:
    server.do("write", name=name, value=value)
    await device.is_(name, value)  # type: ignore[attr-defined]
