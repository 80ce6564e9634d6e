"""``python -m scripts.sandbox.plant``: the simulated plant as a process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from scripts.sandbox.plant.plant import Plant
from scripts.sandbox.plant.serve import serving


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the plant."""
    parser = argparse.ArgumentParser(prog="python -m scripts.sandbox.plant", description="A simulated plant.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--tcp-port", type=int, default=5020, help="Modbus TCP port; 0: any free one")
    parser.add_argument("--rtu-link", type=Path, help="path that becomes a link to the simulated serial port")
    parser.add_argument("--baudrate", type=int, default=9600, help="speed of the serial line")
    parser.add_argument("--opcua-port", type=int, help="OPC UA port of the machining centre; none: it is not served")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another history")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast as real")
    parser.add_argument("--truth", type=Path, help="file for what really happens, as JSON lines")
    options = parser.parse_args(arguments)
    if options.speed <= 0:
        parser.error("--speed must be greater than 0")
    with ExitStack() as stack:
        truth = stack.enter_context(options.truth.open("w", encoding="utf-8")) if options.truth else None
        try:
            asyncio.run(run(options, truth))
        except OSError as error:
            print(f"plant: {error}", file=sys.stderr)
            return 1
    return 0


async def run(options: argparse.Namespace, truth: TextIO | None) -> None:
    """Serve the plant until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def tell(record: dict[str, Any]) -> None:
        if truth is not None:
            print(json.dumps(record, ensure_ascii=False), file=truth, flush=True)

    plant = Plant(seed=options.seed, speed=options.speed, truth=tell)
    at = {"host": options.host, "tcp_port": options.tcp_port, "opcua_port": options.opcua_port}
    async with serving(plant, **at, rtu_link=options.rtu_link, baudrate=options.baudrate) as port:
        serial = f", unit 3 on {options.rtu_link} at {options.baudrate} baud" if options.rtu_link else ""
        opcua = f", cnc-1 on opc.tcp://{options.host}:{options.opcua_port}" if options.opcua_port else ""
        print(f"plant: units 1 and 2 on {options.host}:{port}{serial}{opcua}", flush=True)
        await stop.wait()
    plant.finish()


if __name__ == "__main__":
    sys.exit(main())
