"""Browsing real servers: types, values, access, units; bounded, and safe with loops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession

from drivers.browsing import Item, Tree, Wanted
from drivers.contract import DriverError, FailureKind
from drivers.opcua import DRIVER, Options
from drivers.quality import Quality
from tests.support.opcua_secure import Pair, context, serving

URI = "urn:maker:cnc"
READABLE = ua.SecurityPolicyType.NoSecurity


@pytest.fixture
async def plant() -> AsyncIterator[tuple[Server, str]]:
    async with serving((READABLE,), None) as (server, url):
        await build(server)
        yield server, url


async def build(server: Server) -> None:
    own = await server.register_namespace(URI)
    machine = await server.nodes.objects.add_object(ua.NodeId("CNC", own), ua.QualifiedName("CNC", own))
    await machine.add_property(ua.NodeId("Serial", own), ua.QualifiedName("SerialNumber", own), "A-1")
    load = await machine.add_variable(ua.NodeId("Load", own), ua.QualifiedName("Load", own), 12.5)
    name = ua.LocalizedText("%")
    await load.add_property(0, "EngineeringUnits", ua.EUInformation("http://unece", 20529, name, name))
    await load.add_property(0, "EURange", ua.Range(0.0, 100.0))
    speed = await machine.add_variable(
        ua.NodeId("Speed", own), ua.QualifiedName("Speed", own), ua.Variant(7, ua.VariantType.Int16)
    )
    await speed.set_writable()
    axes = ua.Variant([1.0, 2.0, 3.0], ua.VariantType.Float)
    await machine.add_variable(ua.NodeId("Axes", own), ua.QualifiedName("Axes", own), axes)
    secret = await machine.add_variable(ua.NodeId("Secret", own), ua.QualifiedName("Secret", own), 1.0)
    for level in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
        await secret.write_attribute(level, ua.DataValue(ua.Variant(0, ua.VariantType.Byte)))
    await machine.add_variable(ua.NodeId("Blob", own), ua.QualifiedName("Blob", own), b"xyz")
    mode = await machine.add_variable(
        ua.NodeId("Mode", own), ua.QualifiedName("Mode", own), ua.Variant(1, ua.VariantType.Int32)
    )
    await mode.add_property(0, "EnumStrings", [ua.LocalizedText("Off"), ua.LocalizedText("On")])
    # A loop: the machine is below its own part.
    part = await machine.add_object(ua.NodeId("Part", own), ua.QualifiedName("Part", own))
    await part.add_reference(machine, ua.ObjectIds.Organizes)


async def look(url: str, **wanted: Any) -> Tree:
    browse = DRIVER.browse
    assert browse is not None
    return await browse(Options(url=url, security="none"), context(None), Wanted(**wanted))


def by_name(tree: Tree) -> dict[str, Item]:
    return {item.name: item for item in tree.items}


async def refusal(url: str, **wanted: Any) -> DriverError:
    with pytest.raises(DriverError) as caught:
        await look(url, **wanted)
    assert caught.value.kind is FailureKind.PERMANENT
    assert caught.value.quality is Quality.ADDRESS
    return caught.value


async def test_what_a_server_has(plant: tuple[Server, str]) -> None:
    found = by_name(await look(plant[1]))
    load = found["Load"]
    assert (load.type, load.kind, load.value, load.unit, load.access) == ("float64", "gauge", "12.5", "%", "r")
    assert (load.address, load.place) == (f"nsu={URI};s=Load", "ns=2;s=Load")
    assert (found["Speed"].type, found["Speed"].access) == ("int16", "rw")
    assert (found["Axes"].type, found["Axes"].count) == ("float32", 3)
    assert (found["Secret"].access, found["Secret"].kind, found["Secret"].address) == ("-", "", "")
    assert (found["Blob"].kind, found["Blob"].value) == ("", "3 bytes")
    assert (found["Mode"].kind, found["Mode"].value) == ("state", "1 (On)")
    assert (found["SerialNumber"].minor, found["SerialNumber"].value) == (True, "A-1")
    assert "EURange" not in found
    assert found["Server"].note, "the server's own nodes are not opened unless asked for"
    assert "ServerStatus" not in found


async def test_a_loop_is_shown_and_not_followed(plant: tuple[Server, str]) -> None:
    tree = await look(plant[1], depth=50)
    assert [item.note for item in tree.items if item.name == "CNC"] == ["", "shown elsewhere"]
    assert tree.notes == ()


@pytest.mark.parametrize(
    "start",
    ["/Objects/2:CNC", "/Objects/CNC", "CNC", "2:CNC", "ns=2;s=CNC", f"nsu={URI};s=CNC", f"/Objects/nsu={URI};CNC"],
)
async def test_places_are_named_in_every_usual_way(plant: tuple[Server, str], start: str) -> None:
    first, *rest = (await look(plant[1], start=start)).items
    assert (first.name, first.depth) == ("CNC", 0)
    assert "Load" in {item.name for item in rest}


async def test_a_single_variable_can_be_looked_at(plant: tuple[Server, str]) -> None:
    (load,) = (await look(plant[1], start="CNC/Load")).items
    assert (load.value, load.unit) == ("12.5", "%")
    (load,) = (await look(plant[1], start="ns=2;s=Load")).items
    assert (load.value, load.unit) == ("12.5", "%")


async def test_a_place_that_is_not_there_is_told_with_the_nearest(plant: tuple[Server, str]) -> None:
    assert '"2:CNC"' in (await refusal(plant[1], start="/Objects/2:CNX")).remedy
    assert "2:Load" in (await refusal(plant[1], start="CNC/wrong")).remedy
    assert (await refusal(plant[1], start="ns=2;s=nothing")).remedy
    assert URI in (await refusal(plant[1], start="nsu=urn:other;s=CNC")).remedy
    assert (await refusal(plant[1], start="ns=2;q=1")).remedy


async def test_depth_and_number_are_bounded(plant: tuple[Server, str]) -> None:
    shallow = await look(plant[1], depth=1)
    assert max(item.depth for item in shallow.items) == 1
    assert shallow.notes
    few = await look(plant[1], most=5)
    assert len(few.items) <= 5
    assert few.notes


async def test_a_server_that_takes_few_nodes_at_a_time_is_asked_for_fewer(
    plant: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await look(plant[1])
    unlimited, sizes = InternalSession.browse, []

    async def limited(self: InternalSession, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        sizes.append(len(params.NodesToBrowse))
        if sizes[-1] > 3:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        return await unlimited(self, params)

    monkeypatch.setattr(InternalSession, "browse", limited)
    assert without_values(await look(plant[1])) == without_values(whole)
    assert max(sizes[-10:]) <= 3


def without_values(tree: Tree) -> list[tuple[int, str, str, str]]:
    return [(item.depth, item.name, item.place, item.type) for item in tree.items]


async def test_a_secured_server_is_browsed_once_it_is_trusted(tmp_path: Path) -> None:
    browse = DRIVER.browse
    assert browse is not None
    async with serving((ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,), Pair.make()) as (server, url):
        await build(server)
        with pytest.raises(DriverError, match="not trusted"):
            await browse(Options(url=url), context(tmp_path), Wanted())
        tree = await browse(Options(url=url), context(tmp_path, trust=True), Wanted())
    assert "Load" in by_name(tree)
