"""Run by the kill tests: appends for ever, and prints how many samples are durable once they are.

Arguments: the database's path, the number of the first block, the byte cap.
"""

import asyncio
import sys
from pathlib import Path

import numpy as np

from agent.buffer.recorder import Recorder
from agent.buffer.store import DigestRecord, Store
from agent.clock import Clock
from drivers.contract import Samples

ROWS = 500


async def main(path: Path, first: int, cap: int) -> None:
    store = await Store.open(path, max_bytes=cap)
    recorder = Recorder(store, Clock())
    series = np.ones(ROWS, np.int32)
    number = first
    while True:
        time = number * 1_000_000 + np.arange(ROWS, dtype=np.int64)
        noise = np.random.default_rng(number).normal(size=ROWS)
        recorder.add_samples(series, Samples(np.zeros(ROWS, np.int32), time, noise, np.zeros(ROWS, np.uint8)))
        await recorder.flush()
        assert not recorder.failing, recorder.failing
        if number % 7 == 0:
            await store.add_digest(DigestRecord(number + 1, "period", 0, 1, "h", "p", noise.tobytes(), "j"))
        number += 1
        print(number, flush=True)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
