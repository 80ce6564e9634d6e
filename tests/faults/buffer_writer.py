"""Run by the power-cut test: appends for ever and prints the number of each block once it is durable."""

import asyncio
import sys
from pathlib import Path

from agent.buffer.store import Store
from tests.support.buffers import batch_at


async def main(path: Path, first: int) -> None:
    store = await Store.open(path, max_bytes=50_000_000)
    number = first
    while True:
        await store.append(batch_at(number * 1_000_000, 200, noisy=True))
        print(number, flush=True)
        number += 1


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
