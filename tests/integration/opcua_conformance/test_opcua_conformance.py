"""The OPC UA driver keeps the contract, polling and subscribed, towards a server in another process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from drivers.conformance import CHECKS, Check, check_name
from drivers.contract import Point
from drivers.registry import load
from tests.support.opcua_servers import LAB, Nursery, Server, double, node, variable

READS = frozenset(
    {
        *("GetEndpoints", "CreateSession", "ActivateSession", "CloseSession", "Read", "TranslateBrowsePathsToNodeIds"),
        *("Browse", "BrowseNext"),
        *("CreateSubscription", "CreateMonitoredItems", "DeleteMonitoredItems", "Publish", "Republish"),
    }
)
NODES = (
    double("Load", 41.5),
    variable("Total", "UInt32", 17),
    variable("Name", "String", "mill 7"),
    variable("Running", "Boolean", True),
    variable("Axes", "Int16[]", [1, 2, 3]),
    variable("Temp", "Float", 36.5, path=["CNC", "Spindle", "Temp"]),
)
POINTS = [
    Point(index=0, name="load", address=node("Load"), scale=2.0),
    Point(index=1, name="total", address=node("Total"), type="uint32"),
    Point(index=2, name="name", address=node("Name"), type="string"),
    Point(index=3, name="running", address=node("Running"), type="bool"),
    Point(index=4, name="axis[0]", address=node("Axes"), element=0),
    Point(index=5, name="axis[1]", address=node("Axes"), element=1),
    Point(index=6, name="axis[5]", address=f"index=5;{node('Axes')}"),
    Point(index=7, name="nothing", address=node("Nothing")),
    Point(index=8, name="elsewhere", address="nsu=urn:nowhere;s=Load"),
    Point(index=9, name="temp", address=f"/Objects/nsu={LAB};CNC/nsu={LAB};Spindle/nsu={LAB};Temp"),
]


class OnTheNetwork:
    """The laboratory server, unplugged by ending its process."""

    bound_s = 15.0
    points = POINTS

    def __init__(self, server: Server, mode: str) -> None:
        self.type = load("opcua")
        self.server = server
        connection = {"url": server.url, "security": "none", "mode": mode, "timeout": "2s"}
        self.options = msgspec.convert({**connection, "publishing_interval": "50ms"}, self.type.options)
        self.plugged = False

    async def plug(self) -> None:
        if not self.plugged:
            self.server.start()
            self.plugged = True

    async def unplug(self) -> None:
        self.plugged = False
        self.server.kill()

    def writes(self) -> Sequence[object]:
        return sorted(set(self.server.do("requests")) - READS)


@pytest.fixture
def server(nursery: Nursery) -> Iterator[Server]:
    with nursery.server(*NODES, started=False) as made:
        yield made


@pytest.mark.parametrize("check", CHECKS, ids=check_name)
@pytest.mark.parametrize("mode", ["poll", "subscribe"])
async def test_opcua_conforms(check: Check, mode: str, server: Server) -> None:
    await check(OnTheNetwork(server, mode))
