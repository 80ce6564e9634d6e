"""The floor: asyncua alone, throwing away what it gets: ``bare_opcua PORT VARIABLES subscribe|poll``.

Subscribed at 500 ms with a handler that does nothing, or read once a second.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

from asyncua import Client, Node, ua

BATCH = 500


class Nothing:
    """Takes notice of nothing."""

    def datachange_notification(self, node: Node, value: Any, data: Any) -> None:
        """Called once a value."""


async def subscribe(client: Client, nodes: list[Node]) -> None:
    """Listen for ever."""
    subscription = await client.create_subscription(500, Nothing())
    for first in range(0, len(nodes), BATCH):
        await subscription.subscribe_data_change(nodes[first : first + BATCH])
    await asyncio.Event().wait()


async def poll(client: Client, nodes: list[Node]) -> None:
    """Read for ever."""
    due = time.monotonic()
    while True:
        for first in range(0, len(nodes), 1000):
            await client.read_values(nodes[first : first + 1000])
        due += 1.0
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def main(port: int, variables: int, mode: str) -> None:
    """Connect and do one or the other."""
    async with Client(f"opc.tcp://127.0.0.1:{port}/bench", timeout=30) as client:
        nodes = [client.get_node(ua.NodeId(1 + n, 2)) for n in range(variables)]
        await {"subscribe": subscribe, "poll": poll}[mode](client, nodes)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
