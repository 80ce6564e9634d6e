"""The laboratory does what its tests rely on, seen by the library's own client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from asyncua import Client, ua
from asyncua.ua.ua_binary import struct_from_binary

from tests.support.opcua_cut import Cut
from tests.support.opcua_devices import ENOUGH_S, until
from tests.support.opcua_servers import LAB, OTHER, Nursery, double, node, variable


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    client = Client(url, timeout=2)
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()


async def value(url: str, name: str) -> object:
    async with connected(url) as client:
        index = await client.get_namespace_index(LAB)
        return await client.get_node(f"ns={index};s={name}").read_value()


async def test_a_server_killed_and_started_has_its_first_values_in_another_namespace_order(nursery: Nursery) -> None:
    with nursery.server(double("Load", 1.5), variable("Name", "String", "mill", uri=OTHER)) as server:
        assert await value(server.url, "Load") == 1.5
        server.do("write", node=node("Load"), value=7.0)
        assert await value(server.url, "Load") == 7.0
        server.kill()
        with pytest.raises(OSError):
            await value(server.url, "Load")
        server.start(namespaces=[OTHER, LAB])
        assert await value(server.url, "Load") == 1.5
        async with connected(server.url) as client:
            assert await client.get_namespace_index(LAB) == 3


async def test_every_type_can_be_served(nursery: Nursery) -> None:
    served = {
        "Boolean": True,
        "Int64": -(2**53) - 1,
        "UInt16[]": [1, 2, 3],
        "DateTime": "2026-01-02T03:04:05.678+00:00",
        "Guid": "12345678-1234-5678-1234-567812345678",
        "ByteString": "00ff",
        "LocalizedText": "läuft",
        "Structure": 3,
        "Double[]": [],
    }
    nodes = [variable(kind, kind, each) for kind, each in served.items()]
    nodes.append(variable("Mode", "Enumeration", 1, enum=["Off", "On"], path=["CNC", "Mode"]))
    with nursery.server(*nodes) as server:
        assert await value(server.url, "Int64") == -(2**53) - 1
        assert await value(server.url, "UInt16[]") == [1, 2, 3]
        assert await value(server.url, "Double[]") == []
        async with connected(server.url) as client:
            mode = await client.nodes.objects.get_child(["2:CNC", "2:Mode"])
            names = await client.get_node(await mode.read_data_type()).get_child("0:EnumStrings")
            assert [each.Text for each in await names.read_value()] == ["Off", "On"]


class Handler:
    def __init__(self) -> None:
        self.values: list[ua.DataValue] = []
        self.changed = asyncio.Event()

    def datachange_notification(self, of: object, val: object, data: object) -> None:
        self.values.append(data.monitored_item.Value)  # type: ignore[attr-defined]
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(ENOUGH_S):
            while len(self.values) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_a_burst_overflows_the_queue_and_the_server_says_so(nursery: Nursery) -> None:
    with nursery.server(double("Load")) as server:
        async with connected(server.url) as client:
            seen = Handler()
            subscription = await client.create_subscription(200, seen)
            await subscription.subscribe_data_change(client.get_node("ns=2;s=Load"), queuesize=3)
            await seen.until(1)
            server.do("burst", node=node("Load"), values=[float(each) for each in range(1, 11)])
            await seen.until(4)
            assert [each.Value.Value for each in seen.values[1:4]] == [8.0, 9.0, 10.0]  # type: ignore[union-attr]
            assert [each.StatusCode.value for each in seen.values[1:4]] == [0x480, 0, 0]  # type: ignore[union-attr]


async def test_a_publish_response_is_lost_and_can_be_had_again_unless_forgotten(nursery: Nursery) -> None:
    with nursery.server(double("Load")) as server:
        async with Cut(server.port) as cut, connected(cut.url) as client:
            seen = Handler()
            subscription = await client.create_subscription(50, seen)
            await subscription.subscribe_data_change(client.get_node("ns=2;s=Load"))
            await seen.until(1)
            server.do("set", lose=1)
            server.do("write", node=node("Load"), value=1.0)
            await until(lambda: not server.do("losing"))
            server.do("write", node=node("Load"), value=2.0)
            await seen.until(2)
            assert [each.Value.Value for each in seen.values] == [0.0, 2.0]  # type: ignore[union-attr]
            again = ua.RepublishRequest()
            again.Parameters = ua.RepublishParameters(subscription.subscription_id, 2)
            lost = struct_from_binary(ua.RepublishResponse, await client.uaclient.protocol.send_request(again))
            assert lost.NotificationMessage.SequenceNumber == 2
            server.do("set", forget=True)
            with pytest.raises(ua.uaerrors.BadMessageNotAvailable):
                await client.uaclient.protocol.send_request(again)
        assert cut.requests["PublishRequest"] > 0
        assert cut.requests["CreateSubscriptionRequest"] == 1
        assert "encrypted" not in cut.requests


async def test_a_message_lost_by_the_cable_leaves_the_channel_valid(nursery: Nursery) -> None:
    with nursery.server(double("Load", 3.0)) as server:
        async with Cut(server.port) as cut, connected(cut.url) as client:
            cut.lose("ReadResponse")
            with pytest.raises(TimeoutError):
                await client.nodes.server_state.read_value()
            assert not cut.losing("ReadResponse")
            assert await client.get_node("ns=2;s=Load").read_value() == 3.0


async def test_a_cut_without_a_word_tells_neither_side(nursery: Nursery) -> None:
    with nursery.server(double("Load")) as server:
        async with Cut(server.port) as cut:
            client = Client(cut.url, timeout=1)
            await client.connect()
            cut.blackhole()
            with pytest.raises(TimeoutError):
                await client.nodes.server_state.read_value()
            with contextlib.suppress(TimeoutError, ConnectionError):
                await client.disconnect()
            cut.heal()
            assert await value(cut.url, "Load") == 0.0
            assert cut.connections == 2


async def test_services_are_refused_and_sessions_expire_on_demand(nursery: Nursery) -> None:
    refused = {"refuse": {"CreateSubscription": "BadTooManySubscriptions"}}
    with nursery.server(double("Load"), faults=refused) as server:
        async with connected(server.url) as client:
            with pytest.raises(ua.uaerrors.BadTooManySubscriptions):
                await client.create_subscription(100, Handler())
            assert server.do("expire_sessions") == 1
            with pytest.raises(ua.uaerrors.BadSessionIdInvalid):
                await client.nodes.server_state.read_value()
        assert server.do("requests")["CreateSubscription"] == 1


async def test_the_servers_clock_is_off(nursery: Nursery) -> None:
    with nursery.server(double("Load"), faults={"clock_s": -86400.0 * 3000}) as server:
        async with connected(server.url) as client:
            got = await client.get_node("ns=2;s=Load").read_data_value()
            assert got.SourceTimestamp is not None
            assert got.SourceTimestamp.year < 2020
            told = await client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)).read_value()
            assert told.year < 2020
