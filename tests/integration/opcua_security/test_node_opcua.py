"""Security and browsing with a server that is not of our client library's family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.browsing import Tree, Wanted
from drivers.contract import DriverError, FailureKind, PointGroup
from drivers.opcua import DRIVER, Options
from drivers.opcua import browse as browsing
from drivers.opcua.driver import OpcUaDriver
from drivers.quality import Quality
from tests.support.opcua_node import NodeServer, documented_server, node_server
from tests.support.opcua_secure import connected, context, failure
from tests.support.opcua_servers import LAB

POLICIES = ["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]
MODES = ["None", "Sign", "SignAndEncrypt"]
LOAD = {"name": "Load", "type": "Double", "value": 1.5}


async def look(server: NodeServer, **wanted: Any) -> Tree:
    browse = DRIVER.browse
    assert browse is not None
    return await browse(Options(url=server.url, security="none"), context(None), Wanted(**wanted))


async def test_every_policy_and_a_user(tmp_path: Path) -> None:
    with node_server(LOAD, policies=POLICIES, modes=MODES, users={"operator": "s3cret"}) as server:
        async with connected(Options(url=server.url), context(tmp_path, trust=True)) as (client, chosen):
            assert chosen == "Aes256_Sha256_RsaPss, SignAndEncrypt"
            at = await client.get_namespace_index(LAB)
            assert await client.get_node(f"ns={at};s=Load").read_value() == 1.5
        for security in ("none", "Basic256Sha256:Sign", "Aes128_Sha256_RsaOaep", "auto"):
            user = {"username": "operator", "password": "s3cret"}
            async with connected(Options(url=server.url, security=security, **user), context(tmp_path)):
                pass
            user["password"] = "wrong"
            error = await failure(Options(url=server.url, security=security, **user), context(tmp_path))
            assert (error.kind, error.quality) == (FailureKind.PERMANENT, Quality.REFUSED)


async def test_long_lists_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"name": f"v{number:02}", "type": "Int32", "value": number} for number in range(40)]
    with node_server(*nodes, limits={"maxNodesPerBrowse": 3, "maxNodesPerRead": 7}) as server:
        whole = await look(server, depth=2)
        monkeypatch.setattr(browsing, "REFERENCES", 6)
        parts = await look(server, depth=2)
    assert [item.place for item in parts.items] == [item.place for item in whole.items]
    values = {item.name: item.value for item in parts.items if item.name.startswith("v")}
    assert values == {f"v{number:02}": str(number) for number in range(40)}


@pytest.mark.timeout(120)
async def test_n1_n2_a_server_as_its_documentation_starts_it(tmp_path: Path) -> None:
    """It trusts nobody yet: the file to be trusted is named. Without security a device without tags is up."""
    with documented_server(tmp_path / "pki") as server:
        url = f"opc.tcp://127.0.0.1:{server.port}"
        for security in ("auto", "Aes128_Sha256_RsaOaep", "Basic256Sha256:Sign"):
            folder = tmp_path / security.replace(":", "-")
            folder.mkdir()
            for trusting in (True, False):
                connection = Options(url=url, security=security)
                error = await failure(connection, context(folder, trust=trusting))
                assert (error.kind, error.quality) == (FailureKind.PERMANENT, Quality.REFUSED)
                assert "does not trust the gateway's certificate" in str(error)
                assert str(folder / "application.der") in error.remedy
                assert DRIVER.browse is not None
                with pytest.raises(DriverError) as browsing_failed:
                    await DRIVER.browse(connection, context(folder), Wanted())
                assert browsing_failed.value.remedy == error.remedy
        for mode in ("subscribe", "auto", "poll"):
            device = OpcUaDriver(Options(url=url, security="none", mode=mode), [], context(tmp_path))
            try:
                await device.open()
                assert device.observations()["mode"] == ("poll" if mode == "poll" else "subscribe")
                assert not (await device.read(PointGroup((), 1.0))).faults
            finally:
                await device.close()
