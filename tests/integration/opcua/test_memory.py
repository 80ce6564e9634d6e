"""L05: memory stays where it is, however long it runs and however fast the server is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from scripts.sandbox.demo_summary import get
from tests.support.agents import running
from tests.support.opcua_devices import RETURN_S, configuration, until, watched
from tests.support.opcua_servers import Nursery, double, node, tag
from tests.support.ports import free_port

ITEMS = [f"n{number}" for number in range(400)]
MB = 2**20
WARM_UP = 1_600 * 600
"""Samples: ten minutes of them."""
SOAK_S = 1800.0


class Agent:
    """A running agent that reads one server."""

    def __init__(self, process: psutil.Process, console: str) -> None:
        self._process, self._console = process, console

    @property
    def rss(self) -> int:
        """Bytes."""
        return int(self._process.memory_info().rss)

    @property
    def samples(self) -> int:
        """How many samples the buffer holds."""
        status = json.loads(get(f"http://{self._console}/api/status") or b"{}")
        return int(status.get("buffer", {}).get("samples", 0))

    async def until_samples(self, count: int, within_s: float) -> None:
        """Wait until so many more were recorded."""
        loop = asyncio.get_running_loop()
        wanted, end = self.samples + count, loop.time() + within_s
        while await asyncio.to_thread(lambda: self.samples) < wanted:
            assert loop.time() < end, f"{count} more samples did not come"
            await asyncio.sleep(0.2)


@contextmanager
def agent(url: str, folder: Path, interval: str = "250ms") -> Iterator[Agent]:
    console = f"127.0.0.1:{free_port()}"
    gateway = f'[gateway]\nname = "lab"\ndata_dir = "{folder / "data"}"\n'
    gateway += f'[buffer]\nflush = "1s"\nmax_size = "20MB"\n[console]\nlisten = "{console}"\n'
    text = configuration(url, *(tag(name) for name in ITEMS), interval=interval)
    config = folder / "config.toml"
    config.write_text(text.replace('[gateway]\nname = "lab"\n', gateway), encoding="utf-8")
    with running(config) as process:
        yield Agent(psutil.Process(process.pid), console)


async def test_L05_memory_is_bounded(nursery: Nursery, tmp_path: Path) -> None:
    server = nursery.server(*(double(name) for name in ITEMS), ticking=0.125)
    with server as served, agent(served.url, tmp_path, "125ms") as running_agent:
        await running_agent.until_samples(8_000, 120)
        before = running_agent.rss
        await running_agent.until_samples(24_000, 150)
        assert running_agent.rss - before < 6 * MB


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_L05_memory_is_flat_over_half_an_hour(nursery: Nursery, tmp_path: Path) -> None:
    """The slope after warm-up, by least squares over a sample each five seconds."""
    loop = asyncio.get_running_loop()
    server = nursery.server(*(double(name) for name in ITEMS), ticking=0.25)
    with server as served, agent(served.url, tmp_path) as running_agent:
        await running_agent.until_samples(WARM_UP, 1800)
        began, at, rss = loop.time(), [], []
        while (now := loop.time() - began) < SOAK_S:
            at.append(now / 3600)
            rss.append(running_agent.rss / MB)
            await running_agent.until_samples(8_000, 120)
    slope = float(np.polyfit(at, rss, 1)[0])
    print(f"RSS {rss[0]:.1f} MB → {rss[-1]:.1f} MB, slope {slope:+.2f} MB/h over {at[-1] * 60:.0f} min")
    assert slope < 1.0


async def test_L05_what_is_not_read_in_time_is_dropped_and_counted(nursery: Nursery) -> None:
    """Scans much rarer than notifications: what waits for them is bounded, and the loss is in the ledger."""
    with nursery.server(double("a"), double("b")) as server:
        of = (tag("a", interval="3s"), tag("b", interval="50ms"))
        async with watched(server.url, *of, interval="50ms") as device:
            await device.flows("b")
            for start in range(0, 20_000, 2_000):
                server.do("burst", node=node("b"), values=[float(start + each) for each in range(2_000)])
            await device.is_("b", 19_999.0, within_s=RETURN_S)
            await until(lambda: bool(device.losses), "an entry in the ledger")
            assert device.snapshot.state == "running"
