"""node-opcua's server does what its tests rely on, seen by another library's client."""

from __future__ import annotations

from asyncua import Client

from tests.support.opcua_node import node_server
from tests.support.opcua_servers import LAB


async def test_it_serves_every_kind_of_value_and_is_told_new_ones() -> None:
    served = {
        "Load": ("Double", 1.5),
        "Big": ("Int64", -(2**53) - 1),
        "Flag": ("Boolean", True),
        "Name": ("String", "铣床"),
        "Places": ("UInt16[]", [1, 2, 3]),
    }
    nodes = [{"name": name, "type": kind, "value": value} for name, (kind, value) in served.items()]
    # JSON in JavaScript holds no such number; as text it does.
    nodes[1]["value"] = str(nodes[1]["value"])
    with node_server(*nodes) as server:
        async with Client(server.url, timeout=10) as client:
            at = await client.get_namespace_index(LAB)
            for name, (_, value) in served.items():
                assert await client.get_node(f"ns={at};s={name}").read_value() == value
            server.do("write", name="Load", value=7.25)
            assert await client.get_node(f"ns={at};s=Load").read_value() == 7.25
            assert server.do("sessions") == 1
