"""A console over a real store and made-up devices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.buffer.batch import Batch
from agent.buffer.store import DigestRecord, Store
from agent.health.status import Status
from drivers.quality import Quality
from tests.support.health_status import DOWN, NOW, DeviceNow, status

EVIL = "<img src=x onerror=alert(1)>\"'&"


@dataclass(frozen=True)
class Value:
    series: str
    time_us: int
    value: float | str | None
    quality: int
    unit: str = ""
    age_s: float | None = None


class Shown:
    """What the console is shown; ``refreshed`` counts how often the disk was asked."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now: Status = status(DeviceNow(), DOWN)
        self.values = [
            Value("press-1.oil_temp", NOW - 400_000, 43.25, Quality.GOOD, "°C"),
            Value("press-1.recipe", NOW - 400_000, EVIL, Quality.GOOD),
            Value("press-1.speed", NOW - 400_000, float("nan"), Quality.INVALID, "rpm"),
            Value("meter-1.p_total", 0, None, Quality.TIMEOUT, "kW"),
        ]
        self.refreshed = 0
        self.failure: Exception | None = None

    def status(self) -> Status:
        return self.now

    def latest(self) -> list[Value]:
        return self.values

    async def refresh(self) -> None:
        self.refreshed += 1
        if self.failure:
            raise self.failure


@asynccontextmanager
async def shown(folder: Path, *, samples: int = 600) -> AsyncIterator[Shown]:
    """A store with one changing tag (a sample a second until NOW) and three digests."""
    store = await Store.open(folder / "buffer.db")
    try:
        (oil,) = await store.series_ids(["press-1.oil_temp"])
        time = NOW - np.arange(samples, 0, -1) * 1_000_000
        value = 40 + 3 * np.sin(np.arange(samples) / 30)
        quality = np.where(np.arange(samples) % 100 == 99, int(Quality.TIMEOUT), 0).astype(np.uint8)
        value[quality > 0] = np.nan
        await store.append(Batch(series=np.full(samples, oil, np.int32), time=time, value=value, quality=quality))
        states = [("accepted", "", NOW), ("rejected", f"breaks the schema {EVIL}", NOW), ("pending", "", 0)]
        for seq, (state, reason, settled) in enumerate(states, 1):
            start = NOW - (4 - seq) * 900_000_000
            body, end = b"{}" * 700, start + 900_000_000
            await store.add_digest(
                DigestRecord(seq, "period", start, end, f"{seq}" * 64, "0" * 64, body, "a..b", state, reason, settled)
            )
        yield Shown(store)
    finally:
        await store.close()


if __name__ == "__main__":  # python -m tests.support.health_console PORT: a page to look at
    import asyncio
    import sys
    import tempfile

    from agent.console.server import Console

    async def serve() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with shown(Path(folder)) as sources:
                console = Console(f"127.0.0.1:{sys.argv[1]}", sources)
                await console.start()
                await asyncio.Event().wait()

    asyncio.run(serve())
