"""A whole agent in this process, with a simulated plant, and what an administrator or engineer does to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.app import Agent
from agent.buffer.store import Store
from agent.config.parse import load
from agent.control.journal import Journal
from agent.control.secrets import EncryptionKey
from agent.control.service import Control, compose
from scripts.sandbox.modbus_net import NetServer
from tests.support.control_bundles import Signer, signed
from tests.support.modbus_devices import Bank
from tests.support.ports import free_port

LOCAL = """
[gateway]
name = "test"
data_dir = "{data}"
[enterprise]
park = "hongkou-01"
[buffer]
flush = "100ms"
[digest]
period = "1h"
[console]
listen = ""
[remote]
allow = ["device", "digest"]
probation = "1s"
trust_file = "{trust}"
[[device]]
name = "steady"
driver = "simulated"
interval = "50ms"
[[device.tag]]
name = "clock"
address = "clock"
[[device]]
name = "press"
driver = "modbus"
interval = "50ms"
connection = {{ host = "127.0.0.1", port = {port}, timeout = "1s" }}
[[device.tag]]
name = "pressure"
address = "holding:1"
"""
PRESS = """
[[device]]
name = "press"
driver = "modbus"
interval = "50ms"
connection = {{ host = "127.0.0.1", port = {port}, timeout = "1s" }}
[[device.tag]]
name = "pressure"
address = "{address}"
"""
CLOCK = """
[[device]]
name = "new"
driver = "simulated"
interval = "50ms"
[[device.tag]]
name = "clock"
address = "clock"
"""
HOLE = 99
"""A holding register that the press has not; every other holds its own number."""
ALWAYS = {"issued_at": "2020-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"}


@dataclass
class Plant:
    """The files around an agent, and its administrator."""

    folder: Path
    admin: Signer
    server: NetServer
    """The press."""

    @property
    def config(self) -> Path:
        """The local file."""
        return self.folder / "config.toml"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def journal(self) -> Journal:
        """What the gateway remembers of configurations."""
        return Journal(self.data / "config")

    def press(self, register: int) -> str:
        """An overlay that has the press read another register."""
        return PRESS.format(port=self.server.port, address=f"holding:{register}")

    def bundle(self, revision: int, config: str, **changes: Any) -> bytes:
        """A bundle for this gateway, signed by its administrator."""
        given = {"gateway_id": None, "selector": {"park": "hongkou-01"}, **ALWAYS, **changes}
        return signed(self.admin, revision=revision, config=config, **given)


@asynccontextmanager
async def a_plant(folder: Path) -> AsyncIterator[Plant]:
    """A press that can be read, a configuration file and a trust file."""
    async with NetServer("127.0.0.1", free_port(), {1: Bank(holes=[HOLE])}) as server:
        plant = Plant(folder, Signer("Li Wei"), server)
        plant.data.mkdir()
        trust = folder / "admins.jwks"
        trust.write_text(json.dumps({"keys": [plant.admin.jwk()], "threshold": 1}), encoding="utf-8")
        plant.config.write_text(LOCAL.format(data=plant.data, trust=trust, port=server.port), encoding="utf-8")
        yield plant


@asynccontextmanager
async def running(plant: Plant) -> AsyncIterator[Agent]:
    """A running agent that trusts its clock; stopped at the end of the block."""
    key = EncryptionKey.load_or_create(plant.data / "identity")
    configuration, _ = compose(load(plant.config), plant.journal, decrypt=key.decrypt)
    store = await Store.open(plant.data / "buffer.db", max_bytes=100_000_000, retention_us=86_400_000_000)
    stop = asyncio.Event()
    try:
        agent = await Agent.build(configuration, store, plant.data, plant.journal, key, asyncio.Event())
        agent.clock.source = "ntp"
        task = asyncio.create_task(agent.run(stop))
        try:
            await until(lambda: all(each.state == "running" for each in agent.devices()))
            yield agent
        finally:
            stop.set()
            await task
    finally:
        await store.close()


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def value(agent: Agent, series: str) -> float | str | None:
    """The last value of a tag."""
    return next((each.value for each in agent.latest() if each.series == series), None)


def stands(control: Control) -> tuple[str, int, int]:
    """State, running and attempted revision."""
    standing = control.standing
    return standing.state, standing.running, standing.attempted
