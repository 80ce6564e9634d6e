"""Who may teach the gateway the time (A3), through the real client, over real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from agent.buffer.store import Store
from agent.clock import BUILD_US, CONFIRM_US, Clock
from agent.evidence.identity import Identity
from agent.uplink.budget import Budget
from agent.uplink.client import Client
from agent.uplink.held import Held
from agent.uplink.transport import Transport
from tests.support.uplink_platform import ScriptedPlatform, running

SECOND = 1_000_000
NOON = BUILD_US + 100 * 86_400 * SECOND


class World:
    def __init__(self) -> None:
        self.mono = 0
        self.clock = Clock(
            system_us=lambda: NOON + self.mono, monotonic_us=lambda: self.mono, synchronised=lambda: False
        )


@asynccontextmanager
async def asking(folder: Path, platform: ScriptedPlatform, world: World, stream: str = "") -> AsyncIterator[Client]:
    store = await Store.open(folder / "b.db")
    async with running(platform):
        transport = Transport(platform.url)
        identity = Identity.load_or_create(folder / "identity")
        client = Client(identity, world.clock, transport, Budget(store, world.clock, 10**9), stream)
        try:
            yield client
        finally:
            transport.close()
            await store.close()


def http(utc_us: int) -> str:
    return formatdate(utc_us / 1e6, usegmt=True)


@pytest.mark.parametrize(("stream", "taught"), [("", True), ("park", False)])
async def test_a3_only_the_platform_that_the_gateway_belongs_to_teaches_time(
    tmp_path: Path, stream: str, taught: bool
) -> None:
    world, platform = World(), ScriptedPlatform(date=http(NOON + 600 * SECOND))
    async with asking(tmp_path, platform, world, stream) as client:
        await client.head()
    assert world.clock.trusted is taught
    assert (world.clock.now() > NOON + 500 * SECOND) is taught


@pytest.mark.parametrize(
    "said",
    [
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "soon",
        "Sat, 01 Jan 10000 00:00:00 GMT",
        "Mon, 01 Jan 2199 00:00:00 +9999",
        "١ Jan 2027 00:00:00 GMT",
    ],
)
async def test_a2_a_date_that_is_nonsense_changes_nothing(tmp_path: Path, said: str) -> None:
    world, platform = World(), ScriptedPlatform(date=said)
    async with asking(tmp_path, platform, world) as client:
        for _ in range(3):
            await client.head()
            world.mono += CONFIRM_US
    assert (world.clock.trusted, world.clock.corrections()) == (False, [])


async def test_a2_a_far_date_is_believed_when_another_connection_says_it_again(tmp_path: Path) -> None:
    world, platform = World(), ScriptedPlatform()
    far = NOON + 3 * 86_400 * SECOND
    async with asking(tmp_path, platform, world) as client:
        platform.date = http(far)
        await client.head()
        assert not world.clock.trusted
        world.mono += 2 * CONFIRM_US
        platform.date = http(far + world.mono)
        await client.head()
    assert world.clock.trusted
    assert abs(world.clock.now() - far - world.mono) <= SECOND
    assert len({each.peer for each in platform.seen}) == 2


async def test_a2_a_captive_portal_teaches_nothing(tmp_path: Path) -> None:
    world, platform = World(), ScriptedPlatform(date=http(NOON + 600 * SECOND))

    async def portal(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>log in</html>", headers={"Date": platform.date})

    platform.faults = [portal]
    async with asking(tmp_path, platform, world) as client:
        with pytest.raises(Held):
            await client.head()
    assert not world.clock.trusted
