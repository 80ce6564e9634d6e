"""A server of Double variables that all change at once: ``opcua_server PORT VARIABLES PERIOD``.

asyncua's, in a process of its own: what it costs is not measured.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from datetime import UTC, datetime

from asyncua import Server, ua

FOLDER = 250
"""Variables a folder: adding one takes a look at all its siblings."""


async def serve(port: int, variables: int, period: float) -> None:
    """Serve ``ns=2;i=1`` and the following; each moves every ``period`` seconds."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    at = await server.register_namespace("urn:gongfu:bench")
    nodes: list[ua.NodeId] = []
    for number in range(variables):
        if not number % FOLDER:
            folder = await server.nodes.objects.add_folder(ua.NodeId(f"f{number}", at), f"f{number}")
        variable = await folder.add_variable(ua.NodeId(1 + number, at), f"v{number}", 0.0, ua.VariantType.Double)
        nodes.append(variable.nodeid)
    async with server:
        due, turn = time.monotonic(), 0
        while True:
            turn += 1
            now = datetime.now(UTC)
            for number, node in enumerate(nodes):
                value = ua.DataValue(ua.Variant(float(turn * 7 + number), ua.VariantType.Double), SourceTimestamp=now)
                await server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, value)
            due += period
            await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
