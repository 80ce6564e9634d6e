"""The floor: pymodbus alone, reading the same registers once a second and throwing them away."""

from __future__ import annotations

import asyncio
import sys
import time

from pymodbus.client import AsyncModbusTcpClient


async def read_for_ever(port: int, registers: int, delay: float) -> None:
    """One connection."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    due = time.monotonic() + delay
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due += 1.0
        for start in range(0, registers, 125):
            await client.read_holding_registers(start, count=min(125, registers - start), device_id=1)


async def main(port: int, connections: int, registers: int) -> None:
    """All connections, spread over the second."""
    await asyncio.gather(*(read_for_ever(port, registers, n / connections) for n in range(connections)))


asyncio.run(main(*map(int, sys.argv[1:4])))
