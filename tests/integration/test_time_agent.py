"""A2: a real agent whose clock is wrong, set by hand, started anew and put right; real devices, real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.app import Agent
from agent.buffer.store import Store
from agent.clock import BUILD_US, Clock, boottime_us
from agent.config.parse import load
from agent.control.secrets import EncryptionKey
from agent.control.service import compose
from tests.support.control_agent import Plant, a_plant

DAY = 86_400_000_000


class World:
    """The true time, what the system clock makes of it, and whether NTP runs."""

    def __init__(self) -> None:
        self.began, self.ahead, self.synchronised = boottime_us(), 31 * DAY, False

    def true_us(self) -> int:
        return BUILD_US + 100 * DAY + boottime_us() - self.began

    def clock(self) -> Clock:
        return Clock(system_us=lambda: self.true_us() + self.ahead, synchronised=lambda: self.synchronised)


@asynccontextmanager
async def running(plant: Plant, world: World) -> AsyncIterator[tuple[Agent, Store]]:
    key = EncryptionKey.load_or_create(plant.data / "identity")
    configuration, _ = compose(load(plant.config), plant.journal, decrypt=key.decrypt)
    clock, stop = world.clock(), asyncio.Event()
    store = await Store.open(plant.data / "buffer.db", retention_us=DAY, now=clock.now)
    try:
        agent = await Agent.build(configuration, store, plant.data, plant.journal, key, asyncio.Event(), clock)
        task = asyncio.create_task(agent.run(stop))
        try:
            yield agent, store
        finally:
            stop.set()
            await task
    finally:
        await store.close()


async def stored(store: Store, epoch: int) -> None:
    """Something that this epoch of the clock has stamped is on disk."""
    async with asyncio.timeout(60):
        while not await store._db.read("SELECT 1 FROM block WHERE epoch = ?", (epoch,)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a2_whatever_wrong_epochs_have_stamped_is_at_the_right_time_once_it_is_known(tmp_path: Path) -> None:
    world = World()
    began = world.true_us()
    async with a_plant(tmp_path) as plant:
        async with running(plant, world) as (agent, store):
            await stored(store, 1)
            world.ahead = 5 * DAY  # set by hand, and wrong again
            await stored(store, 2)
            assert not agent.clock.trusted
        async with running(plant, world) as (agent, store):  # and the agent is started anew
            await stored(store, 3)
            lost = sum(each.count for each in await store.losses(0, 2**62))
            world.ahead, world.synchronised = 0, True
            async with asyncio.timeout(60):
                while await store.meta("clock_unvouched") != "[]":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert agent.clock.trusted and lost == 0
            span, epochs = await store.span(), await store._db.read("SELECT COUNT(DISTINCT epoch) FROM block")
            assert span is not None and epochs[0][0] >= 3, "nothing was deleted"
            assert began - 1_000_000 <= span[0] <= span[1] <= world.true_us()
