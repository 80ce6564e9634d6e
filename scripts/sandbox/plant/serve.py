"""Serve a plant over Modbus TCP, over RTU on a pseudo-terminal paced like the real line, and over OPC UA."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.sandbox.modbus_net import NetServer
from scripts.sandbox.plant.plant import Plant
from scripts.sandbox.serial_line import SerialLine

if TYPE_CHECKING:
    from scripts.sandbox.plant.opcua import Machine

STEP_S = 0.25


@asynccontextmanager
async def serving(
    plant: Plant,
    *,
    host: str = "127.0.0.1",
    tcp_port: int = 0,
    rtu_link: Path | None = None,
    baudrate: int = 9600,
    opcua_port: int | None = None,
) -> AsyncIterator[int]:
    """Serve until the block ends; gives the Modbus TCP port. ``rtu_link`` becomes a link to the serial port."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(NetServer(host, tcp_port, plant.net_units))
        if rtu_link is not None:
            await stack.enter_async_context(SerialLine(rtu_link, baudrate, plant.serial_units))
        machine = None
        if opcua_port is not None:
            # Imported here: a plant without OPC UA starts in a moment.
            from scripts.sandbox.plant.opcua import serving_opcua

            machine = await stack.enter_async_context(serving_opcua(plant.cnc, host, opcua_port))
        moving = asyncio.create_task(_move(plant, machine), name="plant")
        try:
            yield server.port
        finally:
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)


async def _move(plant: Plant, machine: Machine | None) -> None:
    # Reads bring the plant up to now as well; this keeps the record of the truth going when nobody reads.
    while True:
        plant.advance()
        if machine is not None:
            await machine.show(plant.cnc)
        await asyncio.sleep(STEP_S)
