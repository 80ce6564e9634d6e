"""A serial line as slow as the real wire, which measures how well its master fills it.

Prints one line of JSON when it has been asked for long enough: ``seconds`` from one request to another,
and ``wire_s``, what the exchanges between them need on the wire at least.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from scripts.sandbox.modbus_frames import HEALTHY, Reaction, Request
from scripts.sandbox.serial_line import SerialLine

WARM_UP = 3.0


class Registers:
    """A unit whose registers hold their addresses."""

    def read(self, function: int, address: int, count: int) -> bytes | int:
        """As a RegisterSource."""
        return b"".join(place.to_bytes(2, "big") for place in range(address, address + count))


async def main(link: Path, baudrate: int, seconds: float) -> None:
    """Serve unit 1 until terminated; measure once."""
    line = SerialLine(link, baudrate, {1: Registers()})
    loop = asyncio.get_running_loop()
    first_s = began_s = wire_s = 0.0
    told = False

    def watch(request: Request) -> Reaction:
        nonlocal first_s, began_s, wire_s, told
        now = loop.time()
        first_s = first_s or now
        if not began_s and now - first_s >= WARM_UP:
            began_s, wire_s = now, line.wire_s
        elif began_s and now - began_s >= seconds and not told:
            print(json.dumps({"seconds": now - began_s, "wire_s": line.wire_s - wire_s}), flush=True)
            told = True
        return HEALTHY

    line.react = watch
    async with line:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
